/*
 * proxied.c: connections that a balancer passes on. Runs on the worker that owns the shard; the public functions, for
 * the connection's own functions and hooks, wherever they run.
 *
 * The master has seen the whole header and asked about the client before it handed the socket over (server/lobby.c);
 * here it is read off, before anything else is. What is not whole or wrong comes here too, to end as all others do.
 */
#include "mario/conn/proxied.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mario/base/mem.h"
#include "mario/frame/looks.h"
#include "mario/net/proxy.h"
#include "mario/net/stream.h"

enum { AUTHORITY, UNIQUE_ID, VERSION, NAME, CIPHER, VALUES };

struct proxied_values {
    bool has_ssl;
    uint8_t client;
    uint32_t verify;
    uint16_t len[VALUES];
    char *at[VALUES]; /* in text, a zero byte behind each; NULL: it did not say */
    char text[];
};

/* ---- What it said ---- */

/* NULL without memory. */
static struct proxied_values *values_make(const struct proxy_header *h)
{
    const struct proxy_value *from[VALUES] = {&h->authority, &h->unique_id, &h->ssl.version, &h->ssl.name,
                                              &h->ssl.cipher};
    size_t size = 0;
    for (int i = 0; i < VALUES; i++)
        size += from[i]->at != NULL ? from[i]->len + 1u : 0;
    struct proxied_values *v = mem_exact(sizeof *v + size);
    if (v == NULL)
        return NULL;
    *v = (struct proxied_values){.has_ssl = h->ssl.said, .client = h->ssl.client, .verify = h->ssl.verify};
    char *to = v->text;
    for (int i = 0; i < VALUES; i++) {
        if (from[i]->at == NULL)
            continue;
        v->at[i] = to;
        v->len[i] = from[i]->len;
        memcpy(to, from[i]->at, from[i]->len);
        to[from[i]->len] = '\0';
        to += from[i]->len + 1;
    }
    return v;
}

static bool says_more(const struct proxy_header *h)
{
    return h->authority.at != NULL || h->unique_id.at != NULL || h->ssl.said;
}

/* ---- Beginning and end ---- */

bool proxied_setup(struct shard *s, bool prefault)
{
    void *p = mmap(NULL, (size_t) s->count * sizeof *s->proxied, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | (prefault ? MAP_POPULATE : 0), -1, 0);
    s->proxied = p == MAP_FAILED ? NULL : p;
    return s->proxied != NULL;
}

void proxied_teardown(struct shard *s)
{
    if (s->proxied != NULL)
        munmap(s->proxied, (size_t) s->count * sizeof *s->proxied);
    s->proxied = NULL;
}

static bool end(struct conn *c, enum reason reason, const char *why)
{
    conn_shard(c)->proxied[c->pub.ind].why = why;
    conn_close(c, reason);
    return false;
}

/* Why the master waited no more. n is what looking has said. */
static bool say_why(struct conn *c, ssize_t n, int err, const unsigned char *bytes)
{
    struct proxy_header h;
    if (n == 0)
        return end(c, REASON_peer_closed, NULL); /* a check that says nothing */
    if (n < 0 && err != EAGAIN && err != EINTR)
        return end(c, REASON_reset, NULL);
    enum frame_looks looks = n > 0 ? frame_looks(bytes, (uint32_t) n) : LOOKS_UNKNOWN;
    c->fault = (uint16_t) (looks != LOOKS_PROXY ? looks : LOOKS_UNKNOWN);
    if (n > 0 && proxy_look(bytes, (uint32_t) n, &h) == PROXY_BAD)
        return end(c, REASON_bad_proxy, h.why);
    return end(c, REASON_bad_proxy, n < 0 ? "none came" : "it was not whole in time");
}

/* Read off n bytes, all of which are there. */
static bool drop(const struct conn *c, unsigned char *bytes, uint32_t n)
{
    return stream_read(c->pub.fd, bytes, n) == (ssize_t) n;
}

