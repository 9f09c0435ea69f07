/*
 * talk.c: one connection that talks. Main thread. It waits for each answer, and prints what others push and say while
 * it waits.
 */
#include "talk.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "protocol/mario_protocol.h"
#include "test/lib/args.h"
#include "test/lib/clock.h"
#include "test/lib/exchange.h"
#include "test/lib/fault.h"
#include "test/lib/secure.h"
#include "test/lib/show.h"
#include "test/lib/wire.h"

#define GLANCE_MS 100 /* the longest wait, so that a signal that came in between is seen */

/* Rows in the order of enum talk_kind. A command without an answer of its own is followed by an ECHO of nothing, whose
 * answer says that the server has done it. */
static const struct kind {
    const char *name, *done;
    uint16_t akg_id;
    uint32_t number_len; /* bytes of it on the wire */
    bool has_text, has_answer;
} kinds[] = {
    {"LOGIN uid", "done", CMD_FUNCTION_LOGIN, sizeof(LOGIN_REQ), false, true},
    {"JOIN", "done", CMD_FUNCTION_JOIN, sizeof(GROUP_REQ), false, true},
    {"LEAVE", "done", CMD_FUNCTION_LEAVE, sizeof(GROUP_REQ), false, true},
    {"PUSH_TO", "accepted", CMD_FUNCTION_PUSH_TO, sizeof(PUSH_TO_REQ), true, true},
    {"SAY", "said", CMD_FUNCTION_SAY, sizeof(GROUP_REQ), true, false},
    {"WHO", "", CMD_FUNCTION_WHO, sizeof(GROUP_REQ), false, true},
};

/* The conversation; there is one. */
static struct {
    const struct talk_as *as;
    int fd;
    unsigned char in[2 * WIRE_PACKET_MAX];
    size_t have, used; /* in `in`; used: the packet that was looked at last */
} conv;

int talk_add(struct talk *t, enum talk_kind kind, const char *name, const char *arg)
{
    const struct kind *k = &kinds[kind];
    char number[32];
    const char *colon = k->has_text ? strchr(arg, ':') : NULL;
    size_t len = colon != NULL ? (size_t) (colon - arg) : strlen(arg);
    if (t->count == TALK_STEPS_MAX)
        return args_complain("%s: more than %u things to do", name, TALK_STEPS_MAX), -1;
    if (k->has_text && colon == NULL)
        return args_complain("%s: '%s' is not %s:TEXT", name, arg, k->number_len == 2 ? "UID" : "GROUP"), -1;
    struct talk_step *s = &t->steps[t->count];
    *s = (struct talk_step){.kind = kind, .text = colon != NULL ? colon + 1 : ""};
    snprintf(number, sizeof number, "%.*s", (int) (len < sizeof number ? len : sizeof number - 1), arg);
    bool uid = k->number_len == sizeof(uint16_t);
    if (args_whole(name, number, uid ? 0 : 1, uid ? UINT16_MAX : UINT64_MAX, &s->number) != 0)
        return -1;
    if (strlen(s->text) > SAY_MAX)
        return args_complain("%s: the text is longer than %u bytes", name, SAY_MAX), -1;
    t->count++;
    return 0;
}

/* ---- Packets ---- */

static int complain(const char *what, uint64_t number, const char *why)
{
    fprintf(stderr, "mario_test: %s", conv.as->target->name);
    if (what != NULL)
        fprintf(stderr, ": %s %" PRIu64, what, number);
    fprintf(stderr, ": %s\n", why);
    return -1;
}

/* The next packet, which then begins at the return value; NULL with *why when there is none before `deadline`, or none
 * any more. *why is NULL after a signal. */
static const unsigned char *next_packet(uint64_t deadline, const char **why)
{
    conv.have -= conv.used;
    memmove(conv.in, conv.in + conv.used, conv.have);
    conv.used = 0;
    while (conv.have < WIRE_HEAD_LEN || conv.have < wire_get_head(conv.in).pkglen) {
        int left = ms_left(deadline);
        struct pollfd p = {.fd = conv.fd, .events = POLLIN};
        *why = *conv.as->stop != 0 ? NULL : fault_text(FAULT_TIMEOUT);
        if (*conv.as->stop != 0 || left == 0)
            return NULL;
        if (poll(&p, 1, left < GLANCE_MS ? left : GLANCE_MS) <= 0)
            continue;
        ptrdiff_t n = net_recv(conv.fd, conv.in + conv.have, sizeof conv.in - conv.have);
        *why = n == 0 ? fault_text(FAULT_CLOSED) : secure_error(errno);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return NULL;
        conv.have += n > 0 ? (size_t) n : 0;
        *why = fault_text(FAULT_BAD_STX);
        if (conv.have >= WIRE_HEAD_LEN && wire_get_head(conv.in).stx != conv.as->stx)
            return NULL;
        *why = fault_text(FAULT_BAD_LENGTH);
        if (conv.have >= WIRE_HEAD_LEN && wire_get_head(conv.in).pkglen < WIRE_HEAD_LEN)
            return NULL;
    }
    conv.used = wire_get_head(conv.in).pkglen;
    return conv.in;
}

