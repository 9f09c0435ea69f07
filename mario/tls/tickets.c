/*
 * tickets.c: keys of tickets. Any thread; no locks.
 *
 * A ring of keys. The newest seals; it and the two behind it open. Whoever finds that the hour is over, and is the
 * first, makes the next one in the fourth place, then says so by `newest`, then wipes the place that is next: no key
 * is kept longer than it is good for. The master looks, too, so that this holds where nobody comes; so what it does
 * takes no lock and is not cancelled: getentropy(), not libssl's. Who copies a key looks afterwards whether it is
 * still one of the three; if it was wiped meanwhile it is not, for `newest` was written before (all in one order:
 * seq_cst). So what was copied is whole.
 */
#include "mario/tls/tickets.h"

#ifdef MARIO_WITH_TLS

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/tls/context.h"

#define PERIOD_MS (60u * 60u * 1000u)

enum { KEPT = 3, PLACES = KEPT + 1, NAME = 16, SECRET = 32, WORDS = (NAME + 2 * SECRET) / 8 };

struct key {
    unsigned char name[NAME];
    unsigned char cipher[SECRET];
    unsigned char mac[SECRET];
};
_Static_assert(sizeof(struct key) == WORDS * sizeof(uint64_t), "a key is copied by words");

static _Atomic uint64_t ring[PLACES][WORDS];
static _Atomic uint64_t newest; /* the ring's place is this modulo PLACES; 0: there is none */
static _Atomic uint64_t due_ms; /* then it is time for the next */
static EVP_CIPHER *cipher;

static void put(uint64_t which, const uint64_t *words)
{
    for (int i = 0; i < WORDS; i++)
        atomic_store(&ring[which % PLACES][i], words != NULL ? words[i] : 0);
}

/* Copy key `which`. False if it is none of the three that are good. */
static bool copy(uint64_t which, struct key *key)
{
    uint64_t words[WORDS];
    for (int i = 0; i < WORDS; i++)
        words[i] = atomic_load(&ring[which % PLACES][i]);
    memcpy(key, words, sizeof *key);
    uint64_t now = atomic_load(&newest);
    return which > 0 && which <= now && now - which < KEPT;
}

static bool make_next(void)
{
    uint64_t words[WORDS];
    uint64_t next = atomic_load(&newest) + 1;
    if (getentropy(words, sizeof words) != 0)
        return false;
    put(next, words);
    atomic_store(&newest, next);
    put(next + 1, NULL);
    explicit_bzero(words, sizeof words);
    return true;
}

bool tickets_setup(void)
{
    if (cipher == NULL)
        cipher = libssl.EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (atomic_load(&newest) == 0 && cipher != NULL) {
        atomic_store(&due_ms, clock_ms() + PERIOD_MS);
        if (!make_next())
            return false;
    }
    return cipher != NULL;
}

/* Only one thread at a time has it: due_ms says 0 meanwhile. Hours that have passed are made up for, one by one. */
static void rotate(uint64_t due)
{
    if (due == 0 || !atomic_compare_exchange_strong(&due_ms, &due, 0))
        return;
    make_next(); /* if it cannot be, the one that is goes on for an hour */
    atomic_store(&due_ms, due + PERIOD_MS);
}

void tickets_rotate(void)
{
    rotate(atomic_load(&due_ms));
}

void tls_tickets_look(uint64_t now_ms)
{
    uint64_t due = atomic_load(&due_ms);
    if (now_ms >= due)
        rotate(due);
}

/* Set both up with the key. */
static bool begin(const struct key *key, unsigned char *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac, int sealing)
{
    static const char digest[] = "SHA256";
    unsigned char secret[SECRET];
    memcpy(secret, key->mac, sizeof secret);
    const OSSL_PARAM params[] = {
        {OSSL_MAC_PARAM_KEY, OSSL_PARAM_OCTET_STRING, secret, sizeof secret, OSSL_PARAM_UNMODIFIED},
        {OSSL_MAC_PARAM_DIGEST, OSSL_PARAM_UTF8_STRING, (void *) digest, sizeof digest - 1,
         OSSL_PARAM_UNMODIFIED},
        {NULL, 0, NULL, 0, 0}};
    bool good = libssl.EVP_MAC_CTX_set_params(mac, params) == 1 &&
                libssl.EVP_CipherInit_ex(c, cipher, NULL, key->cipher, iv, sealing) == 1;
    libssl.OPENSSL_cleanse(secret, sizeof secret);
    return good;
}

static int seal(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac)
{
    struct key key;
    tls_tickets_look(clock_ms());
    if (!copy(atomic_load(&newest), &key) || libssl.RAND_bytes(iv, 16) != 1)
        return 0; /* no ticket, that is all */
    memcpy(name, key.name, NAME);
    bool good = begin(&key, iv, c, mac, 1);
    libssl.OPENSSL_cleanse(&key, sizeof key);
    return good ? 1 : 0;
}

/* 2: it is good, and there is to be a new one: of TLS 1.3 always, whose clients use each but once. */
static int open_one(const SSL *ssl, const unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c,
                    EVP_MAC_CTX *mac)
{
    struct key key;
    tls_tickets_look(clock_ms());
    uint64_t now = atomic_load(&newest);
    int answer = 0;
    for (uint64_t age = 0; age < KEPT && age < now && answer == 0; age++)
        if (copy(now - age, &key) && memcmp(key.name, name, NAME) == 0)
            answer = !begin(&key, iv, c, mac, 0)                             ? -1
                     : age == 0 && libssl.SSL_version(ssl) != TLS1_3_VERSION ? 1
                                                                             : 2;
    libssl.OPENSSL_cleanse(&key, sizeof key);
    return answer;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *mac,
                     int sealing)
{
    return sealing ? seal(name, iv, c, mac) : open_one(ssl, name, iv, c, mac);
}

void tickets_use(SSL_CTX *ctx)
{
    libssl.SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}

#endif
