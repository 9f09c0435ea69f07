/*
 * test_balancers.c: PROXY headers as others write them: haproxy, nginx and curl in front of a server.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"
#include "stuck.h"
#include "test/lib/own_port.h"

/* The last one answers whatever comes. */
#define TRUSTING \
    "127.0.0.1:0,127.0.0.1:0 proxy=on trust=127.0.0.1,127.0.0.1:0 proxy=on trust=127.0.0.1 proto=raw id=0x7034"

/* A balancer, and where clients find it. */
struct balancer {
    pid_t pid;
    char dir[128], conf[160], err[160];
    unsigned doors;
    uint16_t ports[4];
    int holds[4];
    struct net_target targets[4];
};

static uint16_t port_of(const struct net_target *t)
{
    struct sockaddr_in v4;
    memcpy(&v4, &t->addr, sizeof v4);
    return ntohs(v4.sin_port);
}

/* Where clients are to find it: so many addresses, which nobody else takes. */
static void prepare(struct balancer *b, unsigned doors)
{
    char text[8];
    *b = (struct balancer){.doors = doors};
    program_make_dir(b->dir, sizeof b->dir);
    snprintf(b->conf, sizeof b->conf, "%s/conf", b->dir);
    snprintf(b->err, sizeof b->err, "%s/err", b->dir);
    for (unsigned i = 0; i < doors; i++) {
        b->ports[i] = own_port(&b->holds[i]);
        ck_assert_uint_ne(b->ports[i], 0);
        snprintf(text, sizeof text, "%u", b->ports[i]);
        ck_assert_ptr_eq(net_resolve("127.0.0.1", text, &b->targets[i]), NULL);
    }
}

/* Whether somebody listens at the last of its addresses. */
static bool listens(void *balancer)
{
    const struct balancer *b = balancer;
    const struct net_target *t = &b->targets[b->doors - 1];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = connect(fd, (const struct sockaddr *) &t->addr, t->len) == 0;
    close(fd);
    return yes;
}

/* Start it with this configuration. The words end with NULL; "CONF" is the file's path. */
static void start(struct balancer *b, const char *program, const char *conf, const char *const *words)
{
    const char *args[16];
    size_t n = 0;
    FILE *f = fopen(b->conf, "w");
    ck_assert(f != NULL && fputs(conf, f) >= 0 && fclose(f) == 0);
    for (; words[n] != NULL; n++)
        args[n] = strcmp(words[n], "CONF") == 0 ? b->conf : words[n];
    args[n] = NULL;
    b->pid =
        program_start(&(struct launch){.program = program, .args = args, .bare = true}, NULL, b->err, b->err);
    if (!itest_wait(listens, b, 10000))
        ck_abort_msg("%s does not listen: %s", program, program_slurp(b->err));
}

static void stop(struct balancer *b)
{
    kill(b->pid, SIGKILL);
    ck_assert_int_eq(program_wait(b->pid, itest_deadline(5000)), 128 + SIGKILL);
    for (unsigned i = 0; i < b->doors; i++)
        close(b->holds[i]);
    program_remove_dir(b->dir);
}

static void launch(struct server *s)
{
    server_launch(s, &(struct launch){.program = "testapp",
                                      .listen = TRUSTING,
                                      .args = (const char *[]){"test.offload=on", "log.level=debug",
                                                               "server.timeout=1", NULL}});
    s->log_lines_max = 100000;
}

static void ask(int fd, uint16_t command, char text[1200])
{
    size_t n = client_ask(fd, command, NULL, 0, text, 1199);
    text[n] = '\0';
}

/* Ours is the name that the server has for us. */
static void is_known(int fd)
{
    char text[1200], own[32];
    struct sockaddr_in me;
    socklen_t len = sizeof me;
    ck_assert(getsockname(fd, (struct sockaddr *) &me, &len) == 0);
    snprintf(own, sizeof own, "127.0.0.1:%u", ntohs(me.sin_port));
    ask(fd, TEST_PEER, text);
    ck_assert_str_eq(text, own);
}

