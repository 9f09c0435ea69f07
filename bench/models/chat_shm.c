/*
 * chat_shm.c: a chat room of processes: one for each guest, messages in shared memory, pipes to wake each other.
 *
 * How: the parent forks a child for each guest. What a guest says its child writes into a ring of bytes that all
 * share, and puts a byte into the parent's pipe; the parent, who alone has everybody's, puts a byte into the pipe of
 * each child; each takes what is new in the ring and sends it to its guest with blocking calls. A child that is a whole
 * ring behind has lost messages, and ends. Limits: each message wakes every process, a pipe and two switches for each
 * guest, beside a process's memory and pid_max; a writer that dies inside the ring would leave it locked, so the lock
 * is a robust one. Right where guests must not touch each other, a crash is to cost one of them, and there are few.
 */
#include "chat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RING = 1024 * 1024, BATCH = 64 * 1024, MOST = 1 << 16 };

/* What stands before a message in the ring; each begins at a multiple of its size. */
struct mark {
    uint32_t len; /* of the message */
    uint32_t who; /* the child that wrote it */
};

/* Positions count all bytes ever written; a byte's place is its position modulo RING. */
struct shared {
    pthread_mutex_t lock;   /* one writer at a time */
    _Atomic uint64_t begun; /* written up to here, or being written: what is a RING behind it is no more */
    _Atomic uint64_t whole; /* readable up to here */
    ubyte bytes[RING];
};

/* A child, as the parent knows it. */
struct child {
    pid_t pid; /* 0 = free */
    int wake;  /* its pipe's end to write to */
};

static struct shared *ring;
static struct child children[MOST];
static int used;                  /* children[0 .. used - 1] may be there */
static int news[2];               /* any child (w) -> parent (r): somebody said something */
static struct wire_scratch batch; /* of a child: out is what its guest is to get */
static int spoke;                 /* of a child: it has to tell the parent */
static volatile sig_atomic_t child_ended, stopping;

/* ---- The ring ---- */

static void ring_setup(void)
{
    pthread_mutexattr_t kind;

    ring = mmap(NULL, sizeof *ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        model_die("shared memory");
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&ring->lock, &kind);
}

static void ring_copy_in(uint64_t at, const void *from, size_t len)
{
    size_t place = at % RING, first = len < RING - place ? len : RING - place;

    memcpy(ring->bytes + place, from, first);
    memcpy(ring->bytes, (const ubyte *) from + first, len - first);
}

static void ring_copy_out(uint64_t at, void *to, size_t len)
{
    size_t place = at % RING, first = len < RING - place ? len : RING - place;

    memcpy(to, ring->bytes + place, first);
    memcpy((ubyte *) to + first, ring->bytes, len - first);
}

static uint64_t next_mark(uint64_t at, size_t len)
{
    return at + sizeof(struct mark) +
           (len + sizeof(struct mark) - 1) / sizeof(struct mark) * sizeof(struct mark);
}

static void ring_write(struct stream *s, const ubyte *said, size_t len)
{
    struct mark mark = {.len = (uint32_t) len, .who = (uint32_t) getpid()};

    (void) s;
    if (pthread_mutex_lock(&ring->lock) == EOWNERDEAD) { /* what it had begun was never made readable */
        pthread_mutex_consistent(&ring->lock);
        atomic_store(&ring->begun, atomic_load(&ring->whole));
    }
    uint64_t at = atomic_load(&ring->whole), end = next_mark(at, len);
    atomic_store(&ring->begun, end);
    ring_copy_in(at, &mark, sizeof mark);
    ring_copy_in(at + sizeof mark, said, len);
    atomic_store(&ring->whole, end);
    pthread_mutex_unlock(&ring->lock);
    spoke = 1;
}

/* Copy messages of others from *at on, as many as fit, into batch.out. Returns their bytes, -1 if some are lost. */
static ssize_t ring_read(uint64_t *at)
{
    uint64_t whole = atomic_load(&ring->whole), p = *at;
    size_t len = 0;

    if (whole - p > RING)
        return -1;
    while (p < whole) {
        struct mark mark;

        ring_copy_out(p, &mark, sizeof mark);
        if (mark.len > CHAT_SAID_MAX) /* overwritten meanwhile, as the check below finds as well */
            return -1;
        if (len + mark.len > BATCH)
            break;
        if (mark.who != (uint32_t) getpid()) {
            ring_copy_out(p + sizeof mark, batch.out + len, mark.len);
            len += mark.len;
        }
        p = next_mark(p, mark.len);
    }
    if (atomic_load(&ring->begun) - *at > RING)
        return -1;
    *at = p;
    return (ssize_t) len;
}

/* ---- A child ---- */

