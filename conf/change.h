/*
 * change.h: what one configuration would change of another, and taking that over as far as it can be while the server
 * runs. No state; for whoever has both.
 */
#ifndef MARITCP_CHANGE_H
#define MARITCP_CHANGE_H

#include "row.h"

#define CHANGE_SIZE 320u /* room for one change as text */

/* Whether the row has another value in b; of ROW_PORT, which has none, never. */
bool change_is(const struct row *row, const struct maritcp_conf *a, const struct maritcp_conf *b);
/* How many rows of this kind have. */
uint32 change_count(const struct maritcp_conf *a, const struct maritcp_conf *b, enum row_when when);

/* "server.timeout 300 -> 100"; long values are cut. */
void change_print(const struct row *row, const struct maritcp_conf *a, const struct maritcp_conf *b,
                  char out[CHANGE_SIZE]);
/* "default", "line 7", "-o" or "set": where the row's value comes from. */
void origin_print(const struct row *row, const struct maritcp_conf *conf, char *out, size_t size);

/* A copy that can be changed. */
void conf_copy(struct maritcp_conf *to, const struct maritcp_conf *from);
/* Give `used` the values of `next` that can change while the server runs. */
void conf_take_live(struct maritcp_conf *used, const struct maritcp_conf *next);

/* Set "section.key=value" by hand, if it can change while the server runs and goes with the rest. Returns 0, or -1 with
 * *err set; *conf is then not to be used. */
sint32 conf_set(struct maritcp_conf *conf, const char *text, struct conf_error *err);

#endif
