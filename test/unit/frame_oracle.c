/*
 * frame_oracle.c: see frame_oracle.h.
 */
#include "frame_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const oracle_options[ORACLE_OPTIONS] = {
    "proto=raw id=5",
    "proto=raw id=0xfffb max=7",
    "proto=raw id=word",
    "proto=line id=1",
    "proto=line id=0 max=9",
    "proto=line eol=crlf id=1",
    "proto=line eol=crlf id=1 max=6",
    "proto=line id=word",
    "proto=line id=field off=1 size=1",
    "proto=line eof=packet id=field size=2",
    "proto=delim=0x03 id=1",
    "proto=delim delim=0x0d0a id=1 max=8",
    "proto=delim delim=0x61626162 id=1",
    "proto=delim delim=0x0a0a0a0a0a0a0a0a id=1",
    "proto=delim delim=0x610a61 id=word",
    "proto=fixed fixed=1 id=2",
    "proto=fixed=5 id=field off=1 size=4 endian=little",
    "proto=fixed=4 id=word",
    "proto=length id=3",
    "proto=length size=1 id=3",
    "proto=length size=1 counts=all id=3",
    "proto=length size=1 counts=all strip=0 id=3",
    "proto=length size=2 endian=little id=3 max=12",
    "proto=length off=1 size=3 adjust=-2 id=3",
    "proto=length off=2 size=4 endian=little adjust=3 id=3",
    "proto=length size=4 counts=all adjust=1 strip=6 id=3",
    "proto=length size=4 adjust=40 id=3",
    "proto=length size=1 id=field off=1 size=1",
    "proto=length size=1 id=field off=1 size=2 endian=little",
    "proto=length size=2 off=2 endian=little id=field size=2",
    "proto=length size=1 strip=1 id=field off=1 size=2",
    "proto=length size=1 strip=0 id=field off=3 size=3",
    "proto=length size=1 id=word",
    "proto=length size=varint id=3",
    "proto=length size=varint id=3 max=5",
    "proto=length size=varint adjust=-5000 id=3 max=2",
    "proto=length size=varint counts=all id=3",
    "proto=length size=varint strip=0 id=3",
    "proto=length off=1 size=varint id=field size=1",
    "proto=length off=3 size=varint counts=all adjust=2 id=field off=1 size=2 endian=little",
};

static void set(struct oracle *o, const char *name, const char *value, bool of_id)
{
    long number = strtol(value, NULL, 0);
    if (strcmp(name, "max") == 0 || strcmp(name, "fixed") == 0)
        o->max = number;
    else if (strcmp(name, "eol") == 0)
        o->crlf = strcmp(value, "crlf") == 0;
    else if (strcmp(name, "off") == 0)
        *(of_id ? &o->id_off : &o->off) = number;
    else if (strcmp(name, "size") == 0)
        *(of_id ? &o->id_size : &o->size) = number; /* of varint: 0 */
    else if (strcmp(name, "endian") == 0)
        *(of_id ? &o->id_little : &o->little) = strcmp(value, "little") == 0;
    else if (strcmp(name, "counts") == 0)
        o->all = strcmp(value, "all") == 0;
    else if (strcmp(name, "adjust") == 0)
        o->adjust = number;
    else if (strcmp(name, "strip") == 0)
        o->strip = number;
    else if (strcmp(name, "delim") == 0) {
        for (const char *at = value + 2; *at != '\0'; at += 2) {
            unsigned byte = 0;
            sscanf(at, "%2x", &byte);
            o->end[o->end_len++] = (unsigned char) byte;
        }
    } else if (strcmp(name, "id") == 0) {
        o->id_kind = strcmp(value, "field") == 0 ? 'f' : strcmp(value, "word") == 0 ? 'w' : 'n';
        o->id = number;
    }
}

void oracle_set(struct oracle *o, const char *options, long max)
{
    char name[16], value[32], own[32];
    int used = 0;
    bool of_id = false;
    *o = (struct oracle){.max = max, .size = 2, .strip = -1, .id_size = 2, .id_kind = 'n'};
    for (; sscanf(options, " %15[^=]=%31s%n", name, value, &used) == 2; options += used) {
        of_id = strcmp(name, "id") == 0 || (of_id && strcmp(name, "proto") != 0);
        if (strcmp(name, "proto") != 0)
            set(o, name, value, of_id);
        else if (sscanf(value, "%15[^=]=%31s", o->proto, own) == 2) /* proto=fixed=16 */
            set(o, o->proto, own, false);
    }
}

long oracle_word(const unsigned char *text, size_t n)
{
    static const char *const words[] = {"get", "getter", "put"};
    size_t len = 0;
    while (len < n && text[len] >= 0x21 && text[len] <= 0x7e)
        len++;
    for (long i = 0; i < 3; i++) {
        if (strlen(words[i]) == len && strncmp(words[i], (const char *) text, len) == 0)
            return 0x10 + i;
    }
    return -1;
}

