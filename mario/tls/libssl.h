/*
 * libssl.h: libssl and libcrypto, loaded when a listener has tls=: who has none pays nothing for them, and a program
 * that links libmario needs no library more. Included in place of openssl's headers; a function NAME is called as
 * libssl.NAME, and one that is missing gets a line in the list. What openssl's headers make macros of
 * (SSL_CTX_set_mode) goes through the function behind it (SSL_CTX_ctrl).
 */
#ifndef MARIO_TLS_LIBSSL_H
#define MARIO_TLS_LIBSSL_H

#ifdef MARIO_WITH_TLS

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stddef.h>

#define LIBSSL_FUNCTIONS(F)                 \
    /* The library */                       \
    F(OPENSSL_init_ssl)                     \
    F(CRYPTO_set_mem_functions)             \
    F(OPENSSL_cleanse)                      \
    F(OPENSSL_sk_num)                       \
    F(OPENSSL_sk_value)                     \
    F(ERR_get_error)                        \
    F(ERR_peek_last_error)                  \
    F(ERR_reason_error_string)              \
    F(RAND_bytes)                           \
    /* Contexts */                          \
    F(TLS_server_method)                    \
    F(SSL_CTX_new_ex)                       \
    F(SSL_CTX_free)                         \
    F(SSL_CTX_ctrl)                         \
    F(SSL_CTX_set_options)                  \
    F(SSL_CTX_set_cipher_list)              \
    F(SSL_CTX_set_ciphersuites)             \
    F(SSL_CTX_set_client_hello_cb)          \
    F(SSL_CTX_set_alpn_select_cb)           \
    F(SSL_CTX_callback_ctrl)                \
    F(SSL_CTX_set_tlsext_ticket_key_evp_cb) \
    F(SSL_CTX_set_msg_callback)             \
    F(SSL_CTX_set_verify)                   \
    F(SSL_CTX_set_cert_store)               \
    F(SSL_CTX_set_client_CA_list)           \
    F(SSL_CTX_use_certificate)              \
    F(SSL_CTX_use_PrivateKey)               \
    F(SSL_CTX_get0_certificate)             \
    F(SSL_select_next_proto)                \
    F(SSL_client_hello_get0_ext)            \
    /* Sessions */                          \
    F(SSL_new)                              \
    F(SSL_free)                             \
    F(SSL_ctrl)                             \
    F(SSL_set_ex_data)                      \
    F(SSL_get_ex_data)                      \
    F(SSL_set0_rbio)                        \
    F(SSL_set0_wbio)                        \
    F(SSL_get_rbio)                         \
    F(SSL_set_accept_state)                 \
    F(SSL_set_SSL_CTX)                      \
    F(SSL_set_session_id_context)           \
    F(SSL_set_verify)                       \
    F(SSL_set_options)                      \
    F(SSL_clear_options)                    \
    F(SSL_set_num_tickets)                  \
    F(SSL_set_msg_callback)                 \
    F(SSL_do_handshake)                     \
    F(SSL_read)                             \
    F(SSL_write)                            \
    F(SSL_shutdown)                         \
    F(SSL_get_shutdown)                     \
    F(SSL_set_shutdown)                     \
    F(SSL_has_pending)                      \
    F(SSL_version)                          \
    F(SSL_get_current_cipher)               \
    F(SSL_CIPHER_get_name)                  \
    F(SSL_CIPHER_get_protocol_id)           \
    F(SSL_get0_alpn_selected)               \
    F(SSL_session_reused)                   \
    F(SSL_get_session)                      \
    F(SSL_SESSION_get_max_fragment_length)  \
    F(SSL_alert_desc_string_long)           \
    F(SSL_get_verify_result)                \
    F(SSL_get1_peer_certificate)            \
    /* BIOs */                              \
    F(BIO_get_new_index)                    \
    F(BIO_meth_new)                         \
    F(BIO_meth_set_read)                    \
    F(BIO_meth_set_write)                   \
    F(BIO_meth_set_ctrl)                    \
    F(BIO_new)                              \
    F(BIO_new_mem_buf)                      \
    F(BIO_free)                             \
    F(BIO_up_ref)                           \
    F(BIO_set_data)                         \
    F(BIO_get_data)                         \
    F(BIO_set_flags)                        \
    F(BIO_clear_flags)                      \
    F(BIO_s_mem)                            \
    F(BIO_read)                             \
    /* Certificates and keys */             \
    F(PEM_read_bio_X509)                    \
    F(PEM_read_bio_PrivateKey)              \
    F(X509_free)                            \
    F(X509_check_private_key)               \
    F(X509_check_issued)                    \
    F(X509_check_host)                      \
    F(X509_digest)                          \
    F(X509_get0_notBefore)                  \
    F(X509_get0_notAfter)                   \
    F(X509_get0_pubkey)                     \
    F(X509_get_subject_name)                \
    F(X509_get_issuer_name)                 \
    F(X509_get_ext_d2i)                     \
    F(X509_NAME_dup)                        \
    F(X509_NAME_free)                       \
    F(X509_NAME_get_text_by_NID)            \
    F(X509_NAME_print_ex)                   \
    F(X509_STORE_new)                       \
    F(X509_STORE_free)                      \
    F(X509_STORE_add_cert)                  \
    F(X509_verify_cert_error_string)        \
    F(GENERAL_NAMES_free)                   \
    F(OPENSSL_sk_new_null)                  \
    F(OPENSSL_sk_push)                      \
    F(OPENSSL_sk_pop)                       \
    F(OPENSSL_sk_free)                      \
    F(ASN1_STRING_get0_data)                \
    F(ASN1_STRING_length)                   \
    F(ASN1_TIME_to_tm)                      \
    F(EVP_PKEY_free)                        \
    F(EVP_PKEY_get_bits)                    \
    F(EVP_PKEY_get_base_id)                 \
    F(EVP_PKEY_get_group_name)              \
    F(EVP_PKEY_get0_type_name)              \
    /* Ciphers, digests */                  \
    F(EVP_sha256)                           \
    F(EVP_Digest)                           \
    F(EVP_CIPHER_fetch)                     \
    F(EVP_CIPHER_free)                      \
    F(EVP_CIPHER_settable_ctx_params)       \
    F(OSSL_PARAM_locate_const)              \
    F(EVP_CIPHER_CTX_new)                   \
    F(EVP_CIPHER_CTX_free)                  \
    F(EVP_CIPHER_CTX_set_params)            \
    F(EVP_CIPHER_CTX_get_params)            \
    F(EVP_CipherInit_ex)                    \
    F(EVP_CipherUpdate)                     \
    F(EVP_CipherFinal_ex)                   \
    F(EVP_MAC_CTX_set_params)               \
    F(EVP_MD_fetch)                         \
    F(EVP_MD_free)                          \
    F(EVP_MD_CTX_new)                       \
    F(EVP_MD_CTX_free)                      \
    F(EVP_DigestInit_ex2)                   \
    F(EVP_DigestUpdate)                     \
    F(EVP_DigestFinal_ex)                   \
    F(EVP_KDF_fetch)                        \
    F(EVP_KDF_free)                         \
    F(EVP_KDF_get0_provider)                \
    F(OSSL_PARAM_get_int)                   \
    F(OSSL_PROVIDER_add_builtin)            \
    F(OSSL_PROVIDER_get0_name)              \
    F(OSSL_PROVIDER_try_load)

#define LIBSSL_MEMBER(f) __typeof__(&f) f;
struct libssl {
    LIBSSL_FUNCTIONS(LIBSSL_MEMBER)
};
#undef LIBSSL_MEMBER

extern struct libssl libssl; /* constant once it is loaded */

/* Load it, once. False with one line in why[0 .. size-1] if it is not there or is another version. Until it has
 * answered true none of its functions may be called. One thread at a time. */
bool libssl_load(char *why, size_t size);

/* SSL_free(), and nothing of its secrets stays in what is freed: libssl leaves them there. */
void libssl_free(SSL *ssl);

/* The reason of the last error of this thread that is libssl's own, else of the last; 0: there is none. All of them are
 * forgotten. *words, if not NULL: in libssl's words, which stay; *no_memory, if not NULL: one of them was that. */
int libssl_error(const char **words, bool *no_memory);

#endif

#endif
