#!/bin/sh
# pki.sh DIR: a small PKI for the certificate tests, made with openssl, for now and here alone.
# A CA, another CA, a chain over an intermediate; certificates for "localhost" with EC and RSA keys; one that has expired,
# one that is not valid yet, one for another name, one that is revoked, one with a weak key, and more that are refused.
# pki.sh DIR big: adds a chain with an RSA key of 4096 bits, which takes seconds to make.
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

issuer() { # NAME: signs with the key and certificate of that name, whatever they are for
	mkdir "$1.d"
	: >"$1.d/index"
	echo 2000 >"$1.d/serial"
	sed "s/ca\.d/$1.d/; s/ca\.pem/$1.pem/; s/ca\.key/$1.key/" ca.cnf >"$1.cnf"
}

names='subjectAltName=DNS:localhost,DNS:sensor.example'
if [ "${2:-}" = big ]; then
	openssl genrsa -out big.key 4096 2>/dev/null
	sign sub big localhost "$names"
	cat big.pem sub.pem ca.pem >big-chain.pem
	: >made-big
	exit
fi

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
issuer sub
sign sub leaf localhost "$names"
cat leaf.pem sub.pem >chain.pem

# An intermediate that is revoked, and one that is no CA.
for name in gone orphan misled; do ec "$name"; done
sign ca gone 'Test Gone CA' 'basicConstraints=critical,CA:TRUE'
issuer gone
sign gone orphan localhost "$names"
cat orphan.pem gone.pem >orphan-chain.pem
issuer client
sign client misled localhost "$names"
cat misled.pem client.pem >misled-chain.pem

# Names: none but the subject's, a wildcard, an address. Usages: each for one side alone, and a key that may not sign.
for name in bare wildcard address clients servers signless sha1; do ec "$name"; done
sign ca bare localhost 'basicConstraints=CA:FALSE'
sign ca wildcard wildcard 'subjectAltName=DNS:*.sensors.example'
sign ca address address 'subjectAltName=IP:127.0.0.1,IP:0:0:0:0:0:0:0:1'
sign ca clients localhost "$names
extendedKeyUsage=clientAuth"
sign ca servers localhost "$names
extendedKeyUsage=serverAuth"
sign ca signless localhost "$names
keyUsage=keyAgreement"
sign ca sha1 localhost "$names" -md sha1
ec selfsigned
openssl req -x509 -new -key selfsigned.key -sha256 -days 30 -subj /CN=localhost -addext "$names" -config ca.cnf \
	-out selfsigned.pem
# A CA that has the name of the first, and another key.
ca twin 'Test CA'
ec copied
sign twin copied localhost "$names"

openssl ca -config ca.cnf -revoke revoked.pem 2>/dev/null
openssl ca -config ca.cnf -revoke gone.pem 2>/dev/null
openssl ca -config ca.cnf -gencrl -out ca.crl 2>/dev/null
openssl ca -config ca.cnf -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20210101000000Z -out old.crl 2>/dev/null
openssl ca -config ca.cnf -gencrl -crl_lastupdate 20400101000000Z -crl_nextupdate 20410101000000Z -out early.crl 2>/dev/null

# The same key and certificate in every form.
openssl x509 -in server.pem -outform DER -out server.der
openssl ec -in server.key -outform DER -out server-sec1.der 2>/dev/null
openssl pkcs8 -topk8 -nocrypt -in server.key -out server-pkcs8.pem
openssl rsa -in rsa.key -traditional -out rsa-pkcs1.pem 2>/dev/null
openssl ec -in server.key -aes256 -passout pass:secret -out server-encrypted.pem 2>/dev/null
openssl x509 -in ca.pem -outform DER -out ca.der

# For the peers of other stacks: a client with an RSA key, one behind the intermediate, one of the other CA; a server with
# a P-384 key.
for name in subclient stranger; do ec "$name"; done
openssl genrsa -out rsaclient.key 2048 2>/dev/null
openssl ecparam -name secp384r1 -genkey -noout -out p384.key
sign ca rsaclient sensor-18 'basicConstraints=CA:FALSE'
sign sub subclient sensor-19 'basicConstraints=CA:FALSE'
sign other stranger localhost "$names"
sign ca p384 localhost "$names"
cp chain.pem leaf-chain.pem
cat subclient.pem sub.pem >subclient-chain.pem

# Refused on every side: a key that may sign nothing but certificates, and one on a curve that is not offered.
ec signer
sign ca signer localhost "$names
keyUsage=keyCertSign"
openssl ecparam -name secp256k1 -genkey -noout -out koblitz.key
sign ca koblitz localhost "$names"
openssl ecparam -name secp256k1 -genkey -noout -out weaksub.key
ec underweak
sign ca weaksub 'Test Weak CA' 'basicConstraints=critical,CA:TRUE'
issuer weaksub
sign weaksub underweak localhost "$names"
cat underweak.pem weaksub.pem >underweak-chain.pem

# Common names of any bytes, of 64 characters in 256 bytes, and none.
subject() { # NAME SUBJECT SERIAL
	ec "$1"
	echo "$names" >"$1.ext"
	openssl req -new -utf8 -key "$1.key" -config ca.cnf -subj "$2" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -set_serial "$3" -sha256 -days 30 -extfile "$1.ext" \
		-out "$1.pem" 2>/dev/null
}
subject odd "$(printf '/CN=caf\303\251 \001\t\177 "\\\\x41"')" 9001
fish=$(printf '\360\237\220\237')
subject long "/CN=$(printf "%64s" '' | sed "s/ /$fish/g")" 9002
subject nameless '/O=Nobody' 9003
: >made
