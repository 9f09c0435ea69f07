/*
 * row.h: one option as a row of the table, and the modules that work on rows. Private to conf/.
 */
#ifndef MARITCP_ROW_H
#define MARITCP_ROW_H

#include <stdbool.h>
#include <stddef.h>

#include "option.h"

enum row_type {
    ROW_NUMBER,   /* uint32, decimal */
    ROW_SIZE,     /* uint32, decimal with k, m or g */
    ROW_HEX,      /* uint32, 0x and hexadecimal, or decimal */
    ROW_OCTAL,    /* uint32, octal */
    ROW_BOOL,     /* int, on or off */
    ROW_ENUM,     /* an enum, one of `names`, counted from 0 */
    ROW_STRING,   /* char[max + 1] or more */
    ROW_LISTEN,   /* char[CONF_LISTEN_SIZE], a list that mario_listen_check() accepts */
    ROW_USER,     /* char[max + 1], a user that mario_user_check() accepts */
    ROW_GROUP,    /* char[max + 1], a group that mario_group_check() accepts */
    ROW_LEVELS,   /* char[CONF_LEVELS_SIZE], what mario_log_levels() takes */
    ROW_TARGET,   /* char[PATH_MAX], what mario_log_target_check() accepts */
    ROW_SERVERS,  /* char[max + 1], a list of engines that mario_cluster_check() accepts */
    ROW_NAME,     /* char[max + 1], a name that it accepts */
    ROW_SECRET,   /* char[PATH_MAX], a password file that it accepts */
    ROW_DOORS,    /* char[CONF_LISTEN_SIZE], like ROW_LISTEN, or - */
    ROW_HOSTS,    /* char[max + 1], hosts that mario_admin_check() accepts */
    ROW_TOKEN,    /* char[PATH_MAX], a token file that it accepts */
    ROW_NETWORKS, /* char[PATH_MAX], a file of networks, see conf_check_networks() */
    ROW_FILE,     /* char[max + 1], the path of a file, or - */
    ROW_PORT      /* no place of its own: sets the listen list to 0.0.0.0:port */
};

/* What a row says of its value: a reload changes it while the server runs, or only a new start does. */
enum row_when { LIVE = 1, RESTART };

struct row {
    const char *section;
    const char *key;
    enum row_type type;
    enum row_when when;
    const char *fallback;     /* the default, as it would stand in the file */
    uint32 min, max;          /* of the number; of a string its length in bytes */
    const char *const *names; /* ROW_ENUM: the words, ended by NULL */
    size_t at;                /* where in struct maritcp_conf the value is stored */
    const char *help;         /* one or more sentences, without the range and the default */
};

extern const struct row conf_rows[];
extern const uint32 conf_row_count;

/* Where a value comes from, for errors. Either file and line (0: the whole file), or an override. */
struct place {
    const char *file;
    sint32 line;
    const char *override;
};

#define CONF_SET INT32_MIN /* origin of a value that was set by hand while the server runs */

#define WHY_SIZE   256u /* room for what is wrong with one value */
#define RANGE_SIZE 128u /* room for a row's allowed range */
#define QUOTE_SIZE 56u  /* room for a quoted, shortened text */
#define DAY_SIZE   32u  /* room for a day */

/* option.c */
const struct row *row_find(const char *section, const char *key);
/* Of a row of the table. */
uint32 row_index(const struct row *row);
/* Whether it is a list that may go on in the next line. */
static inline bool row_is_list(const struct row *row)
{
    return row->type == ROW_LISTEN || row->type == ROW_DOORS || row->type == ROW_SERVERS;
}
/* The row that holds the listen list. */
const struct row *row_listen(void);
/* Set a row's value and its origin. Returns 0, or -1 with *err set. */
sint32 row_set(const struct row *row, struct maritcp_conf *conf, const char *text, const struct place *place,
               sint32 origin, struct conf_error *err);
/* Set "section.key=value", with this origin; when LIVE: unless that row needs a restart. Returns 0, or -1 with *err
 * set. */
sint32 override_read(struct maritcp_conf *conf, const char *text, sint32 origin, const struct place *place,
                     enum row_when when, struct conf_error *err);
