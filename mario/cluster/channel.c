/*
 * channel.c: names on the bus, to and from text, and which part of the bus they belong to. Pure.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/cluster/bus.h"

size_t channel_name(const char *prefix, const struct channel *c, char name[CHANNEL_NAME_MAX])
{
    int n = 0;
    switch (c->kind) {
    case CHANNEL_USER:
        n = snprintf(name, CHANNEL_NAME_MAX, "%s:u:%" PRIu64, prefix, c->key);
        break;
    case CHANNEL_GROUP:
        n = snprintf(name, CHANNEL_NAME_MAX, "%s:g:%" PRIu64, prefix, c->key);
        break;
    case CHANNEL_ALL:
        n = snprintf(name, CHANNEL_NAME_MAX, "%s:all", prefix);
        break;
    case CHANNEL_NODE:
        n = snprintf(name, CHANNEL_NAME_MAX, "%s:n:%s", prefix, c->node);
        break;
    }
    return (size_t) n;
}

/* A number as channel_name() writes it: no sign, no zero in front, not 0. */
static bool parse_key(const char *at, size_t len, uint64_t *key)
{
    uint64_t n = 0;
    if (len == 0 || at[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned char) at[i] - (unsigned) '0';
        if (digit > 9 || n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *key = n;
    return true;
}

bool channel_parse(const char *prefix, const char *name, size_t len, struct channel *c, char node[64])
{
    size_t skip = strlen(prefix);
    *c = (struct channel){.node = node};
    if (len <= skip || memcmp(name, prefix, skip) != 0 || name[skip] != ':')
        return false;
    name += skip + 1;
    len -= skip + 1;
    if (len == 3 && memcmp(name, "all", 3) == 0) {
        c->kind = CHANNEL_ALL;
        return true;
    }
    if (len < 3 || name[1] != ':')
        return false;
    c->kind = name[0] == 'u' ? CHANNEL_USER : name[0] == 'g' ? CHANNEL_GROUP : CHANNEL_NODE;
    if (c->kind != CHANNEL_NODE)
        return parse_key(name + 2, len - 2, &c->key);
    if (name[0] != 'n' || len - 2 > 63 || memchr(name + 2, '\0', len - 2) != NULL)
        return false;
    memcpy(node, name + 2, len - 2);
    node[len - 2] = '\0';
    return true;
}

/* FNV-1a. */
static uint64_t hash_text(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char) *text) * UINT64_C(0x100000001b3);
    return h;
}

/* Nodes that were built at different times must agree: this is part of the protocol. */
uint32_t channel_part(const struct channel *c, uint32_t parts)
{
    if (c->kind == CHANNEL_ALL || parts <= 1)
        return 0;
    uint64_t key = c->kind == CHANNEL_NODE ? hash_text(c->node) : c->key;
    return (uint32_t) (key * UINT64_C(0x9e3779b97f4a7c15) >> 32) % parts;
}
