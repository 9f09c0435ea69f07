/*
 * notify.h: what the process is about, for who started it: a datagram to the socket that NOTIFY_SOCKET names, as in
 * sd_notify(3). Without that variable all of it does nothing.
 *
 * Whoever knows something notes it; the *speaker* alone sends, so that a later word never overtakes an earlier one: the
 * master, or with a supervising parent that one, since it is the process that was started. Sending never waits: what
 * the socket has no room for is sent with the next beat.
 */
#ifndef MARIO_PROCESS_NOTIFY_H
#define MARIO_PROCESS_NOTIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What is to be said: who knows (w) -> the speaker (r, takes). In memory shared with the parent, if there is one. */
struct notify_news {
    _Atomic uint32_t words;       /* of enum notify_word, a bit each */
    _Atomic uint32_t more_ms;     /* with STOPPING: how long that may take */
    _Atomic uint64_t connections; /* now */
};

/* Look who listens. The thread that makes the server, or the parent. A second call, or one in a child, does nothing. */
void notify_setup(void);

/* In a child: note in *news from now on, and have tell() say so to the parent, which is the speaker and reads there.
 * The parent calls notify_read() with the same once it has made the child. */
void notify_relay(struct notify_news *news, void (*tell)(void));
void notify_read(struct notify_news *news);

/* Any thread: the server serves; it reads its settings anew, and has done so; it stops, which may take so long. A
 * thread that is not the speaker's has it said at the next beat. */
void notify_ready(void);
void notify_reloading(void);
void notify_reloaded(void);
void notify_stopping(uint32_t more_ms);

/* The master: how many connections there are. */
void notify_connections(uint64_t n);

/* The speaker: how often it is to call notify_beat(), in ms, 0 = never; whether the master goes on, without which the
 * watchdog hears nothing; and to say at once what is noted. */
uint32_t notify_beat_ms(void);
void notify_beat(bool goes_on);
void notify_speak(void);

#endif
