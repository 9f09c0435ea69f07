/*
 * section.c: the sections [tls NAME], of which there may be any number up to CONF_TLS_MAX. Main thread; once the server
 * runs the thread `conf`.
 *
 * Such a section has no rows in the option table. It has them when they are asked for: a key of the table here, with
 * the section's own name and place; all that works on rows works on them too.
 */
#include "row.h"

#include <string.h>

#define AT(member) offsetof(struct conf_tls, member)
#define TEXT       CONF_TLS_TEXT - 1, NULL
#define LEAD       "tls "

static const char *const version_names[] = {"1.2", "1.3", NULL};
static const enum mario_tls_version versions[] = {MARIO_TLS_1_2, MARIO_TLS_1_3};

const struct row section_rows[] = {
    {"tls NAME", "certificate", ROW_FILE, LIVE, "-", 1, TEXT, AT(certificate),
     "A PEM file with the certificate, and behind it those that lead from it to a root, for the listeners with "
     "tls=NAME. There may be up to 64 such sections. Files are read as server.user, at the start and at each reload; "
     "connections keep what they began with."},
    {"tls NAME", "key", ROW_FILE, LIVE, "-", 1, TEXT, AT(key),
     "A PEM file with its key, not encrypted. - is the file of the certificate."},
    {"tls NAME", "chain", ROW_FILE, LIVE, "-", 1, TEXT, AT(chain),
     "A PEM file with the certificates that lead to a root, if they do not stand behind the certificate. - is none."},
    {"tls NAME", "sni", ROW_STRING, LIVE, "-", 1, TEXT, AT(sni),
     "The names for which it is chosen where a listener has several, as in tls=one+two, separated by commas: "
     "www.example.com, or *.example.com for all with one label more. A client that asks for another name, or none, "
     "gets the first one of the listener. - are those that stand in the certificate."},
    {"tls NAME", "alpn", ROW_STRING, LIVE, "-", 1, TEXT, AT(alpn),
     "The protocols that clients may ask for by ALPN, the best first, separated by commas. Who asks for others alone "
     "is refused. - leaves it unanswered."},
    {"tls NAME", "client_ca", ROW_FILE, LIVE, "-", 1, TEXT, AT(client_ca),
     "A PEM file with certificates: clients have to show one that one of these has signed. - asks for none."},
    {"tls NAME", "min_version", ROW_ENUM, LIVE, "1.2", 0, 1, version_names, AT(min_version),
     "The oldest version of TLS that a client may speak."},
    {"tls NAME", "ciphers", ROW_STRING, LIVE, "-", 1, TEXT, AT(ciphers),
     "The ciphers as OpenSSL has them, separated by colons, those of TLS 1.3 too. - are those with AEAD and forward "
     "secrecy."},
    {"tls NAME", "tickets", ROW_NUMBER, LIVE, "2", 0, MARIO_TLS_TICKETS_MAX, NULL, AT(tickets),
     "Tickets that a client of TLS 1.3 gets, to come back by a shorter handshake. 0 is none: all of them are whole."},
};

_Static_assert(sizeof section_rows / sizeof section_rows[0] == CONF_TLS_KEYS,
               "origin[] has a place for each key");

/* ---- Rows ---- */

static size_t place_of_section(uint32 i)
{
    return offsetof(struct maritcp_conf, tls) + i * sizeof(struct conf_tls);
}

static struct row row_in(const struct conf_tls *t, uint32 i, uint32 key)
{
    struct row row = section_rows[key];
    row.section = t->section;
    row.at += place_of_section(i);
    return row;
}

bool row_is_named(const struct row *row)
{
    return row->at >= place_of_section(0) && row->at < place_of_section(CONF_TLS_MAX);
}

/* Of a named row: where its origin is. */
static sint32 *origin_in(struct maritcp_conf *conf, const struct row *row)
{
    size_t at = row->at - place_of_section(0), inside = at % sizeof(struct conf_tls);
    uint32 key = 0;
    while (section_rows[key].at != inside)
        key++;
    return &conf->tls[at / sizeof(struct conf_tls)].origin[key];
}

sint32 origin_of(const struct maritcp_conf *conf, const struct row *row)
{
    return row_is_named(row) ? *origin_in((struct maritcp_conf *) (uintptr_t) conf, row)
                             : conf->origin[row_index(row)];
}

void origin_set(struct maritcp_conf *conf, const struct row *row, sint32 origin)
{
    if (row_is_named(row))
        *origin_in(conf, row) = origin;
    else
        conf->origin[row_index(row)] = origin;
}

struct rows rows_of(const struct maritcp_conf *conf, const struct maritcp_conf *other)
{
    return (struct rows){.conf = conf, .other = other};
}

/* Whether both have the section, so that what stands in it can be changed without a restart. */
static bool is_in(const struct maritcp_conf *conf, uint32 i)
{
    return i < conf->tls_count && conf->tls[i].is_there;
}

