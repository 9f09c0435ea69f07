/*
 * certificate.c: what a certificate says. Any thread; a worker too, of a client's.
 */
#include "mario/tls/pem.h"

#ifdef MARIO_WITH_TLS

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void certificate_name(const X509_NAME *name, char *out, size_t size)
{
    BIO *bio = libssl.BIO_new(libssl.BIO_s_mem());
    int n = 0;
    if (bio != NULL && libssl.X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
        n = libssl.BIO_read(bio, out, (int) size - 1);
    out[n > 0 ? n : 0] = '\0';
    libssl.BIO_free(bio);
}

void certificate_digest(const X509 *certificate, unsigned char digest[32])
{
    memset(digest, 0, 32);
    libssl.X509_digest(certificate, libssl.EVP_sha256(), digest, NULL);
}

int64_t certificate_time(const ASN1_TIME *when)
{
    struct tm tm;
    return libssl.ASN1_TIME_to_tm(when, &tm) == 1 ? (int64_t) timegm(&tm) : 0;
}

bool is_host_name(const char *text, size_t n)
{
    if (n > 2 && text[0] == '*' && text[1] == '.') {
        text += 2;
        n -= 2;
    }
    if (n == 0 || n > 253 || text[0] == '.' || text[n - 1] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) text[i];
        if (!(isascii(c) && isalnum(c)) && c != '-' && c != '_' && (c != '.' || text[i + 1] == '.'))
            return false;
    }
    return true;
}

/* Add a host name to out->names. One that does not fit is left out. */
static void add_name(struct mario_tls_certificate *out, const char *name, size_t n)
{
    size_t used = strlen(out->names);
    if (!is_host_name(name, n) || used + 1 + n >= sizeof out->names)
        return;
    if (used > 0)
        out->names[used++] = ',';
    for (size_t i = 0; i < n; i++)
        out->names[used + i] = (char) tolower((unsigned char) name[i]);
    out->names[used + n] = '\0';
}

/* Its host names; if it has none, what its subject calls itself, as in old days. */
static void describe_names(const X509 *certificate, struct mario_tls_certificate *out)
{
    GENERAL_NAMES *all = libssl.X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int n = all != NULL ? libssl.OPENSSL_sk_num((const OPENSSL_STACK *) all) : 0;
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *one = libssl.OPENSSL_sk_value((const OPENSSL_STACK *) all, i);
        if (one->type == GEN_DNS)
            add_name(out, (const char *) libssl.ASN1_STRING_get0_data(one->d.dNSName),
                     (size_t) libssl.ASN1_STRING_length(one->d.dNSName));
    }
    libssl.GENERAL_NAMES_free(all);
    char common[64];
    if (n == 0 && libssl.X509_NAME_get_text_by_NID(libssl.X509_get_subject_name(certificate), NID_commonName,
                                                   common, sizeof common) > 0)
        add_name(out, common, strlen(common));
}

static void describe_key(const X509 *certificate, struct mario_tls_certificate *out)
{
    const EVP_PKEY *key = libssl.X509_get0_pubkey(certificate);
    char group[24];
    if (key == NULL)
        return;
    int kind = libssl.EVP_PKEY_get_base_id(key);
    if (kind == EVP_PKEY_EC && libssl.EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1)
        snprintf(out->key, sizeof out->key, "EC %s", group);
    else if (kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS)
        snprintf(out->key, sizeof out->key, "RSA %d", libssl.EVP_PKEY_get_bits(key));
    else
        snprintf(out->key, sizeof out->key, "%s", libssl.EVP_PKEY_get0_type_name(key));
}

void certificate_describe(X509 *certificate, struct mario_tls_certificate *out)
{
    certificate_name(libssl.X509_get_subject_name(certificate), out->subject, sizeof out->subject);
    certificate_name(libssl.X509_get_issuer_name(certificate), out->issuer, sizeof out->issuer);
    describe_names(certificate, out);
    describe_key(certificate, out);
    certificate_digest(certificate, out->digest);
    out->not_before = certificate_time(libssl.X509_get0_notBefore(certificate));
    out->not_after = certificate_time(libssl.X509_get0_notAfter(certificate));
    libssl_error(NULL, NULL);
}

#endif
