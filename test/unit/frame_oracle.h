/*
 * frame_oracle.h: the framings raw, line, delim, fixed and length once more, written to be read and not to be fast, and
 * from the words of the listen list alone: what tests and fuzzers hold the library's against. Pure.
 */
#ifndef FRAME_ORACLE_H
#define FRAME_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum oracle_answer { ORACLE_OK, ORACLE_MORE, ORACLE_LENGTH, ORACLE_FRAME, ORACLE_UNKNOWN };

struct oracle_packet {
    size_t need, at, len;
    uint32_t id;
};

struct oracle {
    char proto[16];
    long max;
    unsigned char end[8];
    size_t end_len;
    bool crlf;
    long off, size, adjust, strip; /* size 0: a varint; strip -1: what is the default */
    bool little, all;
    char id_kind; /* 'n' a number, 'f' a field, 'w' the first word */
    long id, id_off, id_size;
    bool id_little;
};

/* Options of all kinds, as they stand behind an address. */
enum { ORACLE_OPTIONS = 40 };
extern const char *const oracle_options[ORACLE_OPTIONS];

/* Options that the library takes; `max` where they say none. */
void oracle_set(struct oracle *o, const char *options, long max);

/* The first packet of data[0 .. n-1]: what it is, or that these bytes prove that there is none. Of words it knows those
 * of oracle_word(). */
enum oracle_answer oracle_next(const struct oracle *o, const unsigned char *data, size_t n,
                               struct oracle_packet *p);

/* The words that tests register: "get" is 0x10, "getter" 0x11, "put" 0x12; -1: none of them. */
long oracle_word(const unsigned char *text, size_t n);

#endif
