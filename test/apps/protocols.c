/*
 * protocols.c: the functions of docs/protocols.md, as they stand there, in a server that a test talks to by the page's
 * own listen lines. `make check-style` compares the two: what is to change, changes in both.
 *
 *     protocols -o server.listen=LIST -o log.file=PATH
 */
#include <ctype.h>
#include <stdbool.h>

#include "mario/mario.h"

enum {
    SAY_HELLO = 0x6102,
    ECHO = 0x6103,
    ROOM = 7,
    ASK = 0x7100,
    SEARCH = 0x7008,
    WHO = 0x7009,
    AS_IT_CAME = 0x700a
};

/* ---- What the page's functions have around them ---- */

struct search {
    bool cancelled;
};

/* What was stored last; one worker. */
static struct {
    uint32 sensor, time;
    float value, temperature;
} stored;

static void temperature_of(void *device, float t)
{
    stored.temperature = device != NULL ? t : 0;
}

static void store(uint32 sensor, uint32 time, float value)
{
    stored.sensor = sensor;
    stored.time = time;
    stored.value = value;
}

/* ---- The page, which shows what a framing gets and names no parameter as unused ---- */

#pragma GCC diagnostic ignored "-Wunused-parameter"

static sint32 hello(CONN *c)
{
    return mario_reply(c, "hello", 5);
}

static sint32 add(CONN *c) /* "add 2 3" -> "5" */
{
    int a, b;
    if (sscanf(c->in_buf, "add %d %d", &a, &b) != 2)
        return mario_reply(c, "add A B", 7);
    return mario_reply(c, c->out_buf, (uint32) snprintf(c->out_buf, c->out_buf_len, "%d", a + b));
}

static sint32 telegram(CONN *c) /* STX temperature ETX, of a device that prints */
{
    float t;
    if (c->in_buf_len < 1 || c->in_buf[0] != 2 || sscanf(c->in_buf + 1, "%f", &t) != 1)
        return -1;
    temperature_of(c->user, t);
    return mario_reply(c, "\x06", 1); /* ACK ETX */
}

struct reading {
    uint32 sensor, time;
    float value;
} __attribute__((packed));

static sint32 reading(CONN *c) /* each is 12 bytes, whole */
{
    const struct reading *r = (const struct reading *) c->in_buf;
    store(r->sensor, r->time, r->value);
    return 0;
}

static sint32 upper(CONN *c) /* uint16 length, text -> the same in capitals */
{
    for (uint32 i = 0; i < c->in_buf_len; i++)
        c->out_buf[i] = (char) toupper((unsigned char) c->in_buf[i]);
    return mario_reply(c, c->out_buf, c->in_buf_len);
}

static sint32 echo(CONN *c) /* RFC 862 */
{
    return mario_reply(c, c->in_buf, c->in_buf_len);
}

static sint32 chat(CONN *c) /* ws.send("...") -> the same bytes to all in the room */
{
    struct mario_msg *m = mario_msg_packet(0x7005, c->in_buf, c->in_buf_len);
    if (m != NULL)
        mario_send_group(ROOM, m, 0);
    mario_msg_free(&m);
    return 0;
}

static sint32 what_time(CONN *c) /* as RFC 868 says it; whoever asks with four bytes is answered */
{
    uint32 now = htonl((uint32) time(NULL) + 2208988800u);
    return c->in_buf_len < sizeof now ? 0 : mario_reply(c, &now, sizeof now);
}

static sint32 who(CONN *c)
{
    char balancer[56], host[256];
    struct mario_proxy_ssl_info tls;
    if (mario_proxy_peer(c, balancer, sizeof balancer) != 0) /* it came without a header */
        return -1;
    if (mario_proxy_authority(c, host, sizeof host) == 0 && mario_proxy_ssl(c, &tls) == 0 && (tls.client & 1))
        return mario_reply(c, host, (uint32) strlen(host)); /* by TLS, to this name */
    return mario_reply(c, "plain", 5);
}