/* Print a message that others pushed or said, or that the server says to who is to leave. False: it is none. */
static bool show_message(const unsigned char *in)
{
    struct wire_head h = wire_get_head(in);
    const unsigned char *data = in + WIRE_HEAD_LEN;
    size_t n = h.pkglen - WIRE_HEAD_LEN, head = 0;
    if (h.akg_id == CMD_FUNCTION_PUSHED && n >= sizeof(PUSHED_MSG)) {
        head = sizeof(PUSHED_MSG);
        printf("PUSHED from %u: \"", wire_get16(data));
    } else if (h.akg_id == CMD_FUNCTION_SAID && n >= sizeof(SAID_MSG)) {
        head = sizeof(SAID_MSG);
        printf("SAID in %" PRIu64 " by %u: \"", wire_get64(data), wire_get16(data + 8));
    } else if (exchange_is_away(conv.as->stx, in, h.pkglen) > 0) {
        printf("GO_AWAY: the server drains, come back after %u s\n", wire_get16(data));
        return true;
    } else {
        return false;
    }
    show_text(stdout, data + head, n - head);
    puts("\"");
    return true;
}

/* ---- Asking ---- */

static size_t build(const struct talk_step *s, unsigned char *out)
{
    const struct kind *k = &kinds[s->kind];
    size_t text = strlen(s->text), n = WIRE_HEAD_LEN + k->number_len + text;
    wire_put_head(out, (struct wire_head){conv.as->stx, (uint16_t) n, k->akg_id});
    if (k->number_len == sizeof(uint16_t))
        wire_put16(out + WIRE_HEAD_LEN, (uint16_t) s->number);
    else
        wire_put64(out + WIRE_HEAD_LEN, s->number);
    memcpy(out + WIRE_HEAD_LEN + k->number_len, s->text, text);
    if (k->has_answer)
        return n;
    wire_put_head(out + n, (struct wire_head){conv.as->stx, WIRE_HEAD_LEN, CMD_FUNCTION_ECHO});
    return n + WIRE_HEAD_LEN;
}

/* The answer to s is at in. 0, or -1 after a complaint. */
static int take_answer(const struct talk_step *s, const unsigned char *in, uint64_t took)
{
    const struct kind *k = &kinds[s->kind];
    size_t n = wire_get_head(in).pkglen - WIRE_HEAD_LEN;
    bool counts = s->kind == TALK_WHO;
    if (n == sizeof(REFUSED) && !counts)
        return complain(k->name, s->number,
                        in[WIRE_HEAD_LEN] == REFUSED_TAKEN
                            ? "refused: this uid is logged in elsewhere, and login.policy is refuse_new"
                            : "refused: the server is busy, try again later");
    if (n != (counts ? sizeof(WHO_RSP) : 0))
        return complain(k->name, s->number, fault_text(FAULT_BAD_LENGTH));
    if (conv.as->quiet)
        return 0;
    printf("%s %" PRIu64 ": ", k->name, s->number);
    if (counts)
        printf("%" PRIu64 " there", wire_get64(in + WIRE_HEAD_LEN));
    printf("%s in %.3f ms\n", k->done, (double) took / (double) NS_PER_MS);
    return 0;
}

static uint64_t deadline(void)
{
    return mono_ns() + (uint64_t) (conv.as->timeout_s * (double) NS_PER_S);
}

/* One step with its answer. 0, or -1 after a complaint, or silently after a signal. */
static int step(const struct talk_step *s)
{
    static unsigned char out[WIRE_PACKET_MAX + WIRE_HEAD_LEN];
    const struct kind *k = &kinds[s->kind];
    uint16_t awaited = k->has_answer ? k->akg_id : CMD_FUNCTION_ECHO;
    const char *why;
    uint64_t begin = mono_ns(), until = deadline();
    if (net_send_wait(conv.fd, out, build(s, out), until) != 0)
        return complain(k->name, s->number, secure_error(errno));
    for (const unsigned char *in; (in = next_packet(until, &why)) != NULL;) {
        if (wire_get_head(in).akg_id == awaited)
            return take_answer(s, in, mono_ns() - begin);
        if (!show_message(in))
            return complain(k->name, s->number, fault_text(FAULT_BAD_AKG));
    }
    return why != NULL ? complain(k->name, s->number, why) : -1;
}

/* Print what comes. 0 when the time is over or after a signal, else -1 after a complaint. */
static int listen_for(double seconds)
{
    bool forever = seconds <= 0;
    const char *why = NULL;
    uint64_t until = mono_ns() + (uint64_t) (seconds * (double) NS_PER_S);
    if (!conv.as->quiet)
        puts(forever ? "listening, until ^C" : "listening");
    for (;;) {
        const unsigned char *in = next_packet(forever ? mono_ns() + NS_PER_S : until, &why);
        if (in != NULL && !show_message(in))
            return complain(NULL, 0, "something came that is no message");
        if (in == NULL && why == NULL)
            return 0;
        bool timeout = in == NULL && strcmp(why, fault_text(FAULT_TIMEOUT)) == 0;
        if (timeout && !forever)
            return 0;
        if (in == NULL && !timeout)
            return complain(NULL, 0, why);
    }
}

int talk_run(const struct talk *t, const struct talk_as *as)
{
    conv.as = as;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what comes is seen when it comes, in a pipe too */
    conv.fd = net_connect_wait(as->target, deadline());
    if (conv.fd < 0)
        return complain(NULL, 0, secure_error(errno)), 1;
    const struct talk_step login = {.kind = TALK_LOGIN, .number = as->uid, .text = ""};
    int rc = step(&login);
    for (uint32_t i = 0; i < t->count && rc == 0; i++)
        rc = step(&t->steps[i]);
    if (rc == 0 && t->listens)
        rc = listen_for(t->listen_s);
    net_close(conv.fd);
    return rc == 0 ? 0 : 1;
}
