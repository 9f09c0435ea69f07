/*
 * mqtt.h: what goes over the wire for MQTT 3.1.1, and the functions that answer: a framing of one's own on libmario.
 *
 * A packet is a type byte, the length of its body as a varint (7 bits a byte, the lowest first), and the body. The id
 * of a packet is its type byte, so the library finds its function, and in_buf is its body.
 */
#ifndef MQTT_H
#define MQTT_H

#include <stdbool.h>

#include "mario/mario.h"

/* Type bytes. Those of clients, but for MQTT_PUBLISH_RETAIN: a message to be kept, which is not. */
enum {
    MQTT_CONNECT = 0x10,
    MQTT_PUBLISH = 0x30, /* from the server too */
    MQTT_PUBLISH_RETAIN = 0x31,
    MQTT_SUBSCRIBE = 0x82,
    MQTT_UNSUBSCRIBE = 0xa2,
    MQTT_PINGREQ = 0xc0,
    MQTT_DISCONNECT = 0xe0,
    /* Those of the server. */
    MQTT_CONNACK = 0x20,
    MQTT_SUBACK = 0x90,
    MQTT_UNSUBACK = 0xb0,
    MQTT_PINGRESP = 0xd0
};

/* The largest packet, all of its bytes: what comes as one PUBLISH leaves as one message. */
#define MQTT_MAX 65527u

/* ---- frame.c: the framing; pure ---- */

extern const struct mario_framing mqtt_framing; /* for regist_framing() */

/* ---- read.c: what stands in a body; pure ---- */

/* A body, read from its front. What is not there reads as zero, and makes it bad. */
struct mqtt_body {
    const ubyte *at;
    uint32 left;
    bool bad;
};

struct mqtt_text {
    const ubyte *at;
    uint16 len;
};

struct mqtt_connect {
    ubyte level; /* of the protocol: 4 is 3.1.1; of another one the rest is not read */
    bool clean, has_will;
    uint16 keep_alive; /* seconds, 0 = never mind */
    struct mqtt_text client, will_topic, will;
};

ubyte mqtt_byte(struct mqtt_body *b);
uint16 mqtt_number(struct mqtt_body *b);
/* Bytes with their length in front. */
struct mqtt_text mqtt_bytes(struct mqtt_body *b);
/* The same that must be UTF-8 without a zero byte. */
struct mqtt_text mqtt_text(struct mqtt_body *b);
/* The body of a CONNECT. False if it is none. */
bool mqtt_read_connect(const void *body, uint32 len, struct mqtt_connect *out);
/* Is it the name of a topic, and not a pattern, nor empty? */
bool mqtt_is_topic(struct mqtt_text t);

/* ---- topic.c: names become numbers ---- */

/* Main thread, before the server starts. 0, or -1 if the kernel has no random key. */
sint32 topic_setup(void);
/* The group of a topic, the user of a client's name: never 0, and of no other that anybody could find. Any thread. */
uint64 topic_number(struct mqtt_text name);
/* SipHash-2-4 of a name; pure. */
uint64 topic_hash(const uint64 key[2], struct mqtt_text name);

/* ---- broker.c: the business functions, and the end hook; on the connection's worker ---- */

sint32 broker_connect(CONN *c);
sint32 broker_publish(CONN *c);
sint32 broker_subscribe(CONN *c);
sint32 broker_unsubscribe(CONN *c);
sint32 broker_ping(CONN *c);
sint32 broker_disconnect(CONN *c);
sint32 broker_end(CONN *c);

#endif
