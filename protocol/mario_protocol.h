/*
 * mario_protocol.h: what goes over the wire for maritcp's commands: ids and packed structs, nothing else.
 * All numbers are little-endian, no padding. A packet is a HEAD followed by the struct named here.
 */
#ifndef MARIO_PROTOCOL_H
#define MARIO_PROTOCOL_H

#include <stdint.h>

enum mario_cmd {
    CMD_FUNCTION_BASE = 0x6100,
    CMD_FUNCTION_LOGIN = 0x6101,     /* LOGIN_REQ -> bare HEAD with the request's stx and akg_id */
    CMD_FUNCTION_SAY_HELLO = 0x6102, /* anything -> HEAD + "hello" (5 bytes, no NUL) */
    CMD_FUNCTION_ECHO = 0x6103       /* anything -> the packet itself */
};

typedef struct login_req {
    uint16_t uid; /* who logs in, 0 .. 65535 */
} __attribute__((packed)) LOGIN_REQ;

#define MARITCP_STX 0x8eb69af7u /* maritcp's default magic, server.stx */

#endif
