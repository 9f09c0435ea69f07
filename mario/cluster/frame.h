/*
 * frame.h: what nodes send each other: one message of the bus is one frame. Pure; any thread.
 *
 *   offset 0  'M'               all numbers little-endian
 *          1  version: 1; what has another one is none, and said to be so
 *          2  kind
 *          3  flags             those that nobody has yet are not looked at: they say nothing of what stands where
 *          4  uint16 reason     KICK_USER: what end hooks get. USER, GROUP, ALL: 1: made of packets
 *          6  uint16            0
 *          8  uint64 epoch      of the node that sent it, drawn when it started, not 0
 *         16  uint64 sequence   see sequence.h; 0: it has none. ASK, ANSWER: the question's number
 *         24  uint64 key        uid or group; else 0
 *      if FRAME_KEY:   uint64   mario_msg_key()
 *      if FRAME_STAMP: uint32   1 + offset, see mario_msg_stamp(). KICK_USER: 1: the last message is made of packets
 *      body: USER, GROUP, ALL: the message. KICK_USER: the last one, or nothing. ASK, HEARTBEAT, LEAVE: the name of the
 *      node that sent it. ANSWER: uint64 count. REPLACED: "EPOCH ID" in decimal, of the connection. ALONE: nothing; a
 *      user has a connection that claimed to be his only one, so those that claimed nothing have to go.
 *
 * Servers of a cluster are upgraded one after the other. Those of before there were packets (mario_msg_packets()) take
 * no frame with a flag they do not know. So it stands where they do not look that a message is made of packets: they
 * deliver it as bytes, which is what it is to their clients.
 */
#ifndef MARIO_CLUSTER_FRAME_H
#define MARIO_CLUSTER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_kind {
    FRAME_USER = 1,
    FRAME_GROUP,
    FRAME_ALL,
    FRAME_KICK_USER,
    FRAME_REPLACED,
    FRAME_ASK,
    FRAME_ANSWER,
    FRAME_HEARTBEAT,
    FRAME_LEAVE,
    FRAME_ALONE,
    FRAME_KINDS
};

enum {
    FRAME_KEEP = 1,  /* mario_msg_keep() */
    FRAME_FIRST = 2, /* the sender has forgotten what went before on this channel: see sequence.h */
    FRAME_KEY = 4,
    FRAME_STAMP = 8,
    FRAME_FLAGS = 15 /* all of them */
};

#define FRAME_VERSION  1u
#define FRAME_HEAD_MAX 44u
#define FRAME_NAME_MAX 63u

struct frame {
    enum frame_kind kind;
    uint8_t flags;
    bool packets; /* mario_msg_packets() */
    uint16_t reason;
    uint32_t stamp;
    uint64_t epoch, seq, key;
    uint64_t msg_key;
    const void *body; /* in what was parsed */
    size_t len;
    /* made of the body: */
    uint64_t count;                 /* ANSWER */
    uint64_t owner_epoch, owner_id; /* REPLACED */
};

/* Write f's head; FRAME_KEY and FRAME_STAMP are set as msg_key and stamp say. Its length. Without the body. */
size_t frame_head(const struct frame *f, unsigned char head[FRAME_HEAD_MAX]);
/* False if this is no frame, or one that cannot be. Reads nothing outside, writes only *f. */
bool frame_parse(const void *bytes, size_t len, struct frame *f);
/* The version of what begins as a frame does; 0: it does not. */
uint8_t frame_version(const void *bytes, size_t len);
void frame_put64(unsigned char at[8], uint64_t v);

#endif