/* A number byte by byte, as if by hand. */
static unsigned long number_at(const unsigned char *data, long off, long size, bool little)
{
    unsigned long sum = 0, weight = 1;
    for (long i = 0; i < size; i++, weight *= 256)
        sum += data[little ? off + i : off + size - 1 - i] * weight;
    return sum;
}

static enum oracle_answer whole(const struct oracle *o, const unsigned char *data, struct oracle_packet *p)
{
    long id = o->id;
    if (o->id_kind == 'f') {
        if ((size_t) (o->id_off + o->id_size) > p->need)
            return ORACLE_LENGTH;
        unsigned long number = number_at(data, o->id_off, o->id_size, o->id_little);
        id = number > 0xfffb ? -1 : (long) number;
    } else if (o->id_kind == 'w')
        id = oracle_word(data + p->at, p->len);
    p->id = (uint32_t) id;
    return id < 0 ? ORACLE_UNKNOWN : ORACLE_OK;
}

/* ---- With an end ---- */

static bool ends_at(const struct oracle *o, const unsigned char *data, size_t at)
{
    for (size_t i = 0; i < o->end_len; i++) {
        if (data[at - o->end_len + i] != o->end[i])
            return false;
    }
    return true;
}

/* Byte by byte: the first place where an end has just gone by. */
static enum oracle_answer ended(const struct oracle *o, const unsigned char *data, size_t n,
                                struct oracle_packet *p)
{
    bool line = strcmp(o->proto, "line") == 0;
    for (size_t at = 1; at <= n && at <= (size_t) o->max; at++) {
        if (line ? data[at - 1] != 0x0a : at < o->end_len || !ends_at(o, data, at))
            continue;
        size_t cut = line ? 1 : o->end_len;
        if (line && at >= 2 && data[at - 2] == 0x0d)
            cut = 2;
        else if (line && o->crlf)
            return ORACLE_FRAME;
        *p = (struct oracle_packet){.need = at, .len = at - cut};
        return whole(o, data, p);
    }
    return n >= (size_t) o->max ? ORACLE_LENGTH : ORACLE_MORE;
}

/* ---- With a length ---- */

/* The least that a length can be of which only n bytes of the packet are known, and where it ends then. Whether it is
 * all there. -1: it is none, however it goes on. */
static int length_known(const struct oracle *o, const unsigned char *data, long n, double *value,
                        long *behind)
{
    double weight = 1;
    *value = 0;
    if (o->size > 0) {
        unsigned char field[4] = {0, 0, 0, 0};
        for (long i = 0; i < o->size && o->off + i < n; i++)
            field[i] = data[o->off + i];
        *value = (double) number_at(field, 0, o->size, o->little);
        *behind = o->off + o->size;
        return n >= *behind;
    }
    for (long i = 0; i < 5; i++, weight *= 128) {
        *behind = o->off + i + 1;
        if (o->off + i >= n)
            return 0;
        *value += weight * (data[o->off + i] % 128);
        if (data[o->off + i] < 128)
            return *value < 4294967296.0 ? 1 : -1;
    }
    return -1;
}

static enum oracle_answer with_length(const struct oracle *o, const unsigned char *data, size_t n,
                                      struct oracle_packet *p)
{
    double value;
    long behind, id_end = o->id_kind == 'f' ? o->id_off + o->id_size : 0;
    int known = length_known(o, data, (long) n, &value, &behind);
    double total = value + (double) o->adjust + (o->all ? 0 : (double) behind);
    long strip = o->strip >= 0 ? o->strip : o->size > 0 && id_end > behind ? id_end : behind;
    if (known < 0 || total > (double) o->max || (known == 0 && n >= (size_t) o->max))
        return ORACLE_LENGTH;
    if (known == 0)
        return ORACLE_MORE;
    if (total < (double) behind || total < (double) strip)
        return ORACLE_LENGTH;
    *p = (struct oracle_packet){.need = (size_t) total, .at = (size_t) strip};
    p->len = p->need - p->at;
    return p->need > n ? ORACLE_MORE : whole(o, data, p);
}

enum oracle_answer oracle_next(const struct oracle *o, const unsigned char *data, size_t n,
                               struct oracle_packet *p)
{
    *p = (struct oracle_packet){0};
    if (strcmp(o->proto, "length") == 0)
        return with_length(o, data, n, p);
    if (strcmp(o->proto, "line") == 0 || strcmp(o->proto, "delim") == 0)
        return ended(o, data, n, p);
    size_t max = (size_t) o->max, take = n < max ? n : max;
    if (strcmp(o->proto, "fixed") == 0 && n < max) {
        p->need = max;
        return ORACLE_MORE;
    }
    *p = (struct oracle_packet){.need = take, .len = take};
    return whole(o, data, p);
}
