/*
 * pages.h: what GET gives that is no command. The admin thread's.
 */
#ifndef MARIO_ADMIN_PAGES_H
#define MARIO_ADMIN_PAGES_H

#include <event2/buffer.h>

#include "mario/frame/http_head.h"

struct page {
    const char *path;
    const char *type; /* its Content-Type */
    /* Writes it; returns the status. `fields`: more lines of the head, each with its CR LF; or nothing. */
    int (*write)(struct evbuffer *out, struct evbuffer *fields);
};

/* NULL if there is none. */
const struct page *page_find(const struct http_text *path);

#endif
