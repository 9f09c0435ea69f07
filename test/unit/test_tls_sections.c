/*
 * test_tls_sections.c: the sections [tls NAME] of a configuration: what they give, what is printed of them, what one
 * configuration changes of another's. Certificates are made for it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/change.h"
#include "conf/option.h"
#include "conf/row.h"
#include "test/lib/certs.h"
#include "unit.h"

static struct certs certs;
static struct maritcp_conf conf, other;
static struct conf_error err;
static char path[128];

static void setup(void)
{
    certs_usual(&certs, CERT_EC);
    snprintf(path, sizeof path, "%s/t.conf", certs.dir);
}

/* A file with $C and $K for the usual certificate and key; how loading it goes. */
static sint32 load(struct maritcp_conf *to, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    for (; *text != '\0'; text++) {
        if (*text == '$')
            fputs(*++text == 'C' ? certs.server : certs.key, f);
        else
            fputc(*text, f);
    }
    ck_assert_int_eq(fclose(f), 0);
    return conf_load(to, path, NULL, 0, &err);
}

static void loads(struct maritcp_conf *to, const char *text)
{
    ck_assert_msg(load(to, text) == 0, "%s", err.text);
}

static void refuses(const char *text, const char *says)
{
    ck_assert_msg(load(&conf, text) == -1, "%s", text);
    ck_assert_msg(strstr(err.text, says) != NULL, "'%s' does not say '%s'", err.text, says);
}

static const struct row *named(const struct maritcp_conf *c, const char *section, const char *key)
{
    static struct row room;
    const struct row *row = row_find_in(c, section, key, &room);
    ck_assert_msg(row != NULL, "%s.%s", section, key);
    return row;
}

static char *print(const struct maritcp_conf *c)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    conf_print(out, c);
    fclose(out);
    return text;
}

static void prints(const char *text, const char *piece)
{
    ck_assert_msg(strstr(text, piece) != NULL, "there is no '%s' in:\n%s", piece, text);
}

/* Goal: each key reaches its own field; what is not said is NULL; [tls] and [tls NAME] are apart. */
START_TEST(fields)
{
    loads(
        &conf,
        "[tls]\nrecords=slim\nhandshake_timeout=3\nhandshakes=4\noffload=rsa\n"
        "[tls one]\ncertificate=$C\nkey=$K\nsni=a.example, *.b.example\nalpn=h2,http/1.1\nmin_version=1.3\n"
        "ciphers=TLS_AES_128_GCM_SHA256\ntickets=0\n[log]\nlevel=warn\n[tls two-2_]\ncertificate=$C\nkey=$K\n"
        "tickets=5\n[tls one]\nclient_ca=$C\nchain=$C\n");
    ck_assert_int_eq(conf.server.tls_records, MARIO_TLS_SLIM);
    ck_assert_uint_eq(conf.server.tls_handshake_timeout, 3);
    ck_assert_uint_eq(conf.server.tls_handshakes, 4);
    ck_assert_int_eq(conf.server.tls_offload, MARIO_TLS_OFFLOAD_RSA);
    ck_assert_uint_eq(conf.certificate_count, 2);
    const struct mario_tls *one = &conf.certificates[0], *two = &conf.certificates[1];
    ck_assert_str_eq(one->name, "one");
    ck_assert_str_eq(one->certificate, certs.server);
    ck_assert_str_eq(one->key, certs.key);
    ck_assert_str_eq(one->chain, certs.server);
    ck_assert_str_eq(one->client_ca, certs.server);
    ck_assert_str_eq(one->sni, "a.example, *.b.example");
    ck_assert_str_eq(one->alpn, "h2,http/1.1");
    ck_assert_str_eq(one->ciphers, "TLS_AES_128_GCM_SHA256");
    ck_assert_int_eq(one->min_version, MARIO_TLS_1_3);
    ck_assert_int_eq(one->tickets, -1);
    ck_assert_str_eq(two->name, "two-2_");
    ck_assert(two->chain == NULL && two->client_ca == NULL && two->sni == NULL && two->alpn == NULL &&
              two->ciphers == NULL);
    ck_assert_int_eq(two->min_version, MARIO_TLS_1_2);
    ck_assert_int_eq(two->tickets, 5);
}
END_TEST

