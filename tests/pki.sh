#!/bin/sh
# pki.sh DIR: a small PKI for the certificate tests, made with openssl, for now and here alone.
# A CA, another CA, a chain over an intermediate; certificates for "localhost" with EC and RSA keys; one that has expired,
# one that is not valid yet, one for another name, one that is revoked, one with a weak key.
set -eu
cd "$1"

ca() { # NAME SUBJECT
	openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
	openssl req -x509 -new -key "$1.key" -sha256 -days 30 -subj "/CN=$2" -out "$1.pem" 2>/dev/null
	mkdir "$1.d"
	: >"$1.d/index"
	echo 1000 >"$1.d/serial"
	echo 01 >"$1.d/crlnumber"
	cat >"$1.cnf" <<END
[ca]
default_ca = ca
[ca]
dir = .
database = $1.d/index
serial = $1.d/serial
crlnumber = $1.d/crlnumber
new_certs_dir = $1.d
certificate = $1.pem
private_key = $1.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
END
}

sign() { # CA NAME SUBJECT EXTENSIONS [OPTIONS OF openssl ca]
	issuer=$1 name=$2 subject=$3 extensions=$4
	shift 4
	printf '[ext]\n%s\n' "$extensions" >"$name.ext"
	openssl req -new -key "$name.key" -config "$issuer.cnf" -subj "/CN=$subject" -out "$name.csr"
	openssl ca -batch -notext -config "$issuer.cnf" -extfile "$name.ext" -extensions ext -in "$name.csr" -out "$name.pem" \
		"$@" 2>/dev/null
}

ec() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

names='subjectAltName=DNS:localhost,DNS:sensor.example'
ca ca 'Test CA'
ca other 'Other CA'
for name in server client expired future wrong revoked sub leaf; do ec "$name"; done
sign ca server localhost "$names"
sign ca client sensor-17 'basicConstraints=CA:FALSE'
sign ca expired localhost "$names" -startdate 20200101000000Z -enddate 20210101000000Z
sign ca future localhost "$names" -startdate 20400101000000Z -enddate 20410101000000Z
sign ca wrong elsewhere 'subjectAltName=DNS:elsewhere.example'
sign ca revoked localhost "$names"
sign ca sub 'Test Sub CA' 'basicConstraints=critical,CA:TRUE'
openssl genrsa -out rsa.key 2048 2>/dev/null
sign ca rsa localhost "$names"
openssl genrsa -out weak.key 1024 2>/dev/null
sign ca weak localhost "$names"

# A chain of three: leaf, intermediate, CA.
mkdir sub.d
: >sub.d/index
echo 2000 >sub.d/serial
sed 's/ca\.d/sub.d/; s/ca\.pem/sub.pem/; s/ca\.key/sub.key/' ca.cnf >sub.cnf
sign sub leaf localhost "$names"
cat leaf.pem sub.pem >chain.pem

openssl ca -config ca.cnf -revoke revoked.pem 2>/dev/null
openssl ca -config ca.cnf -gencrl -out ca.crl 2>/dev/null

# The same key and certificate in every form.
openssl x509 -in server.pem -outform DER -out server.der
openssl ec -in server.key -outform DER -out server-sec1.der 2>/dev/null
openssl pkcs8 -topk8 -nocrypt -in server.key -out server-pkcs8.pem
openssl rsa -in rsa.key -traditional -out rsa-pkcs1.pem 2>/dev/null
openssl ec -in server.key -aes256 -passout pass:secret -out server-encrypted.pem 2>/dev/null
openssl x509 -in ca.pem -outform DER -out ca.der
