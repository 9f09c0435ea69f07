/*
 * certificate_commands.c: the command `tls`: which certificates are in use, until when, and how many handshakes were
 * made with them. It runs on the admin thread, and only looks.
 */
#include "mario/server/certificate_commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mario/admin/args.h"
#include "mario/admin/command.h"
#include "mario/server/certificates.h"

enum { DAY = 86400, DIGEST_TEXT = 2 * sizeof((struct mario_tls_certificate *) 0)->digest + 1 };

static void put_digest(struct mario_answer *a, const struct mario_tls_certificate *c)
{
    char text[DIGEST_TEXT];
    for (size_t i = 0; i < sizeof c->digest; i++)
        snprintf(text + 2 * i, 3, "%02x", c->digest[i]);
    mario_answer_text(a, "sha256", text);
}

static void put(struct mario_answer *a, const struct mario_tls_certificate *c, int64_t now)
{
    mario_answer_object(a, NULL);
    mario_answer_text(a, "name", c->name);
    mario_answer_text(a, "subject", c->subject);
    mario_answer_text(a, "names", c->names);
    mario_answer_text(a, "key", c->key);
    mario_answer_text(a, "from", certificate_day(c->not_before).text);
    mario_answer_text(a, "until", certificate_day(c->not_after).text);
    mario_answer_signed(a, "days_left", (c->not_after - now) / DAY);
    mario_answer_flag(a, "asks_for_client", c->asks_for_client);
    mario_answer_number(a, "handshakes", tls_handshakes_of(c->name));
    mario_answer_text(a, "issuer", c->issuer);
    put_digest(a, c);
    mario_answer_text(a, "warning", c->warning[0] != '\0' ? c->warning : NULL);
    mario_answer_end(a);
}

static enum mario_answer_when show(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    struct args s = args_of(a, argc, argv);
    const char *name = NULL;
    bool is_named = args_word(&s, &name), found = false;
    (void) arg;
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    const struct tls_contexts *now = certificates_hold();
    mario_answer_list(a, "certificates");
    for (uint32_t i = 0; now != NULL && i < tls_contexts_count(now); i++) {
        const struct mario_tls_certificate *c = tls_contexts_at(now, i);
        if (is_named && strcmp(c->name, name) != 0)
            continue;
        put(a, c, (int64_t) time(NULL));
        found = true;
    }
    mario_answer_end(a);
    if (is_named && !found)
        mario_answer_refuse(a, "no listener has tls=%s, and there is no such section", name);
    tls_contexts_free(&now);
    return MARIO_ANSWER_NOW;
}

bool certificate_commands_regist(void)
{
    static const struct command rows[] = {
        {"tls", "[NAME]", "the certificates in use, until when, and handshakes made with them",
         MARIO_COMMAND_READS, show, NULL},
    };
    return commands_regist(rows, sizeof rows / sizeof rows[0]);
}
