/*
 * ptcl.h: the packets of the 0.9.9 style server.
 */
#ifndef PTCL_H
#define PTCL_H

#define MY_STX 0x8eb69af7

typedef enum {
    CMD_BASE = 0x6100,
    CMD_LOGIN = 0x6101,
    CMD_COPY = 0x6102,  /* the packet, by way of a buffer of MAX_PKG_LEN bytes */
    CMD_FILL = 0x6103,  /* as long an answer as c->out_buf had room for */
    CMD_AGAIN = 0x6104, /* what CMD_COPY does, called through the table of functions */
    CMD_SPEAK = 0x6105, /* logs in each of the ways there were, and raw to standard output and error */
    CMD_ONLINE = 0x6106 /* how many have logged in and not left, uint32 */
} CMD;

#pragma pack(1)
typedef struct {
    unsigned short uid;
} LOGIN_REQ;
#pragma pack()

#endif