/* Goal: what -t prints says what the certificate is and until when, and reads back the same. */
START_TEST(printed)
{
    loads(&conf,
          "[server]\nlisten=127.0.0.1:1 tls=one+two\n[tls one]\ncertificate=$C\nkey=$K\nsni=a.example\n"
          "[tls two]\ncertificate=$C\nkey=$K\ntickets=0\n");
    char *text = print(&conf), origin[32];
    prints(text, "\n[tls one]\n# CN=localhost, EC ");
    prints(text, " days from now\n");
    prints(text, "\n[tls two]\n");
    origin_print(named(&conf, "tls one", "sni"), &conf, origin, sizeof origin);
    ck_assert_str_eq(origin, "line 6");
    loads(&other, text);
    free(text);
    conf_align(&other, &conf);
    ck_assert_uint_eq(change_count(&conf, &other, LIVE) + change_count(&conf, &other, RESTART), 0);
    ck_assert_uint_eq(other.certificate_count, 2);
}
END_TEST

/* Goal: a certificate that has expired can be used, and is warned of. */
START_TEST(expired)
{
    struct cert *old = cert_make(&(struct cert_ask){.begins_s = -864000, .ends_s = -86400 * 2 - 3600});
    cert_write(old, certs.server);
    cert_write_key(old, NULL, certs.key);
    cert_free(&old);
    loads(&conf, "[tls one]\ncertificate=$C\nkey=$K\n");
    char *text = print(&conf);
    prints(text, "# warning: ");
    prints(text, ", -2 days from now\n");
    free(text);
}
END_TEST

/* Goal: what is wrong with a file names the key's place. */
START_TEST(bad_files)
{
    struct cert *stranger = cert_make(&(struct cert_ask){.name = "stranger"});
    char text[512], foreign[160], secret[160];
    snprintf(foreign, sizeof foreign, "%s/foreign.pem", certs.dir);
    snprintf(secret, sizeof secret, "%s/secret.pem", certs.dir);
    cert_write_key(stranger, NULL, foreign);
    cert_write_key(stranger, "password", secret);
    cert_free(&stranger);
    snprintf(text, sizeof text, "[tls one]\ncertificate=$C\n\nkey=%s\n", foreign);
    refuses(text, ":4: tls one.key: ");
    snprintf(text, sizeof text, "[tls one]\ncertificate=$C\nkey=%s\n", secret);
    refuses(text, ":3: tls one.key: ");
    snprintf(text, sizeof text, "[tls one]\nkey=$K\ncertificate=%s\n", foreign);
    refuses(text, ":3: tls one.certificate: ");
    refuses("[tls one]\ncertificate=$C\n", "tls one.key: ");
    refuses("[tls one]\ncertificate=$C\nkey=$K\nchain=/no/such\n", ":4: tls one.chain: ");
    refuses("[tls one]\ncertificate=$C\nkey=$K\nclient_ca=/no/such\n", ":4: tls one.client_ca: ");
    refuses("[tls one]\ncertificate=$C\nkey=$K\nciphers=ROT13\n", ":4: tls one.ciphers: ");
    refuses("[tls one]\ncertificate=$C\nkey=$K\n[server]\nlisten=127.0.0.1:1 tls=one+tow\n",
            ":5: server.listen: '127.0.0.1:1': tls=one+tow: there is no section 'tow'");
    char *overrides[] = {text};
    snprintf(text, sizeof text, "tls one.certificate=/no/such");
    ck_assert_int_eq(conf_load(&conf, NULL, overrides, 1, &err), -1);
    ck_assert_msg(strncmp(err.text, "-o tls one.certificate=/no/such: ", 33) == 0, "%s", err.text);
}
END_TEST

/* Goal: 64 sections, not one more. */
START_TEST(many)
{
    static char text[64 * 1024];
    size_t used = 0;
    for (int i = 0; i < 65; i++) {
        if (i == 64)
            loads(&conf, text);
        used += (size_t) snprintf(text + used, sizeof text - used, "[tls n%d]\ncertificate=$C\nkey=$K\n", i);
    }
    ck_assert_uint_eq(conf.certificate_count, 64);
    refuses(text, ":193: one section [tls NAME] too many (allowed: up to 64)");
}
END_TEST

/* Goal: of sections that both have, in whatever order, keys change live; one that came or went needs a restart, and the
 * one in use stays. */