/* All that is new to the guest. Returns 0, or -1 to end. */
static int hear(int fd, uint64_t *at)
{
    ssize_t len = 0;

    while (*at != atomic_load(&ring->whole)) {
        len = ring_read(at);
        for (ssize_t sent = 0, n; sent<len; sent += n> 0 ? n : 0) {
            n = send(fd, batch.out + sent, (size_t) (len - sent), MSG_NOSIGNAL);
            if (n < 0 && errno != EINTR)
                return -1;
        }
        if (len < 0)
            return -1;
    }
    return 0;
}

/* A byte for who waits at the other end. When the pipe is full there is one already. */
static void wake(int fd)
{
    while (write(fd, "", 1) < 0 && errno == EINTR)
        ;
}

static void clear(int fd)
{
    char bytes[4096];

    while (read(fd, bytes, sizeof bytes) == (ssize_t) sizeof bytes)
        ;
}

static void be_child(int fd, int woken, uint64_t at)
{
    struct stream *s = stream_open(fd);
    struct pollfd wait[2] = {{.fd = fd, .events = POLLIN}, {.fd = woken, .events = POLLIN}};

    while (s != NULL) {
        if (poll(wait, 2, -1) < 0)
            continue;
        if (wait[1].revents != 0) {
            clear(woken);
            if (hear(fd, &at) != 0)
                return;
        }
        if (wait[0].revents != 0 && chat_readable(s, ring_write) != 0)
            return;
        if (spoke)
            wake(news[1]);
        spoke = 0;
    }
}

/* ---- The parent ---- */

static void on_signal(int sig)
{
    if (sig == SIGCHLD)
        child_ended = 1;
    else
        stopping = 1;
}

/* Block what the parent listens to; *before is the mask that children and the parent's wait use. */
static void signals_setup(sigset_t *before)
{
    static const int sigs[] = {SIGCHLD, SIGTERM, SIGINT};
    struct sigaction act = {.sa_handler = on_signal};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof sigs / sizeof sigs[0]; i++) {
        sigaddset(&set, sigs[i]);
        sigaction(sigs[i], &act, NULL);
    }
    sigprocmask(SIG_BLOCK, &set, before);
}

/* In the new process: close what is the parent's, above all its ends of everybody's pipes. keep is in order. */
static void close_others(const int *keep, size_t n)
{
    unsigned from = STDERR_FILENO + 1;

    for (size_t i = 0; i < n; i++) {
        if ((unsigned) keep[i] > from)
            close_range(from, (unsigned) keep[i] - 1, 0);
        from = (unsigned) keep[i] + 1;
    }
    close_range(from, ~0u, 0);
}

static int by_number(const void *a, const void *b)
{
    return *(const int *) a - *(const int *) b;
}

static void begin_child(int fd, int woken, uint64_t at, int parent, const sigset_t *mask)
{
    int keep[] = {fd, woken, news[1]};

    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    model_child(parent);
    qsort(keep, sizeof keep / sizeof keep[0], sizeof keep[0], by_number);
    close_others(keep, sizeof keep / sizeof keep[0]);
    be_child(fd, woken, at);
    _exit(0);
}

static void welcome(int fd, int parent, const sigset_t *mask)
{
    uint64_t at = atomic_load(&ring->whole);
    int place = 0, ends[2];

    while (place < used && children[place].pid != 0)
        place++;
    if (place == MOST || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        close(fd);
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        begin_child(fd, ends[0], at, parent, mask);
    close(fd); /* the child has both; if there could be none, the guest is refused */
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return;
    }
    children[place] = (struct child){.pid = pid, .wake = ends[1]};
    if (place == used)
        used++;
}

/* One signal may stand for many children. */
static void reap(void)
{
    pid_t pid;

    child_ended = 0;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (int i = 0; i < used; i++)
            if (children[i].pid == pid) {
                close(children[i].wake);
                children[i].pid = 0;
            }
}

/* Who spoke is woken too: his child knows its own messages and sends none back. */
static void wake_all(void)
{
    clear(news[0]);
    for (int i = 0; i < used; i++)
        if (children[i].pid != 0)
            wake(children[i].wake);
}

/* The children are in the parent's process group, and nobody else is. */
static void end_children(void)
{
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
}

int main(int argc, char **argv)
{
    int parent = getpid(), fd;
    sigset_t mask;

    setpgid(0, 0); /* fails if it leads a session: then it has a group of its own already */
    int listener = model_start(argc, argv, SOCK_NONBLOCK);
    ring_setup();
    if (pipe2(news, O_NONBLOCK | O_CLOEXEC) != 0)
        model_die("pipe");
    struct pollfd wait[] = {{.fd = listener, .events = POLLIN}, {.fd = news[0], .events = POLLIN}};
    signals_setup(&mask);

    while (!stopping) {
        int ready = ppoll(wait, 2, NULL, &mask);

        if (child_ended)
            reap();
        if (ready <= 0)
            continue;
        if (wait[1].revents != 0)
            wake_all();
        if (wait[0].revents != 0 && (fd = model_accept(listener, 0)) >= 0)
            welcome(fd, parent, &mask);
    }
    end_children();
    return 0;
}
