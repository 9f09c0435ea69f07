/*
 * http.h: what a request must be to be looked at. Pure but for the hosts, which are set before start.
 */
#ifndef MARIO_ADMIN_HTTP_H
#define MARIO_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/frame/http_head.h"

/* The names by which browsers may call us, a comma list: "localhost, 127.0.0.1, [::1]". False with a line in why.
 * hosts_check() only looks. */
__attribute__((warn_unused_result)) bool hosts_set(const char *list, char *why, size_t why_size);
__attribute__((warn_unused_result)) bool hosts_check(const char *list, char *why, size_t why_size);

/* Before routing: whose request is it, and what does it bring? 200, or the status that refuses it, and why. A page of
 * somebody else that a browser has open must not get here: neither by a name of its own that leads to us, nor by a form
 * or a script that sends to us. */
int http_judge(const struct http_head *h, const char **why);

#endif
