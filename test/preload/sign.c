/*
 * sign.c: signatures of TLS that take their time: EVP_DigestSign() waits as long as there is the file that SIGN_WAITS
 * names. On whichever thread signs.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

int EVP_DigestSign(void *context, unsigned char *signature, size_t *len, const unsigned char *data, size_t n);

int EVP_DigestSign(void *context, unsigned char *signature, size_t *len, const unsigned char *data, size_t n)
{
    int (*sign)(void *, unsigned char *, size_t *, const unsigned char *, size_t) = NULL;
    const char *path = getenv("SIGN_WAITS");
    void *so = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_NOLOAD); /* libssl's own, which no other sees */
    while (path != NULL && access(path, F_OK) == 0)
        usleep(1000);
    *(void **) &sign = dlsym(so, "EVP_DigestSign");
    return sign(context, signature, len, data, n);
}