static sint32 interrupt(CONN *c) /* what Telnet's client sends for Ctrl-C */
{
    struct search *s = c->user;
    s->cancelled = true;
    return mario_reply(c, "cancelled", 9);
}

static enum mario_frame_answer next(const struct mario_framing *framing, void *state, ubyte *data, uint32 n,
                                    uint32 seen, struct mario_frame *frame)
{
    uint32 at = 3;
    if (data[0] != 'X')
        return MARIO_FRAME_BAD; /* told with the first byte, not with the last */
    if (n < at)
        return MARIO_FRAME_MORE; /* need stays 0: not known yet */
    frame->at = at;
    frame->len = (uint32) data[1] << 8 | data[2];
    frame->need = at + frame->len; /* the library compares it with max */
    frame->id = 0x7006;
    return n < frame->need ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

static sint32 wrap(CONN *c, uint16 id, const void *data, uint32 len)
{
    ubyte head[3] = {'X', (ubyte) (len >> 8), (ubyte) len};
    return bufferevent_write(c->bufev, head, sizeof head) | bufferevent_write(c->bufev, data, len);
}

static const struct mario_framing x = {.name = "x", .next = next, .wrap = wrap, .max = 4096};

/* ---- What the test asks besides ---- */

/* The packet's own bytes: for what strip=0 shows. */
static sint32 as_it_came(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

static sint32 search(CONN *c)
{
    const struct search *s = c->user;
    return s->cancelled ? mario_reply(c, "over", 4) : mario_reply(c, "searching", 9);
}

static sint32 ask(CONN *c)
{
    return mario_reply(c, &stored, sizeof stored);
}

static sint32 enter(CONN *c)
{
    c->user = calloc(1, sizeof(struct search));
    return c->user == NULL || mario_join(c, ROOM) != 0;
}

static sint32 leave(CONN *c)
{
    free(c->user);
    return 0;
}

static bool register_all(void)
{
    return regist_akg_func(SAY_HELLO, hello) == 0 && regist_word_func("hello", SAY_HELLO, NULL) == 0 &&
           regist_word_func("add", 0x7000, add) == 0 && regist_akg_func(0x7001, telegram) == 0 &&
           regist_akg_func(0x7002, reading) == 0 && regist_akg_func(0x7003, upper) == 0 &&
           regist_akg_func(0x7004, echo) == 0 && regist_akg_func(0x7005, chat) == 0 &&
           regist_akg_func(0x7006, echo) == 0 && regist_akg_func(0x7007, what_time) == 0 &&
           regist_akg_func(7, upper) == 0 && regist_akg_func(SEARCH, search) == 0 &&
           regist_akg_func(ECHO, as_it_came) == 0 && regist_akg_func(WHO, who) == 0 &&
           regist_akg_func(AS_IT_CAME, as_it_came) == 0 && regist_akg_func(ASK, ask) == 0 &&
           regist_urgent_func(interrupt) == 0 && regist_connected_func(enter) == 0 &&
           regist_disconnected_func(leave) == 0 && regist_stx(0x8eb69af7) == 0;
}

/* The value of -o key=value. */
static const char *option(int argc, char **argv, const char *key)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], key, strlen(key)) == 0)
            return argv[i] + strlen(key);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct mario_options o;
    mario_options_init(&o);
    o.listen = option(argc, argv, "server.listen=");
    o.workernum = 1;
    o.connnum = 100;
    if (regist_framing(&x) != 0)
        return 2;
    SERVER *server = mario_init_server(&o);
    if (server == NULL || !register_all() || mario_log_open(option(argc, argv, "log.file=")) != 0 ||
        start_log_thread() != 0)
        return 2;
    start_server(server);
    sint32 code = mario_server_exit_code(server);
    mario_log_flush(2000);
    mario_free_server(&server);
    return code;
}
