/*
 * script.h: the head of what a script answers. Pure; any thread.
 */
#ifndef WEB_SCRIPT_H
#define WEB_SCRIPT_H

#include "head.h"

struct script_answer {
    int status;              /* 200 .. 599 */
    struct head_text reason; /* behind a status it has said, else empty */
    uint32_t size;           /* bytes of its head */
    uint32_t count;          /* lines of fields to hand on */
    struct head_field fields[HEAD_FIELDS_MAX];
};

/* Take apart the head at bytes[0 .. n-1], which may end its lines with LF alone. Handed on is not what says how the
 * answer is sent: Content-Length, Connection and the like. True with *a; false if it is none: it does not end within
 * HEAD_MAX bytes, a line is no field, a control byte, a status that is none, too many fields, or neither Content-Type
 * nor Location nor Status. A Location without a Status is a 302. */
bool script_parse(const char *bytes, size_t n, struct script_answer *a);

#endif