bool proxied_enter(struct conn *c, enum accepted_as as)
{
    struct conn_proxied *p = &conn_shard(c)->proxied[c->pub.ind];
    unsigned char *bytes = executor_here->rx;
    struct sockaddr_storage from = {0};
    struct proxy_header h;
    ssize_t n = stream_look(c->pub.fd, bytes, PROXY_MAX);
    int err = errno;
    if (stream_peer(c->pub.fd, &from) == 0)
        p->via = peer_of(&from);
    if (as == ACCEPTED_NO_HEADER || n <= 0 || proxy_look(bytes, (uint32_t) n, &h) != PROXY_OK)
        return say_why(c, n, err, bytes);
    p->has_header = true;
    p->values = says_more(&h) ? values_make(&h) : NULL;
    if (says_more(&h) && p->values == NULL)
        return end(c, REASON_no_memory, NULL);
    if (!drop(c, bytes, h.size))
        return end(c, REASON_reset, NULL);
    stats_add(conn_shard(c)->stats, STAT_proxied, 1);
    return true;
}

void proxied_end(const struct shard *s, const struct conn *c)
{
    if (s->proxied == NULL)
        return;
    mem_free(s->proxied[c->pub.ind].values);
    s->proxied[c->pub.ind].values = NULL;
}

struct peer proxied_via(const struct conn *c)
{
    const struct conn_proxied *p = proxied_of(c);
    const unsigned char *v6 = conn_address6(c);
    if (p != NULL)
        return p->via;
    return v6 != NULL ? peer_of_v6(v6, c->pub.cport) : peer_of_v4(c->pub.cip, c->pub.cport);
}

/* ---- Public ---- */

/* Of a connection whose function or hook runs here and that had a header; else NULL. */
static const struct conn_proxied *header_of(const CONN *c)
{
    const struct executor *t = executor_here;
    const struct conn_proxied *p = NULL;
    if (t == NULL || t->conn != c)
        return NULL;
    if (t->shard == NULL) /* an offloaded function: its CONN is the job's */
        p = t->proxied;
    else if (t->shard->proxied != NULL && c->ind < t->shard->count && c == &t->shard->conns[c->ind].pub)
        p = &t->shard->proxied[c->ind];
    return p != NULL && p->has_header ? p : NULL;
}

static const struct proxied_values *values_of(const CONN *c)
{
    const struct conn_proxied *p = header_of(c);
    return p != NULL ? p->values : NULL;
}

int32_t mario_proxy_peer(const CONN *c, char *buf, uint32_t size)
{
    const struct conn_proxied *p = header_of(c);
    return p != NULL && peer_print(&p->via, buf, size) < size ? 0 : -1;
}

int32_t mario_proxy_authority(const CONN *c, char *buf, uint32_t size)
{
    const struct proxied_values *v = values_of(c);
    if (v == NULL || v->at[AUTHORITY] == NULL || v->len[AUTHORITY] >= size)
        return -1;
    memcpy(buf, v->at[AUTHORITY], v->len[AUTHORITY] + 1u);
    return 0;
}

int32_t mario_proxy_unique_id(const CONN *c, void *buf, uint32_t size)
{
    const struct proxied_values *v = values_of(c);
    if (v == NULL || v->at[UNIQUE_ID] == NULL || v->len[UNIQUE_ID] > size)
        return -1;
    memcpy(buf, v->at[UNIQUE_ID], v->len[UNIQUE_ID]);
    return v->len[UNIQUE_ID];
}

int32_t mario_proxy_ssl(const CONN *c, struct mario_proxy_ssl_info *out)
{
    const struct proxied_values *v = values_of(c);
    if (v == NULL || !v->has_ssl)
        return -1;
    *out = (struct mario_proxy_ssl_info){.client = v->client,
                                         .verify = v->verify,
                                         .version = v->at[VERSION],
                                         .name = v->at[NAME],
                                         .cipher = v->at[CIPHER]};
    return 0;
}
