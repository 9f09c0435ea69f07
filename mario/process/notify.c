/*
 * notify.c: words for a service manager. Noting them is for any thread, sending them for the speaker alone: notify.h.
 * The protocol is as small as this; a library for it would be the only one that all servers here are linked with
 * beside libevent.
 */
#include "mario/process/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/base/complain.h"

enum notify_word { WORD_RELOADING, WORD_READY, WORD_STOPPING }; /* in the order in which they are said */

enum {
    BEATS = 4,          /* in the time that the watchdog waits */
    BEAT_MAX_MS = 1000, /* for the number of connections, and what the socket had no room for */
    TEXT = 256
};

static struct {
    bool looked;
    int fd; /* -1: nobody listens */
    struct sockaddr_un to;
    socklen_t len;
    uint64_t watchdog_ms; /* 0 = none */
    bool serves;          /* READY was said */
    bool stops;           /* STOPPING was, which is the last word */
    uint32_t more_ms;     /* with it */
    uint64_t beat_ms;     /* when the last was */
    uint64_t said;        /* connections, last */
    struct notify_news own, *news;
    void (*tell)(void); /* NULL in the speaker */
} notify = {.fd = -1, .said = UINT64_MAX, .news = &notify.own};

/* ---- Before ---- */

static bool find(const char *name)
{
    size_t n = strlen(name);
    notify.to.sun_family = AF_UNIX;
    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof notify.to.sun_path)
        return complain("NOTIFY_SOCKET=%.120s is no path and no abstract socket: nobody is notified", name);
    memcpy(notify.to.sun_path, name, n + 1);
    if (name[0] == '@')
        notify.to.sun_path[0] = '\0';
    notify.len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n);
    return true;
}

static uint64_t watchdog_of(const char *usec, const char *pid)
{
    uint64_t ms = usec != NULL ? strtoull(usec, NULL, 10) / 1000 : 0;
    return pid == NULL || strtol(pid, NULL, 10) == getpid() ? ms : 0;
}

void notify_setup(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (notify.looked)
        return;
    notify.looked = true;
    if (name == NULL || name[0] == '\0' || !find(name))
        return;
    notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (notify.fd < 0)
        complain("nobody is notified: %s", strerror(errno));
    notify.watchdog_ms = watchdog_of(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
}

void notify_relay(struct notify_news *news, void (*tell)(void))
{
    notify.news = news;
    notify.tell = tell;
}

void notify_read(struct notify_news *news)
{
    notify.news = news;
    notify.serves = false; /* the new child has yet to say so */
}

/* ---- Noting ---- */

static void note(enum notify_word word)
{
    atomic_fetch_or_explicit(&notify.news->words, 1u << word, memory_order_acq_rel);
    if (notify.tell != NULL)
        notify.tell();
}

void notify_ready(void)
{
    note(WORD_READY);
}

void notify_reloading(void)
{
    note(WORD_RELOADING);
}

void notify_reloaded(void)
{
    note(WORD_READY);
}

void notify_stopping(uint32_t more_ms)
{
    atomic_store_explicit(&notify.news->more_ms, more_ms, memory_order_relaxed);
    note(WORD_STOPPING);
}

void notify_connections(uint64_t n)
{
    atomic_store_explicit(&notify.news->connections, n, memory_order_relaxed);
}

/* ---- Speaking ---- */

/* False if it is to be tried again. Who does not listen any more is not waited for. */
static bool send_text(const char *text)
{
    ssize_t n =
        sendto(notify.fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *) &notify.to, notify.len);
    return n >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != EINTR);
}

static bool say(enum notify_word word)
{
    char text[TEXT];
    uint32_t more_ms = atomic_load_explicit(&notify.news->more_ms, memory_order_relaxed);
    if (notify.stops && (word != WORD_STOPPING || more_ms <= notify.more_ms))
        return true;
    switch (word) {
    case WORD_RELOADING:
        snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
                 (unsigned long long) (clock_ns() / 1000));
        break;
    case WORD_READY:
        snprintf(text, sizeof text, "READY=1");
        break;
    default:
        snprintf(text, sizeof text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", more_ms * 1000ull);
    }
    if (!send_text(text))
        return false;
    notify.serves = notify.serves || word == WORD_READY;
    if (word == WORD_STOPPING) {
        notify.stops = true;
        notify.more_ms = more_ms;
    }
    return true;
}

void notify_speak(void)
{
    if (notify.tell != NULL || notify.fd < 0)
        return;
    uint32_t words = atomic_exchange_explicit(&notify.news->words, 0, memory_order_acq_rel);
    for (int w = WORD_RELOADING; w <= WORD_STOPPING; w++) {
        if ((words & 1u << w) != 0 && !say((enum notify_word) w)) {
            atomic_fetch_or_explicit(&notify.news->words, words & ~((1u << w) - 1), memory_order_acq_rel);
            return;
        }
    }
}

uint32_t notify_beat_ms(void)
{
    uint64_t ms = notify.watchdog_ms / BEATS;
    if (notify.fd < 0)
        return 0;
    return notify.watchdog_ms == 0 || ms > BEAT_MAX_MS ? BEAT_MAX_MS : ms > 0 ? (uint32_t) ms : 1;
}

void notify_beat(bool goes_on)
{
    char text[TEXT];
    if (notify.tell != NULL || notify.fd < 0)
        return;
    notify_speak();
    uint64_t now = clock_ms();
    if (now - notify.beat_ms < notify_beat_ms() / 2)
        return; /* signals wake the parent more often */
    notify.beat_ms = now;
    if (goes_on && notify.watchdog_ms != 0)
        send_text("WATCHDOG=1");
    uint64_t n = atomic_load_explicit(&notify.news->connections, memory_order_relaxed);
    if (!notify.serves || n == notify.said)
        return;
    snprintf(text, sizeof text, "STATUS=%llu connections", (unsigned long long) n);
    if (send_text(text))
        notify.said = n;
}