/* Write "PLACE: section.key: why (allowed: range)" into *err. Where NULL, it is left out. Returns -1. */
sint32 conf_fail(struct conf_error *err, const struct place *place, const char *section, const char *key,
                 const char *allowed, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same for a name that the table does not have, with the nearest one and all that exist. */
sint32 conf_fail_section(struct conf_error *err, const struct place *place, const char *section);
sint32 conf_fail_key(struct conf_error *err, const struct place *place, const char *section, const char *key);
bool section_exists(const char *section);

/* ---- section.c: sections [tls NAME] ---- */

/* Their keys; `at` is a place in struct conf_tls. */
extern const struct row section_rows[];

/* All rows of *conf, those of its sections behind the table; with another one, aligned with it, those of both: a
 * section that one of them has alone needs a restart. A row stays until the next call. NULL at the end. */
struct rows {
    const struct maritcp_conf *conf, *other;
    uint32 next;
    struct row made;
};
struct rows rows_of(const struct maritcp_conf *conf, const struct maritcp_conf *other);
const struct row *rows_next(struct rows *r);
/* As row_find(), of such sections too: their rows are made in *room. */
const struct row *row_find_in(const struct maritcp_conf *conf, const char *section, const char *key,
                              struct row *room);
/* Whether it is a row of such a section. */
bool row_is_named(const struct row *row);

/* Where a row's value comes from. */
sint32 origin_of(const struct maritcp_conf *conf, const struct row *row);
void origin_set(struct maritcp_conf *conf, const struct row *row, sint32 origin);

/* Whether it is written like one; which one of *conf it is, or -1; have it, with defaults, if it is not there: 0, or -1
 * with *err set. */
bool section_is_tls(const char *section);
sint32 section_find(const struct maritcp_conf *conf, const char *section);
sint32 section_begin(struct maritcp_conf *conf, const char *section, const struct place *place,
                     struct conf_error *err);
/* Have none, and in each place what one begins with. 0, or -1 with *err set. */
sint32 section_defaults(struct maritcp_conf *conf, struct conf_error *err);
/* Have the library's form of them. */
void section_settle(struct maritcp_conf *conf);

/* file.c: read a file into *conf. 0, or -1 with *err set. */
sint32 file_read(struct maritcp_conf *conf, const char *file, struct conf_error *err);

/* cluster.bus's word is another field, and so on: what follows from others. Also the texts' places, after a copy. */
void conf_settle(struct maritcp_conf *conf);
/* rules.c: what belongs together. Returns 0, or -1 with *err set: a line that names the option that was set last. */
sint32 conf_check(const struct maritcp_conf *conf, const char *file, char *const overrides[],
                  struct conf_error *err);

/* option.c: text[0 .. len-1] without blanks around it. Returns false if it does not fit. */
bool copy_trimmed(char *out, size_t size, const char *text, size_t len);

/* value.c: text to value and back. value_parse: 0, or -1 with what is wrong in why. */
sint32 value_parse(const struct row *row, struct maritcp_conf *conf, const char *text, char why[WHY_SIZE]);
void value_print(const struct row *row, const struct maritcp_conf *conf, char *out, size_t size);
void value_range(const struct row *row, char out[RANGE_SIZE]);
/* Whether a row has the same value in both, and giving it that; not of ROW_PORT, which has none. */
bool value_is_same(const struct row *row, const struct maritcp_conf *a, const struct maritcp_conf *b);
void value_copy(const struct row *row, struct maritcp_conf *to, const struct maritcp_conf *from);
/* Whether a log target is a file's path. */
bool value_is_path(const char *target);
void size_print(uint32 value, char *out, size_t size);

/* text.c: the first byte of text that is no UTF-8 or is a control character other than tab, or NULL. */
const char *text_bad(const char *text, size_t len);
/* 'text' in quotes for a message, shortened. */
void text_quote(char out[QUOTE_SIZE], const char *text);
/* Make text one printable line in place. */
void text_make_printable(char *text);
/* Seconds since 1970 as "2027-01-31". */
void text_day(char out[DAY_SIZE], sint64 seconds);
/* Edits that lead from a to b; a large number for long texts. */
uint32 text_distance(const char *a, const char *b);

#endif
