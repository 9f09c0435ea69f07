/*
 * path.h: what a request's path, Range and If-None-Match mean for files. Pure; any thread.
 */
#ifndef WEB_PATH_H
#define WEB_PATH_H

#include "head.h"

enum { PATH_SIZE = HEAD_TARGET_MAX + 1 };

/* Decode a request's path, once, into out[PATH_SIZE]: relative to the root, "" for the root itself, with its '/' at the
 * end if it has one. 200; 400 for a wrong escape or a control byte, NUL too; 404 for what is never served: an escaped
 * '/', an empty part, one that begins with a dot. */
int path_decode(const struct head_text *raw, char *out);

/* The media type of a file by its name's end. */
const char *path_type(const char *path);

/* Which bytes of a body of `size` a Range asks for: 206 with *first and *last; 416 if there are none of these; 200, all
 * of them, if it is none that is understood here: another unit, several ranges. */
int path_range(const struct head_text *range, uint64_t size, uint64_t *first, uint64_t *last);

/* Whether the list of an If-None-Match has this tag, quotes included; whether weak or not. */
bool path_has_tag(const struct head_text *list, const char *tag);

#endif
