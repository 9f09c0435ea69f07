/*
 * pem.c: certificates and keys out of files. Any thread that may wait.
 */
#include "mario/tls/pem.h"

#ifdef MARIO_WITH_TLS

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/base/mem.h"

#define FILE_MAX (4u << 20) /* bytes: all the authorities of a system are 200 KB */

bool tls_refuse(char *why, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, size, format, args);
    va_end(args);
    return false;
}

static bool read_all(int fd, struct pem_file *file)
{
    size_t done = 0;
    while (done < file->len) {
        ssize_t n = read(fd, file->data + done, file->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* shorter now than it was: it is being written */
            return false;
        done += (size_t) n;
    }
    return true;
}

bool pem_read(const char *path, struct pem_file *file, char *why, size_t size)
{
    struct stat st;
    *file = (struct pem_file){.data = NULL};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        tls_refuse(why, size, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        tls_refuse(why, size, "%s: is no file", path);
    } else if (st.st_size == 0 || st.st_size > FILE_MAX) {
        tls_refuse(why, size, "%s: is %s", path, st.st_size == 0 ? "empty" : "larger than 4 MB");
    } else {
        file->len = (size_t) st.st_size;
        file->is_open = (st.st_mode & S_IROTH) != 0;
        file->data = mem_exact(file->len);
        errno = EIO;
        if (file->data != NULL && read_all(fd, file)) {
            close(fd);
            return true;
        }
        tls_refuse(why, size, "%s: %s", path, file->data == NULL ? "no memory" : strerror(errno));
        pem_drop(file);
    }
    if (fd >= 0)
        close(fd);
    return false;
}

void pem_drop(struct pem_file *file)
{
    if (file->data != NULL)
        libssl.OPENSSL_cleanse(file->data, file->len);
    mem_free(file->data);
    file->data = NULL;
}

/* Of a certificate or key that is encrypted. */
static int no_passphrase(char *out, int size, int writing, void *asked)
{
    (void) out;
    (void) size;
    (void) writing;
    *(bool *) asked = true;
    return -1;
}

uint32_t pem_certificates(const char *path, const struct pem_file *file, pem_certificate_fn f, void *arg,
                          char *why, size_t size)
{
    uint32_t n = 0;
    bool asked = false;
    const char *words;
    BIO *bio = libssl.BIO_new_mem_buf(file->data, (int) file->len);
    X509 *one = NULL;
    while (bio != NULL && (one = libssl.PEM_read_bio_X509(bio, NULL, no_passphrase, &asked)) != NULL) {
        n++;
        if (!f(one, arg))
            libssl.X509_free(one);
    }
    int reason = libssl_error(&words, NULL);
    libssl.BIO_free(bio);
    if (bio == NULL || reason != PEM_R_NO_START_LINE) {
        tls_refuse(why, size, "%s: certificate %u in it cannot be read: %s", path, n + 1,
                   bio == NULL ? "no memory" : words);
        return 0;
    }
    if (n == 0)
        tls_refuse(why, size, "%s: there is no certificate in it (PEM)", path);
    return n;
}

EVP_PKEY *pem_key(const char *path, const struct pem_file *file, char *why, size_t size)
{
    static const char end[] = "PRIVATE KEY-----";
    bool asked = false;
    const char *words;
    if (memmem(file->data, file->len, end, sizeof end - 1) == NULL) {
        tls_refuse(why, size, "%s: there is no private key in it (PEM)", path);
        return NULL;
    }
    BIO *bio = libssl.BIO_new_mem_buf(file->data, (int) file->len);
    EVP_PKEY *key = bio != NULL ? libssl.PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked) : NULL;
    libssl_error(&words, NULL);
    libssl.BIO_free(bio);
    if (key != NULL)
        return key;
    if (asked)
        tls_refuse(why, size,
                   "%s: is encrypted; nobody is here who could type its passphrase (openssl pkey -in it)",
                   path);
    else
        tls_refuse(why, size, "%s: its private key cannot be read: %s", path, words);
    return NULL;
}

#endif