/* Goal: haproxy's headers of both versions, with all that it can put into them, and its checks. */
START_TEST(haproxy)
{
    static const char conf[] =
        "global\n  maxconn 100\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        "frontend f1\n  bind 127.0.0.1:%u\n  default_backend b1\n"
        "frontend f2\n  bind 127.0.0.1:%u\n  default_backend b2\n"
        "frontend f3\n  bind 127.0.0.1:%u\n  unique-id-format id-%%ci-%%cp\n  default_backend b3\n"
        "backend b1\n  server s 127.0.0.1:%u send-proxy\n"
        "backend b2\n  server s 127.0.0.1:%u send-proxy-v2 check check-send-proxy inter 100\n"
        "backend b3\n  server s 127.0.0.1:%u send-proxy-v2 proxy-v2-options "
        "ssl,cert-cn,ssl-cipher,authority,crc32c,unique-id\n";
    char text[2048], expected[64];
    struct balancer b;
    struct server s;
    if (access("/usr/sbin/haproxy", X_OK) != 0)
        TEST_SKIP("haproxy is not installed");
    launch(&s);
    prepare(&b, 3);
    uint16_t port = port_of(&s.addresses[1]);
    snprintf(text, sizeof text, conf, b.ports[0], b.ports[1], b.ports[2], port, port, port);
    start(&b, "/usr/sbin/haproxy", text, (const char *[]){"-db", "-f", "CONF", NULL});
    for (unsigned i = 0; i < 3; i++) {
        int fd = client_open_at(&b.targets[i]);
        is_known(fd);
        ask(fd, TEST_PROXY + TEST_OFFLOADED, text);
        ck_assert_ptr_nonnull(strstr(text, "via=yes "));
        snprintf(expected, sizeof expected, " id=id-127.0.0.1-");
        ck_assert_msg((i == 2) == (strstr(text, expected) != NULL), "'%s'", text);
        client_echo(fd, 4000);
        close(fd);
    }
    uint64_t checks = server_counter(&s, "proxied");
    server_wait_counter(&s, "proxied", checks + 3, 5000);
    stop(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_proxy"), 0);
}
END_TEST

/* Run curl; what it printed goes to out. */
static void run_curl(const char *const *args, char *out, size_t size)
{
    char err[1024];
    int code = itest_run(&(struct launch){.program = "/usr/bin/curl", .bare = true, .args = args}, out, size,
                         err, sizeof err);
    ck_assert_msg(code == 0, "curl: %d: %s", code, err);
}

/* A key and its certificate, in one file. */
static void make_certificate(const char *dir, const char *pem)
{
    char request[160], err[1024];
    snprintf(request, sizeof request, "%s/request", dir);
    FILE *f = fopen(request, "w");
    ck_assert(f != NULL && fputs("[req]\nprompt = no\ndistinguished_name = dn\n[dn]\nCN = test\n", f) >= 0 &&
              fclose(f) == 0);
    const char *const args[] = {"req",     "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                                "-config", request, "-keyout", pem,        "-out",   pem,     NULL};
    int code = itest_run(&(struct launch){.program = "/usr/bin/openssl", .bare = true, .args = args}, NULL, 0,
                         err, sizeof err);
    ck_assert_msg(code == 0, "openssl: %s", err);
}

/* Goal: what haproxy says of TLS that ended at it. */
START_TEST(haproxy_with_tls)
{
    static const char conf[] =
        "global\n  maxconn 100\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        "frontend f\n  bind 127.0.0.1:%u ssl crt %s/pem\n  default_backend b\n"
        "backend b\n  server s 127.0.0.1:%u send-proxy-v2 proxy-v2-options "
        "ssl,cert-cn,ssl-cipher,authority,crc32c\n";
    char text[2048], pem[160], url[80], name[80];
    struct balancer b;
    struct server s;
    if (access("/usr/sbin/haproxy", X_OK) != 0 || access("/usr/bin/openssl", X_OK) != 0 ||
        access("/usr/bin/curl", X_OK) != 0)
        TEST_SKIP("haproxy, openssl or curl is not installed");
    launch(&s);
    prepare(&b, 1);
    snprintf(pem, sizeof pem, "%s/pem", b.dir);
    make_certificate(b.dir, pem);
    snprintf(text, sizeof text, conf, b.ports[0], b.dir, port_of(&s.addresses[2]));
    start(&b, "/usr/sbin/haproxy", text, (const char *[]){"-db", "-f", "CONF", NULL});
    snprintf(url, sizeof url, "https://chat.example:%u/", b.ports[0]);
    snprintf(name, sizeof name, "chat.example:%u:127.0.0.1", b.ports[0]);
    run_curl((const char *[]){"-s", "-k", "--http0.9", "--tlsv1.3", "--resolve", name, url, NULL}, text,
             sizeof text);
    ck_assert_msg(strstr(text, "via=yes authority=chat.example id=- ssl=1/0/TLSv1.3/-/TLS_") != NULL, "'%s'",
                  text);
    stop(&b);
    server_finish(&s);
}
END_TEST

/* Goal: nginx' header. */
START_TEST(nginx)
{
    static const char conf[] =
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
        "daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr;\n"
        "events { worker_connections 64; }\n"
        "stream { server { listen 127.0.0.1:%u; proxy_pass 127.0.0.1:%u; proxy_protocol on; } }\n";
    char text[2048];
    struct balancer b;
    struct server s;
    if (access("/usr/sbin/nginx", X_OK) != 0 ||
        access("/usr/lib/nginx/modules/ngx_stream_module.so", R_OK) != 0)
        TEST_SKIP("nginx with its module for streams is not installed");
    launch(&s);
    prepare(&b, 1);
    snprintf(text, sizeof text, conf, b.dir, b.ports[0], port_of(&s.addresses[1]));
    start(&b, "/usr/sbin/nginx", text, (const char *[]){"-e", "stderr", "-c", "CONF", NULL});
    for (int i = 0; i < 3; i++) {
        int fd = client_open_at(&b.targets[0]);
        is_known(fd);
        client_echo(fd, 4000);
        close(fd);
    }
    stop(&b);
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "proxied"), 3);
}
END_TEST

/* Goal: curl's header. */
START_TEST(curl)
{
    char url[64], out[512] = "";
    struct server s;
    if (access("/usr/bin/curl", X_OK) != 0)
        TEST_SKIP("curl is not installed");
    launch(&s);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port_of(&s.addresses[2]));
    run_curl((const char *[]){"-s", "--http0.9", "--haproxy-protocol", url, NULL}, out, sizeof out);
    ck_assert_str_eq(out, "via=yes authority=- id=-");
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "proxied"), 1);
}
END_TEST

Suite *balancers_suite(void)
{
    Suite *s = suite_create("balancers");
    TCase *c = itest_case(s, "balancers", 40);
    tcase_add_test(c, haproxy);
    tcase_add_test(c, haproxy_with_tls);
    tcase_add_test(c, nginx);
    tcase_add_test(c, curl);
    return s;
}
