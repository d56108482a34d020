#include "backend.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what cannot be honoured ---- */

static const char *refuse_key(const coap_dtls_key_t *key, bool is_rpk)
{
	if (is_rpk)
		return "is_rpk_not_cert: mbed TLS knows no raw public keys: use certificates";
	switch (key->key_type) {
	case COAP_PKI_KEY_PEM:
	case COAP_PKI_KEY_PEM_BUF:
		return NULL;
	case COAP_PKI_KEY_ASN1:
		switch (key->key.asn1.private_key_type) {
		case COAP_ASN1_PKEY_NONE:
		case COAP_ASN1_PKEY_RSA:
		case COAP_ASN1_PKEY_RSA2:
		case COAP_ASN1_PKEY_EC:
			return NULL;
		default:
			return "private_key_type: a key is of type RSA or EC";
		}
	case COAP_PKI_KEY_PKCS11:
		return "key_type: PKCS#11 is not supported: use files, or bytes in memory";
	default:
		return "key_type: it is none of COAP_PKI_KEY_PEM, _PEM_BUF and _ASN1";
	}
}

static const char *refuse(const coap_dtls_pki_t *setup)
{
	static const uint8_t none[sizeof(setup->reserved)];

	if (memcmp(setup->reserved, none, sizeof(none)) != 0)
		return "reserved must be 0";
	if (setup->additional_tls_setup_call_back != NULL)
		return "additional_tls_setup_call_back: there is no TLS session that an application could change";
	return refuse_key(&setup->pki_key, setup->is_rpk_not_cert);
}

static bool refused(const char *what, const char *why)
{
	if (why != NULL)
		log_line(LOG_ERR, "DTLS: %s: %s\n", what, why);
	return why != NULL;
}

/* ---- certificates, keys and CAs, from wherever they are ---- */

struct source { /* a file, or bytes */
	const char *path;
	const uint8_t *bytes;
	size_t len;
};

struct sources {
	struct source ca, cert, key;
};

static struct source file(const char *path)
{
	return (struct source){.path = path != NULL && path[0] != '\0' ? path : NULL};
}

static struct source bytes(const uint8_t *at, size_t len)
{
	return (struct source){.bytes = len > 0 ? at : NULL, .len = len};
}

static bool is_given(const struct source *s)
{
	return s->path != NULL || s->bytes != NULL;
}

static struct sources sources_of(const coap_dtls_key_t *key)
{
	const coap_pki_key_pem_t *pem = &key->key.pem;
	const coap_pki_key_pem_buf_t *buf = &key->key.pem_buf;
	const coap_pki_key_asn1_t *der = &key->key.asn1;

	switch (key->key_type) {
	case COAP_PKI_KEY_PEM:
		return (struct sources){file(pem->ca_file), file(pem->public_cert), file(pem->private_key)};
	case COAP_PKI_KEY_PEM_BUF:
		return (struct sources){bytes(buf->ca_cert, buf->ca_cert_len),
		    bytes(buf->public_cert, buf->public_cert_len), bytes(buf->private_key, buf->private_key_len)};
	default:
		return (struct sources){bytes(der->ca_cert, der->ca_cert_len),
		    bytes(der->public_cert, der->public_cert_len), bytes(der->private_key, der->private_key_len)};
	}
}

static bool load_own(struct keyring *k, const struct sources *from)
{
	int status;

	if (!is_given(&from->cert) && !is_given(&from->key) && !k->is_server)
		return true;
	if (!is_given(&from->cert) || !is_given(&from->key)) {
		log_line(LOG_ERR, "DTLS: coap_dtls_pki_t: a certificate and its private key are needed\n");
		return false;
	}
	status = from->cert.path != NULL ? dtls_context_load_cert_chain(k->ctx, from->cert.path, from->key.path)
					 : dtls_context_load_cert_chain_data(k->ctx, from->cert.bytes, from->cert.len,
					       from->key.bytes, from->key.len);
	if (status == DTLS_OK)
		status = dtls_context_check_key_pair(k->ctx);
	return status == DTLS_OK || keyring_failed(k);
}

/* A file of CAs may have their CRLs beside them. */
static bool load_crls(struct keyring *k, const struct source *from)
{
	int code = from->path != NULL ? mbedtls_x509_crl_parse_file(&k->crls, from->path)
				      : mbedtls_x509_crl_parse(&k->crls, from->bytes, from->len);

	if (code != 0)
		return true;
	return (from->path != NULL ? dtls_context_load_crl(k->ctx, from->path)
				   : dtls_context_load_crl_data(k->ctx, from->bytes, from->len)) == DTLS_OK ||
	       keyring_failed(k);
}

static bool load_cas(struct keyring *k, const struct source *from)
{
	int status = from->path != NULL ? dtls_context_load_verify_locations(k->ctx, from->path)
					: dtls_context_load_verify_data(k->ctx, from->bytes, from->len);

	if (status != DTLS_OK)
		return keyring_failed(k);
	return !k->rules.check_cert_revocation || load_crls(k, from);
}

static bool load_if_it_can_be(struct keyring *k, const char *dir, const char *name)
{
	char path[4096];
	struct source from = {.path = path};

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    dtls_context_load_verify_locations(k->ctx, path) != DTLS_OK)
		return false;
	return !k->rules.check_cert_revocation || load_crls(k, &from);
}

