/*
 * broker.c: what MQTT's packets do here: a topic is a group, a client's name is a user. Runs on the connection's
 * worker.
 *
 * What belongs to a connection hangs on c->user from its CONNECT on; before that nothing else is answered. The packets
 * to subscribers are made once and shared: a PUBLISH leaves with the very body that it came with.
 */
#include "mqtt.h"

struct session {
    struct mario_msg *will; /* said when it ends without a DISCONNECT, or NULL */
    uint64 will_topic;
    uint64 heard;      /* when it sent something last, ms */
    uint32 silence_ms; /* after which it is ended; 0 = never */
};

enum { /* of a CONNACK */
       ACCEPTED = 0,
       WRONG_LEVEL = 1,
       WRONG_NAME = 2,
       NO_SERVICE = 3,
       WRONG_LEVEL_5 = 0x84 /* in the words of MQTT 5 */
};

#define NOT_SUBSCRIBED 0x80u /* in a SUBACK; 0 is subscribed, with QoS 0 */

static uint64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64) t.tv_sec * 1000 + (uint64) t.tv_nsec / 1000000;
}

/* c's, which was heard; NULL if it has not said CONNECT, and so may say nothing else. */
static struct session *session_of(const CONN *c)
{
    struct session *s = c->user;
    if (s != NULL)
        s->heard = now_ms();
    return s;
}

static struct mqtt_body body_of(const CONN *c)
{
    return (struct mqtt_body){.at = (const ubyte *) c->in_buf, .left = c->in_buf_len};
}

/* ---- CONNECT ---- */

static sint32 refuse(CONN *c, ubyte level, ubyte why)
{
    ubyte words[3] = {0, why, 0}; /* MQTT 5 has properties behind: none */
    struct session *s = c->user;
    if (s != NULL)
        mario_msg_free(&s->will);
    mario_reply_id(c, MQTT_CONNACK, words, level == 5 ? 3 : 2);
    close_conn(c, 0);
    return 0;
}

/* The message that is said when c ends; NULL without memory. */
static struct mario_msg *will_of(CONN *c, const struct mqtt_connect *req)
{
    uint32 len = 2u + req->will_topic.len;
    memcpy(c->out_buf, req->will_topic.at - 2, len); /* its length stands before it */
    memcpy(c->out_buf + len, req->will.at, req->will.len);
    return mario_msg_packet(MQTT_PUBLISH, c->out_buf, len + req->will.len);
}

static sint32 look_for_silence(CONN *c, void *unused)
{
    const struct session *s = c->user;
    uint64 silent = now_ms() - s->heard;
    (void) unused;
    if (silent < s->silence_ms)
        return mario_timer(c, s->silence_ms - (uint32) silent, look_for_silence, NULL);
    close_conn(c, g_akg_timeout_id);
    return 0;
}

/* c has a session from now on. False without memory. */
static bool session_begin(CONN *c, const struct mqtt_connect *req)
{
    struct session *s = calloc(1, sizeof *s);
    c->user = s;
    if (s == NULL)
        return false;
    s->heard = now_ms();
    s->silence_ms = req->keep_alive * 1500u; /* the protocol's one and a half times */
    if (s->silence_ms > 0 && mario_timer(c, s->silence_ms, look_for_silence, NULL) != 0)
        return false;
    if (!req->has_will)
        return true;
    s->will_topic = topic_number(req->will_topic);
    s->will = will_of(c, req);
    return s->will != NULL;
}

/* Of two with the same name the older one goes, a moment later. CONNACK does not wait for that: nothing may be answered
 * before it, and a client need not wait for it. Nothing is kept of who was here before: "session present" is 0. */
sint32 broker_connect(CONN *c)
{
    static const ubyte accepted[2] = {0, ACCEPTED};
    struct mqtt_connect req;
    if (c->user != NULL || !mqtt_read_connect(c->in_buf, c->in_buf_len, &req))
        return -1;
    if (req.level != 4)
        return refuse(c, req.level, req.level == 5 ? WRONG_LEVEL_5 : WRONG_LEVEL);
    if (req.client.len == 0 && !req.clean)
        return refuse(c, req.level, WRONG_NAME);
    if (!session_begin(c, &req) ||
        (req.client.len > 0 && mario_bind(c, topic_number(req.client), MARIO_BIND_KICK_OLD, 1) != 0))
        return refuse(c, req.level, NO_SERVICE);
    return mario_reply_id(c, MQTT_CONNACK, accepted, sizeof accepted);
}

/* ---- Topics ---- */

/* One that finds no room is dropped and counted by the library: that is QoS 0. */
sint32 broker_publish(CONN *c)
{
    struct mqtt_body b = body_of(c);
    struct mqtt_text topic = mqtt_text(&b);
    if (session_of(c) == NULL || b.bad || !mqtt_is_topic(topic))
        return -1;
    struct mario_msg *m = mario_msg_packet(MQTT_PUBLISH, c->in_buf, c->in_buf_len);
    if (m != NULL)
        mario_send_group(topic_number(topic), m, 0);
    mario_msg_free(&m);
    return 0;
}

/* The answer is the request's number, and a byte for each topic. */
sint32 broker_subscribe(CONN *c)
{
    struct mqtt_body b = body_of(c);
    uint32 n = sizeof(uint16);
    memcpy(c->out_buf, c->in_buf, c->in_buf_len < n ? c->in_buf_len : n);
    if (session_of(c) == NULL || mqtt_number(&b) == 0 || b.left == 0)
        return -1;
    while (b.left > 0) {
        struct mqtt_text topic = mqtt_text(&b);
        ubyte qos = mqtt_byte(&b);
        if (b.bad || topic.len == 0 || qos > 2)
            return -1;
        bool joined = mqtt_is_topic(topic) && mario_join(c, topic_number(topic)) == 0;
        c->out_buf[n++] = (char) (joined ? 0 : NOT_SUBSCRIBED);
    }
    return mario_reply_id(c, MQTT_SUBACK, c->out_buf, n);
}

sint32 broker_unsubscribe(CONN *c)
{
    struct mqtt_body b = body_of(c);
    const char *number = c->in_buf;
    if (session_of(c) == NULL || mqtt_number(&b) == 0 || b.left == 0)
        return -1;
    while (b.left > 0) {
        struct mqtt_text topic = mqtt_text(&b);
        if (b.bad || topic.len == 0)
            return -1;
        mario_leave(c, topic_number(topic));
    }
    return mario_reply_id(c, MQTT_UNSUBACK, number, sizeof(uint16));
}

/* ---- The rest ---- */

sint32 broker_ping(CONN *c)
{
    if (session_of(c) == NULL || c->in_buf_len != 0)
        return -1;
    return mario_reply_id(c, MQTT_PINGRESP, NULL, 0);
}

sint32 broker_disconnect(CONN *c)
{
    struct session *s = session_of(c);
    if (s == NULL || c->in_buf_len != 0)
        return -1;
    mario_msg_free(&s->will);
    close_conn(c, 0);
    return 0;
}

sint32 broker_end(CONN *c)
{
    struct session *s = c->user;
    if (s == NULL)
        return 0;
    if (s->will != NULL)
        mario_send_group(s->will_topic, s->will, 0);
    mario_msg_free(&s->will);
    free(s);
    c->user = NULL;
    return 0;
}