START_TEST(changes)
{
    char text[CHANGE_SIZE];
    loads(&conf, "[tls one]\ncertificate=$C\nkey=$K\nsni=a.example\n[tls two]\ncertificate=$C\nkey=$K\n");
    loads(
        &other,
        "[tls three]\ncertificate=$C\nkey=$K\nsni=c.example\n[tls one]\ncertificate=$C\nkey=$K\nsni=b.example\n");
    conf_align(&other, &conf);
    ck_assert_uint_eq(change_count(&conf, &other, LIVE), 1);
    ck_assert_uint_eq(change_count(&conf, &other, RESTART),
                      5); /* of two: certificate, key; of three: these and sni */
    change_print(named(&conf, "tls one", "sni"), &conf, &other, text);
    ck_assert_str_eq(text, "tls one.sni a.example -> b.example");
    change_print(named(&other, "tls three", "sni"), &conf, &other, text);
    ck_assert_str_eq(text, "tls three.sni - -> c.example");
    conf_take_live(&conf, &other);
    ck_assert_uint_eq(change_count(&conf, &other, LIVE), 0);
    ck_assert_uint_eq(change_count(&conf, &other, RESTART), 5);
    ck_assert_uint_eq(conf.certificate_count, 2);
    ck_assert_str_eq(conf.certificates[0].sni, "b.example");
    ck_assert_str_eq(conf.certificates[1].certificate, certs.server);
    ck_assert_uint_eq(other.certificate_count, 2); /* one and three */
    ck_assert_int_eq(origin_of(&conf, named(&conf, "tls one", "sni")), 8);
}
END_TEST

/* Goal: all places are taken by sections that are gone: a new one has none until the restart; nothing is overrun. */
START_TEST(no_place)
{
    static char text[2][64 * 1024];
    size_t used[2] = {0, 0};
    for (int i = 0; i < 64; i++) {
        for (int k = 0; k < 2; k++)
            used[k] += (size_t) snprintf(text[k] + used[k], sizeof text[k] - used[k],
                                         "[tls %c%d]\ncertificate=$C\nkey=$K\n", i == 0 ? 'n' : "no"[k], i);
    }
    loads(&conf, text[0]);
    loads(&other, text[1]);
    conf_align(&other, &conf);
    ck_assert_uint_eq(other.tls_count, 64);
    ck_assert_uint_eq(other.certificate_count, 1); /* n0, which both have */
    ck_assert_uint_eq(change_count(&conf, &other, LIVE), 0);
    ck_assert_uint_eq(change_count(&conf, &other, RESTART), 63 * 2);
}
END_TEST

/* Goal: by hand a key of a section that is there, and no other one. */
START_TEST(by_hand)
{
    loads(&conf, "[tls one]\ncertificate=$C\nkey=$K\n");
    ck_assert_msg(conf_set(&conf, "tls one.sni=x.example", &err) == 0, "%s", err.text);
    ck_assert_str_eq(conf.certificates[0].sni, "x.example");
    ck_assert_int_eq(origin_of(&conf, named(&conf, "tls one", "sni")), CONF_SET);
    ck_assert_int_eq(conf_set(&conf, "tls two.sni=x.example", &err), -1);
    prints(err.text, "config set: unknown section 'tls two'");
    ck_assert_int_eq(conf_set(&conf, "tls.offload=all", &err), -1);
    prints(err.text, "tls.offload: needs a restart");
}
END_TEST

/* Goal: files become absolute, what is none stays; one that becomes too long is refused. */
START_TEST(absolute)
{
    char *overrides[] = {"tls one.certificate=server.pem", "tls one.key=server.key"}, want[160];
    ck_assert_int_eq(chdir(certs.dir), 0);
    cert_write(certs.authority, "server.pem");
    cert_write_key(certs.authority, NULL, "server.key");
    ck_assert_msg(conf_load(&conf, NULL, overrides, 2, &err) == 0, "%s", err.text);
    ck_assert_int_eq(conf_make_absolute(&conf, &err), 0);
    snprintf(want, sizeof want, "%s/server.pem", certs.dir);
    ck_assert_str_eq(conf.certificates[0].certificate, want);
    ck_assert(conf.certificates[0].chain == NULL && conf.certificates[0].client_ca == NULL);
    ck_assert_int_eq(conf_load(&conf, NULL, overrides, 2, &err), 0);
    snprintf(conf.base, sizeof conf.base, "/%0509d", 0);
    ck_assert_int_eq(conf_make_absolute(&conf, &err), -1);
    prints(err.text, "File name too long");
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

Suite *tls_sections_suite(void)
{
    Suite *s = suite_create("tls_sections");
    TCase *c = unit_case(s, "sections", 20);
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, fields);
    tcase_add_test(c, printed);
    tcase_add_test(c, expired);
    tcase_add_test(c, bad_files);
    tcase_add_test(c, many);
    tcase_add_test(c, changes);
    tcase_add_test(c, no_place);
    tcase_add_test(c, by_hand);
    tcase_add_test(c, absolute);
    return s;
}