const struct row *rows_next(struct rows *r)
{
    for (; r->next < conf_row_count + CONF_TLS_MAX * CONF_TLS_KEYS;) {
        uint32 n = r->next++, i = (n - conf_row_count) / CONF_TLS_KEYS;
        if (n < conf_row_count)
            return &conf_rows[n];
        bool here = is_in(r->conf, i), there = r->other != NULL ? is_in(r->other, i) : here;
        if (!here && !there)
            continue;
        r->made =
            row_in(here ? &r->conf->tls[i] : &r->other->tls[i], i, (n - conf_row_count) % CONF_TLS_KEYS);
        r->made.when = here && there ? LIVE : RESTART;
        return &r->made;
    }
    return NULL;
}

const struct row *row_find_in(const struct maritcp_conf *conf, const char *section, const char *key,
                              struct row *room)
{
    sint32 i = section_find(conf, section);
    if (i < 0)
        return row_find(section, key);
    for (uint32 k = 0; k < CONF_TLS_KEYS; k++) {
        if (strcmp(section_rows[k].key, key) == 0) {
            *room = row_in(&conf->tls[i], (uint32) i, k);
            return room;
        }
    }
    return NULL;
}

/* ---- Sections ---- */

bool section_is_tls(const char *section)
{
    return strncmp(section, LEAD, sizeof LEAD - 1) == 0;
}

sint32 section_find(const struct maritcp_conf *conf, const char *section)
{
    for (uint32 i = 0; i < conf->tls_count; i++) {
        if (conf->tls[i].is_there && strcmp(conf->tls[i].section, section) == 0)
            return (sint32) i;
    }
    return -1;
}

/* What NAME may be: it has to be told from others in a listen list. */
static bool is_good_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n < CONF_TLS_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

sint32 section_begin(struct maritcp_conf *conf, const char *section, const struct place *place,
                     struct conf_error *err)
{
    struct conf_tls *t = &conf->tls[conf->tls_count];
    if (section_find(conf, section) >= 0)
        return 0;
    if (!is_good_name(section + sizeof LEAD - 1))
        return conf_fail(err, place, NULL, NULL, "1 .. 31 of a-z, 0-9, '-', '_'", "[tls NAME]: a bad name");
    if (conf->tls_count == CONF_TLS_MAX)
        return conf_fail(err, place, NULL, NULL, "up to 64", "one section [tls NAME] too many");
    t->is_there = true;
    t->line = place->line;
    snprintf(t->section, sizeof t->section, "%s", section);
    conf->tls_count++;
    return 0;
}

sint32 section_defaults(struct maritcp_conf *conf, struct conf_error *err)
{
    struct place nowhere = {.file = "default"};
    memset(conf->tls, 0, sizeof conf->tls);
    conf->tls_count = 0;
    for (uint32 k = 0; k < CONF_TLS_KEYS; k++) {
        struct row row = row_in(&conf->tls[0], 0, k);
        if (row_set(&row, conf, row.fallback, &nowhere, 0, err) != 0)
            return -1;
    }
    for (uint32 i = 1; i < CONF_TLS_MAX; i++)
        conf->tls[i] = conf->tls[0];
    return 0;
}

void conf_align(struct maritcp_conf *conf, const struct maritcp_conf *used)
{
    static struct conf_tls was[CONF_TLS_MAX]; /* the thread's */
    struct conf_error err;
    uint32 count = conf->tls_count, n = used->tls_count;
    memcpy(was, conf->tls, sizeof was);
    if (section_defaults(conf, &err) != 0)
        return; /* never: they are constant, and were good before */
    for (uint32 i = 0; i < n; i++)
        memcpy(conf->tls[i].section, used->tls[i].section, sizeof conf->tls[i].section);
    for (uint32 k = 0; k < count; k++) {
        uint32 i = 0;
        while (i < n && strcmp(conf->tls[i].section, was[k].section) != 0)
            i++;
        if (i == n && n == CONF_TLS_MAX)
            continue; /* it has no place beside those that are gone: after a restart it has one */
        n += i == n;
        conf->tls[i] = was[k];
    }
    conf->tls_count = n;
    conf_settle(conf);
}

/* ---- As the library takes it ---- */

static const char *text_or_null(const char *text)
{
    return strcmp(text, "-") != 0 ? text : NULL;
}

void section_settle(struct maritcp_conf *conf)
{
    conf->certificate_count = 0;
    for (uint32 i = 0; i < conf->tls_count; i++) {
        const struct conf_tls *t = &conf->tls[i];
        if (!t->is_there)
            continue;
        conf->certificates[conf->certificate_count++] =
            (struct mario_tls){.name = t->section + sizeof LEAD - 1,
                               .certificate = text_or_null(t->certificate),
                               .key = text_or_null(t->key),
                               .chain = text_or_null(t->chain),
                               .sni = text_or_null(t->sni),
                               .alpn = text_or_null(t->alpn),
                               .client_ca = text_or_null(t->client_ca),
                               .ciphers = text_or_null(t->ciphers),
                               .min_version = versions[t->min_version],
                               .tickets = t->tickets > 0 ? (sint32) t->tickets : -1};
    }
}
