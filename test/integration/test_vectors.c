/*
 * test_vectors.c: the conversations of test/vectors/maritcp.txt, which clients in other languages are written by: what
 * stands there must be what the server does.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"

enum { BYTES = 256, REASONS = 4, QUIET_MS = 20 };

static const char *const reasons[REASONS] = {"bad_stx", "bad_length", "unknown_akg", "function_error"};

struct run {
    struct server server;
    int fd;           /* -1 = between two conversations */
    const char *name; /* of the one at hand */
    unsigned done, closed[REASONS];
};

static size_t read_hex(const char *text, unsigned char out[BYTES])
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        unsigned byte;
        if (isspace((unsigned char) *text))
            continue;
        ck_assert_msg(n < BYTES && sscanf(text, "%2x", &byte) == 1, "not hexadecimal: %s", text);
        out[n++] = (unsigned char) byte;
        text++;
    }
    return n;
}

static void expect(struct run *r, const char *hex)
{
    unsigned char want[BYTES], got[BYTES];
    size_t n = read_hex(hex, want);
    client_recv(r->fd, got, n);
    ck_assert_msg(memcmp(want, got, n) == 0, "%s: another answer than %s", r->name, hex);
}

static void end(struct run *r, const char *how)
{
    size_t extra = 0;
    char byte;
    if (strcmp(how, "open") == 0) {
        itest_sleep(QUIET_MS);
        ck_assert_msg(recv(r->fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "%s: not quiet", r->name);
    } else {
        enum ending ending = client_ending(r->fd, &extra, 3000);
        ck_assert_msg(ending == END_FIN && extra == 0, "%s: %zu more bytes, ended by %d", r->name, extra,
                      (int) ending);
        size_t i = 0;
        while (i < REASONS && (strncmp(how, "closed ", 7) != 0 || strcmp(how + 7, reasons[i]) != 0))
            i++;
        ck_assert_msg(i < REASONS, "%s: what is '%s'?", r->name, how);
        r->closed[i]++;
    }
    close(r->fd);
    r->fd = -1;
    r->done++;
}

static void take_line(struct run *r, const char *line)
{
    unsigned char bytes[BYTES];
    const char *rest = line[0] != '\0' && line[1] == ' ' ? line + 2 : "";
    if (line[0] == '\0' || line[0] == '#')
        return;
    if (r->fd < 0) {
        r->name = line;
        r->fd = client_open(&r->server);
    } else if (line[0] == '>') {
        client_send(r->fd, bytes, read_hex(rest, bytes));
    } else if (line[0] == '<') {
        expect(r, rest);
    } else {
        ck_assert_msg(line[0] == '=', "%s: what is '%s'?", r->name, line);
        end(r, rest);
    }
}

/* Goal: each conversation goes as it is written. */
START_TEST(conversations)
{
    struct run r = {.fd = -1};
    char path[640];
    snprintf(path, sizeof path, "%s/test/vectors/maritcp.txt", itest_root());
    char *text = program_slurp(path), *rest = text;
    server_start(&r.server, "maritcp", NULL);
    r.server.log_lines_max = 100;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        take_line(&r, line);
    ck_assert_msg(r.fd < 0, "%s: it has no end", r.name);
    ck_assert_uint_ge(r.done, 20);
    server_wait_fds(&r.server, r.server.fds, 5000);
    server_signal(&r.server, SIGTERM);
    server_wait_exit(&r.server, 12000);
    for (size_t i = 0; i < REASONS; i++) {
        char counter[32];
        snprintf(counter, sizeof counter, "closed_%s", reasons[i]);
        ck_assert_uint_eq(server_counter(&r.server, counter), r.closed[i]);
        ck_assert_uint_gt(r.closed[i], 0);
    }
    server_check(&r.server);
    free(text);
}
END_TEST

Suite *vectors_suite(void)
{
    Suite *s = suite_create("vectors");
    TCase *c = itest_case(s, "vectors", 20);
    tcase_add_test(c, conversations);
    return s;
}
