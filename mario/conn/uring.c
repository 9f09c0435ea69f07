/*
 * uring.c: batches of sends by liburing, which is loaded when it is wanted. The thread that owns the ring's shard;
 * creating while no worker runs.
 */
#include "mario/conn/uring.h"

#ifdef MARIO_WITH_URING

#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mario/base/check.h"

enum {
    BATCH = 256,      /* sends */
    PIECES = 4096,    /* of all of them */
    PIECES_LEAST = 64 /* that the next one may have, else the batch is full */
};

struct request {
    void *who;
    size_t len;
    ssize_t result;
    struct msghdr message;
};

struct uring {
    struct io_uring ring;
    unsigned count; /* requests */
    size_t used;    /* pieces */
    struct request request[BATCH];
    struct iovec vec[PIECES];
};

/* What is not inline in liburing.h. */
static struct {
    int (*init)(unsigned entries, struct io_uring *ring, struct io_uring_params *p);
    void (*exit)(struct io_uring *ring);
    struct io_uring_sqe *(*get_sqe)(struct io_uring *ring);
    int (*submit_and_wait)(struct io_uring *ring, unsigned n);
} lib;

static bool load(void)
{
    if (lib.init != NULL)
        return true;
    void *so = dlopen("liburing.so.2", RTLD_NOW | RTLD_LOCAL);
    if (so == NULL)
        return false;
    *(void **) &lib.exit = dlsym(so, "io_uring_queue_exit");
    *(void **) &lib.get_sqe = dlsym(so, "io_uring_get_sqe");
    *(void **) &lib.submit_and_wait = dlsym(so, "io_uring_submit_and_wait");
    if (lib.exit != NULL && lib.get_sqe != NULL && lib.submit_and_wait != NULL)
        *(void **) &lib.init = dlsym(so, "io_uring_queue_init_params");
    return lib.init != NULL;
}

struct uring *uring_create(const char **why)
{
    struct io_uring_params p = {.flags = 0};
    if (!load()) {
        *why = "liburing.so.2 cannot be loaded";
        return NULL;
    }
    struct uring *u = malloc(sizeof *u);
    if (u == NULL) {
        *why = "no memory";
        return NULL;
    }
    u->count = 0;
    u->used = 0;
    int rc = lib.init(BATCH, &u->ring, &p);
    if (rc < 0) {
        *why = rc == -EPERM || rc == -EACCES ? "the kernel does not allow io_uring"
               : rc == -ENOSYS               ? "the kernel has no io_uring"
                                             : "the kernel has no ring to give";
        free(u);
        return NULL;
    }
    return u;
}

void uring_destroy(struct uring **u)
{
    if (*u == NULL)
        return;
    lib.exit(&(*u)->ring);
    free(*u);
    *u = NULL;
}

struct iovec *uring_next(struct uring *u, size_t *n)
{
    *n = PIECES - u->used < PIECES_LEAST ? PIECES - u->used : PIECES_LEAST;
    return u->count < BATCH && *n == PIECES_LEAST ? u->vec + u->used : NULL;
}

void uring_send(struct uring *u, int fd, size_t n, void *who)
{
    struct io_uring_sqe *e = lib.get_sqe(&u->ring);
    struct request *r = &u->request[u->count];
    struct iovec *vec = u->vec + u->used;
    CHECK(e != NULL && u->count < BATCH && n <= PIECES - u->used);
    *r = (struct request){.who = who, .result = -EINTR, .message = {.msg_iov = vec, .msg_iovlen = n}};
    for (size_t i = 0; i < n; i++)
        r->len += vec[i].iov_len;
    if (n == 1)
        io_uring_prep_send(e, fd, vec->iov_base, vec->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    else
        io_uring_prep_sendmsg(e, fd, &r->message, MSG_NOSIGNAL | MSG_DONTWAIT);
    e->user_data = u->count;
    u->count++;
    u->used += n;
}

/* Take what is completed. How many. */
static unsigned reap(struct uring *u)
{
    struct io_uring_cqe *e;
    unsigned head, n = 0;
    io_uring_for_each_cqe(&u->ring, head, e)
    {
        CHECK(e->user_data < u->count);
        u->request[e->user_data].result = e->res;
        n++;
    }
    io_uring_cq_advance(&u->ring, n);
    return n;
}

/* Submit all, and wait until all are done, which they are at once. A kernel that is short of something for a moment is
 * asked again; one that stays so has taken the first ones only: if one of those has no answer nobody can know what
 * became of it. */
static bool complete(struct uring *u)
{
    unsigned taken = 0, seen = 0;
    for (int failures = 0; seen < u->count && failures < 100;) {
        int rc = lib.submit_and_wait(&u->ring, u->count - seen);
        if (rc > 0)
            taken += (unsigned) rc;
        unsigned n = reap(u);
        seen += n;
        if (rc < 0 && rc != -EINTR && n == 0)
            failures++;
    }
    for (unsigned i = 0; i < taken && seen < u->count; i++) {
        if (u->request[i].result == -EINTR)
            u->request[i].result = -EIO;
    }
    return seen == u->count;
}

bool uring_run(struct uring *u, void (*done)(void *who, ssize_t result, size_t len))
{
    bool ok = complete(u);
    for (unsigned i = 0; i < u->count; i++)
        done(u->request[i].who, u->request[i].result, u->request[i].len);
    u->count = 0;
    u->used = 0;
    return ok;
}

#else

struct uring *uring_create(const char **why)
{
    *why = "this library was built without liburing";
    return NULL;
}

void uring_destroy(struct uring **u)
{
    *u = NULL;
}

struct iovec *uring_next(struct uring *u, size_t *n)
{
    (void) u;
    *n = 0;
    return NULL;
}

void uring_send(struct uring *u, int fd, size_t n, void *who)
{
    (void) u;
    (void) fd;
    (void) n;
    (void) who;
}

bool uring_run(struct uring *u, void (*done)(void *who, ssize_t result, size_t len))
{
    (void) u;
    (void) done;
    return false;
}

#endif
