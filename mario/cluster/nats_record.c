/*
 * nats_record.c: texts of the NATS driver. Pure, any thread.
 *
 * Of JetStream's JSON three members are read, whose values hold no quotes: the first "err_code", "seq" and "data" that
 * stand there. Nothing before them in an answer is a text of somebody else's.
 */
#include "mario/cluster/nats_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Answers ---- */

static int digit_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* In place; ends at what is no base64. */
static void decode(char *text)
{
    uint32_t bits = 0;
    unsigned have = 0;
    char *to = text;
    for (const char *from = text; digit_of(*from) >= 0; from++) {
        bits = bits << 6 | (uint32_t) digit_of(*from);
        have += 6;
        if (have >= 8) {
            have -= 8;
            *to++ = (char) (bits >> have & 0xff);
        }
    }
    *to = '\0';
}

static uint64_t number_of(const char *text, const char *member)
{
    const char *at = strstr(text, member);
    return at == NULL ? 0 : strtoull(at + strlen(member), NULL, 10);
}

bool nats_record_parse(struct nats_record *r, const char *bytes, size_t len, bool nobody)
{
    *r = (struct nats_record){.nobody = nobody, .text = malloc(len + 1)};
    if (r->text == NULL)
        return false;
    if (len > 0)
        memcpy(r->text, bytes, len);
    r->text[len] = '\0';
    if (r->text[0] != '{')
        return true;
    if (strstr(r->text, "\"error\":") != NULL) {
        uint64_t code = number_of(r->text, "\"err_code\":");
        r->error = code == 0 || code > UINT32_MAX ? 1 : (unsigned) code;
    }
    r->revision = number_of(r->text, "\"seq\":");
    char *data = strstr(r->text, "\"data\":\"");
    if (data == NULL)
        r->text[0] = '\0';
    else
        memmove(r->text, data + 8, strlen(data + 8) + 1);
    decode(r->text);
    return true;
}

void nats_record_free(struct nats_record *r)
{
    free(r->text);
    r->text = NULL;
}

/* ---- Lists ---- */

bool owners_add(struct owners *l, const struct owner *w, bool in_front)
{
    if (l->n == l->room) {
        size_t room = l->room == 0 ? 2 : l->room * 2;
        struct owner *at = realloc(l->at, room * sizeof *at);
        if (at == NULL)
            return false;
        l->at = at;
        l->room = room;
    }
    size_t i = in_front ? 0 : l->n;
    memmove(&l->at[i + 1], &l->at[i], (l->n - i) * sizeof *l->at);
    l->at[i] = *w;
    l->n++;
    return true;
}

void owners_remove(struct owners *l, size_t i)
{
    l->n--;
    memmove(&l->at[i], &l->at[i + 1], (l->n - i) * sizeof *l->at);
}

ssize_t owners_find(const struct owners *l, const struct owner *w)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->at[i].epoch == w->epoch && l->at[i].id == w->id && strcmp(l->at[i].node, w->node) == 0)
            return (ssize_t) i;
    return -1;
}

char *owners_text(const struct owners *l, size_t *len)
{
    enum { LINE = sizeof l->at->node + 44 };
    char *text = malloc(l->n * LINE + 1);
    *len = 0;
    for (size_t i = 0; text != NULL && i < l->n; i++)
        *len += (size_t) snprintf(text + *len, LINE, "%s %" PRIu64 " %" PRIu64 "\n", l->at[i].node,
                                  l->at[i].epoch, l->at[i].id);
    return text;
}

bool owners_parse(struct owners *l, const char *text)
{
    l->n = 0;
    for (; *text != '\0'; text += *text == '\n') {
        struct owner w;
        int used = 0;
        if (sscanf(text, "%63s %" SCNu64 " %" SCNu64 "%n", w.node, &w.epoch, &w.id, &used) == 3 &&
            text[used] == '\n' && !owners_add(l, &w, false))
            return false;
        text += strcspn(text, "\n");
    }
    return true;
}

void bucket_name(const char *prefix, char *name, size_t size)
{
    size_t n = 0;
    for (; *prefix != '\0' && n + 3 < size; prefix++) {
        if (*prefix == '.' || *prefix == '_')
            name[n++] = '_';
        name[n++] = *prefix == '.' ? 'd' : *prefix;
    }
    name[n] = '\0';
}