/* Every file that has certificates; the others are left alone. */
static bool load_dir(struct keyring *k, const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, NULL, alphasort);
	bool loaded = false;

	for (int i = 0; i < count; i++) {
		loaded |= load_if_it_can_be(k, path, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (!loaded)
		log_line(LOG_ERR, "DTLS: %s: no file there has a certificate\n", path);
	return loaded;
}

static bool load_roots(struct keyring *k)
{
	const struct backend *b = k->backend;
	struct source from = file(b->root_file);

	return (!is_given(&from) || load_cas(k, &from)) && (b->root_dir == NULL || load_dir(k, b->root_dir));
}

/* ---- whom to trust ---- */

static bool uses_roots(const struct keyring *k)
{
	const struct backend *b = k->backend;

	return k->rules.verify_peer_cert && !k->rules.check_common_ca && (b->root_file != NULL || b->root_dir != NULL);
}

static const char *refuse_trust(const struct keyring *k, bool has_ca)
{
	const coap_dtls_pki_t *rules = &k->rules;

	if (rules->check_common_ca && !has_ca)
		return "check_common_ca: pki_key has no CA that the peer's certificate could have in common";
	if (!has_ca && !uses_roots(k) && !rules->allow_self_signed)
		return "verify_peer_cert: there is no CA to verify with: name one in pki_key, or call "
		       "coap_context_set_pki_root_cas() first";
	return NULL;
}

static bool load_trust(struct keyring *k, const struct source *ca)
{
	bool roots = uses_roots(k);

	if (!k->rules.verify_peer_cert)
		return dtls_context_set_verify_mode(k->ctx, CERT_NONE) == DTLS_OK || keyring_failed(k);
	if (refused("coap_dtls_pki_t", refuse_trust(k, is_given(ca))))
		return false;
	if ((is_given(ca) && !load_cas(k, ca)) || (roots && !load_roots(k)))
		return false;
	if (k->rules.check_cert_revocation && !k->rules.allow_no_crl && k->crls.version == 0 &&
	    refused("coap_dtls_pki_t",
		"check_cert_revocation: there is no CRL: put it beside the CA, in the same file, or "
		"set allow_no_crl"))
		return false;
	return (dtls_context_set_verify_mode(k->ctx, CERT_REQUIRED) == DTLS_OK &&
		   dtls_context_set_verify_overrule(k->ctx, verify_overrule, k) == DTLS_OK) ||
	       keyring_failed(k);
}

/* ---- keyrings ---- */

static bool fill(struct keyring *k, const coap_dtls_key_t *key)
{
	struct sources from = sources_of(key);

	k->has_pki = true;
	if (!load_own(k, &from) || !load_trust(k, &from.ca))
		return false;
	return !k->is_server || dtls_context_set_name_callback(k->ctx, names_choose, k->backend) == DTLS_OK ||
	       keyring_failed(k);
}

static struct keyring *make(struct backend *b, bool is_server, const coap_dtls_pki_t *rules, const coap_dtls_key_t *key)
{
	struct keyring *k = keyring_new(b, is_server);

	if (k == NULL)
		return NULL;
	k->rules = *rules;
	if (fill(k, key) && (!is_server || !b->has_spsk || keyring_add_psk(k)))
		return k;
	keyring_free(k);
	return NULL;
}

struct keyring *pki_named_keyring(const struct keyring *base, const coap_dtls_key_t *key)
{
	if (refused("validate_sni_call_back", refuse_key(key, false)))
		return NULL;
	return make(base->backend, true, &base->rules, key);
}

static bool set_server(struct backend *b, struct keyring *k)
{
	names_forget(b);
	keyring_free(b->server);
	b->server = k;
	return true;
}

static bool set_client(struct backend *b, struct keyring *k, const char *name)
{
	k->server_name = name == NULL ? NULL : strdup(name);
	keyring_free(b->client);
	b->client = k;
	return name == NULL || k->server_name != NULL;
}

/* ---- libcoap's calls ---- */

int coap_dtls_context_set_pki(coap_context_t *coap, const coap_dtls_pki_t *setup, const coap_dtls_role_t role)
{
	struct backend *b = backend_find(coap);
	bool is_server = role == COAP_DTLS_ROLE_SERVER;
	struct keyring *k;

	if (b == NULL || setup == NULL || refused("coap_dtls_pki_t", refuse(setup)))
		return 0;
	k = make(b, is_server, setup, &setup->pki_key);
	if (k == NULL)
		return 0;
	b->has_keys = true;
	return is_server ? set_server(b, k) : set_client(b, k, setup->client_sni);
}

static bool replace(char **slot, const char *with)
{
	free(*slot);
	*slot = with == NULL ? NULL : strdup(with);
	return with == NULL || *slot != NULL;
}

/* For what is set up from now on, and for a server that already is. */
int coap_dtls_context_set_pki_root_cas(coap_context_t *coap, const char *ca_file, const char *ca_dir)
{
	struct backend *b = backend_find(coap);
	struct keyring *k;
	bool loads;

	if (b == NULL || refused("coap_context_set_pki_root_cas",
			     ca_file == NULL && ca_dir == NULL ? "neither a file nor a directory is named" : NULL))
		return 0;
	if (!replace(&b->root_file, ca_file) || !replace(&b->root_dir, ca_dir))
		return 0;
	if (b->server != NULL && b->server->has_pki && uses_roots(b->server)) {
		names_forget(b);
		return load_roots(b->server);
	}
	k = keyring_new(b, false); /* only to see whether they can be loaded */
	loads = k != NULL && load_roots(k);
	keyring_free(k);
	return loads;
}
