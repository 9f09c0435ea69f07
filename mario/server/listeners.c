/*
 * listeners.c: the listen list with all that stands in it. For the thread that makes the server; checking is pure.
 */
#include "mario/server/listeners.h"

#include <stdio.h>
#include <stdlib.h>

#include "mario/base/complain.h"

enum { AMPLIFY_MAX = 100 };

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
    static const char *const not_theirs[] = {"proxy", "trust", "untrusted", "oob"};
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

bool listeners_make(const struct listen_address *a, const struct framing_world *world,
                    struct listener_make *out, char *why, size_t size)
{
    return framing_make(a, world, &out->framing, why, size) && make_datagrams(a, out, why, size) &&
           proxy_rules_make(&out->proxy, a, why, size) && make_marks(a, &out->marks, why, size);
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
