/*
 * secure.c: TLS: sections and keys of the command line, and what a function learns of its connection's. Options: main,
 * before the server is made; do_tls() on the thread that runs functions of the connection.
 *
 *     tls NAME.certificate = FILE, likewise key, chain, sni, alpn, client_ca, ciphers, min_version, tickets
 *     tls.records = openssl | slim   tls.offload = off | rsa | all   tls.handshakes, tls.handshake_timeout
 */
#include "app.h"

#include <errno.h>

#define SECTION "tls "

static struct mario_tls sections[MARIO_TLS_NAMES_MAX];
static uint32 section_count;

/* That of this name, which is kept; made if it is not there. NULL: there are too many. */
static struct mario_tls *section_of(const char *name)
{
    for (uint32 i = 0; i < section_count; i++) {
        if (strcmp(sections[i].name, name) == 0)
            return &sections[i];
    }
    if (section_count == MARIO_TLS_NAMES_MAX)
        return NULL;
    sections[section_count].name = name;
    return &sections[section_count++];
}

static bool set_in_section(struct mario_tls *t, const char *key, const char *value)
{
    const struct {
        const char *key;
        const char **place;
    } texts[] = {
        {"certificate", &t->certificate}, {"key", &t->key}, {"chain", &t->chain},
        {"client_ca", &t->client_ca},     {"sni", &t->sni}, {"alpn", &t->alpn},
        {"ciphers", &t->ciphers},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].key, key) == 0) {
            *texts[i].place = value;
            return true;
        }
    }
    if (strcmp(key, "min_version") == 0)
        t->min_version = strcmp(value, "1.3") == 0 ? MARIO_TLS_1_3 : MARIO_TLS_1_2;
    else if (strcmp(key, "tickets") == 0)
        t->tickets = atoi(value) == 0 ? -1 : atoi(value);
    else
        return false;
    return true;
}

bool set_tls(struct mario_options *o, char *key, const char *value)
{
    if (strncmp(key, SECTION, strlen(SECTION)) == 0) {
        char *dot = strchr(key, '.');
        struct mario_tls *t;
        if (dot == NULL)
            return false;
        *dot = '\0';
        return (t = section_of(key + strlen(SECTION))) != NULL && set_in_section(t, dot + 1, value);
    }
    if (strcmp(key, "tls.records") == 0)
        o->tls_records = strcmp(value, "slim") == 0 ? MARIO_TLS_SLIM : MARIO_TLS_OPENSSL;
    else if (strcmp(key, "tls.offload") == 0)
        o->tls_offload = strcmp(value, "all") == 0   ? MARIO_TLS_OFFLOAD_ALL
                         : strcmp(value, "rsa") == 0 ? MARIO_TLS_OFFLOAD_RSA
                                                     : MARIO_TLS_OFFLOAD_OFF;
    else if (strcmp(key, "tls.handshakes") == 0)
        o->tls_handshakes = (uint32) atoi(value);
    else if (strcmp(key, "tls.handshake_timeout") == 0)
        o->tls_handshake_timeout = (uint32) atoi(value);
    else
        return false;
    return true;
}

bool register_tls(void)
{
    bool ok = true;
    for (uint32 i = 0; i < section_count; i++)
        ok = ok && regist_tls(&sections[i]) == 0;
    return ok;
}

sint32 do_tls(CONN *c)
{
    struct mario_tls_info info;
    char text[1024];
    own_functions++;
    own_functions_away += c->owner->base == NULL;
    track_is_wrong(c);
    if (mario_tls_info(c, &info) != 0)
        return answer(c, errno == ENOENT ? "none" : "wrong", 4 + (errno != ENOENT));
    int n = snprintf(text, sizeof text, "version=%s cipher=%s name=%s sni=%s alpn=%s resumed=%d client=%s",
                     info.version, info.cipher, info.name, info.sni, info.alpn, info.is_resumed,
                     info.client_subject);
    return answer(c, text, (size_t) n < sizeof text ? (size_t) n : sizeof text - 1);
}
