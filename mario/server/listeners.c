/*
 * listeners.c: the listen list with all that stands in it. For the thread that makes the server; checking is pure.
 */
#include "mario/server/listeners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/complain.h"
#include "mario/mario_tls.h"

enum { AMPLIFY_MAX = 100, TLS_NAME_MAX = 31 };

/* oob=: urgent data is TCP's. */
static bool make_marks(const struct listen_address *a, bool *marks, char *why, size_t size)
{
    static const char *const ways[] = {"inline", "mark", NULL};
    uint32_t way = 0;
    bool named = listen_option(a, "oob") != NULL;
    if (!listen_choice(a, "oob", ways, &way, why, size))
        return false;
    if (named && a->addr.ss_family == AF_UNIX)
        return listen_refuse(a, why, size, "oob= is for TCP");
    *marks = way == 1;
    return true;
}

/* What only one who takes datagrams has, or only one who takes connections. A packet is a whole datagram: that no
 * framing can say that has a state, and an application's may have one of its own. */
static bool make_datagrams(const struct listen_address *a, struct listener_make *out, char *why, size_t size)
{
    static const char *const not_theirs[] = {"proxy", "trust", "untrusted", "oob", "tls"};
    out->amplify = 1;
    if (!a->datagram)
        return listen_option(a, "amplify") == NULL ||
               listen_refuse(a, why, size, "amplify= is for udp: alone");
    for (size_t i = 0; i < sizeof not_theirs / sizeof not_theirs[0]; i++) {
        if (listen_option(a, not_theirs[i]) != NULL)
            return listen_refuse(a, why, size, "%s= is for connections: not with udp:", not_theirs[i]);
    }
    const struct mario_framing *framing = &out->framing.pub;
    if (framing_ends(framing) == NULL || framing->state_size != 0)
        return listen_refuse(a, why, size, "proto=%s is for connections: not with udp:", framing->name);
    return listen_number(a, "amplify", 1, AMPLIFY_MAX, &out->amplify, why, size);
}

/* tls=one+two: which sections there are is not known here. Urgent data would stand between records, or within one. */
static bool make_tls(const struct listen_address *a, bool marks, bool *tls, char *why, size_t size)
{
    const char *list = listen_option(a, "tls");
    *tls = list != NULL;
    for (const char *at = list; at != NULL; at = *at == '+' ? at + 1 : NULL) {
        size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_-");
        if (n == 0 || n > TLS_NAME_MAX || (at[n] != '\0' && at[n] != '+'))
            return listen_refuse(
                a, why, size, "tls=%.40s: not NAME or NAME+NAME... (allowed: 1 .. %d of a-z, 0-9, '-', '_')",
                list, TLS_NAME_MAX);
        at += n;
    }
    return list == NULL || !marks || listen_refuse(a, why, size, "oob=mark is not for tls=");
}

bool listeners_make(const struct listen_address *a, const struct framing_world *world,
                    struct listener_make *out, char *why, size_t size)
{
    return framing_make(a, world, &out->framing, why, size) && make_datagrams(a, out, why, size) &&
           proxy_rules_make(&out->proxy, a, why, size) && make_marks(a, &out->marks, why, size) &&
           make_tls(a, out->marks, &out->tls, why, size);
}

int listeners_parse(const char *list, const struct framing_world *world, struct listen_address *all,
                    struct listener_make *made, char *why, size_t why_size)
{
    struct listener_make one;
    int n = listen_parse(list, all, why, why_size);
    for (int i = 0; i < n; i++) {
        if (!listeners_make(&all[i], world, made != NULL ? &made[i] : &one, why, why_size))
            return -1;
    }
    return n;
}

/* Whether each name in list is one of the sections. */
static bool are_sections(const struct listen_address *a, const struct mario_tls *sections, uint32_t n,
                         char *why, size_t size)
{
    const char *list = listen_option(a, "tls");
    for (const char *at = list; at != NULL; at = *at == '+' ? at + 1 : NULL) {
        size_t len = strcspn(at, "+");
        uint32_t i = 0;
        while (i < n && (strncmp(sections[i].name, at, len) != 0 || sections[i].name[len] != '\0'))
            i++;
        if (i == n)
            return listen_refuse(a, why, size, "tls=%s: there is no section '%.*s'", list, (int) len, at);
        at += len;
    }
    return true;
}

int32_t mario_tls_listen_check(const char *list, const struct mario_tls *sections, uint32_t n, char *why,
                               uint32_t size)
{
    struct listen_address *all = calloc(LISTEN_MAX, sizeof *all);
    int count = all == NULL ? -1 : listen_parse(list, all, why, size);
    bool ok = count >= 0;
    if (all == NULL)
        snprintf(why, size, "no memory");
    for (int i = 0; ok && i < count; i++)
        ok = are_sections(&all[i], sections, n, why, size);
    free(all);
    return ok ? 0 : -1;
}

int32_t mario_listen_check(const char *list, char *why, uint32_t size)
{
    static const struct framing_world world = {.max = MARIO_FRAME_MAX};
    struct listen_address *all = calloc(LISTEN_MAX, sizeof *all);
    int n = all == NULL ? -1 : listeners_parse(list, &world, all, NULL, why, size);
    if (all == NULL)
        snprintf(why, size, "no memory");
    free(all);
    return n < 0 ? -1 : 0;
}

bool listeners_are_served(const struct listener *listeners, const struct listener_make *made, uint32_t n,
                          const FUNC_PTR *functions)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct id_rule *id = &made[i].framing.rules.id;
        if (id->kind == ID_ALWAYS && functions[id->id] == NULL)
            return complain("listen: '%s': id=0x%04x: no function is registered for it",
                            listeners[i].address.name, id->id);
        if (id->kind == ID_WORD && !word_is_any())
            return complain("listen: '%s': id=word: no word is registered", listeners[i].address.name);
    }
    return true;
}
