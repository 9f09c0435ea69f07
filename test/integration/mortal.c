/*
 * mortal.c: servers that are made to die. Main thread of a test.
 */
#include "mortal.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"
#include "test/apps/testapp/commands.h"

/* Faults are the crash handler's, also under a sanitizer. */
const char *const mortal_env[] = {
    "ASAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:detect_stack_use_after_return=0:"
    "verify_asan_link_order=0", /* what is preloaded comes first */
    "TSAN_OPTIONS=handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0", NULL};

void mortal_start(struct server *s, const char *const *args)
{
    server_launch(s, &(struct launch){.program = "testapp", .args = args, .env = mortal_env});
    s->log_lines_max = 100000;
}

void mortal_start_supervised(struct server *s)
{
    mortal_start(s, (const char *[]){"server.supervise=on", "server.workernum=2", NULL});
}

/* The child of a supervising parent; 0 if it has none now. */
pid_t mortal_child(pid_t parent)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int) parent, (int) parent);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%d", &pid) != 1)
        pid = 0;
    fclose(f);
    return pid;
}

bool mortal_is_gone(void *pid)
{
    return kill(*(pid_t *) pid, 0) != 0 && errno == ESRCH;
}

bool mortal_has_next(void *arg)
{
    struct mortal_next *n = arg;
    n->now = mortal_child(n->parent);
    return n->now != 0 && n->now != n->former;
}

/* The last line of the log that contains text; it must be there. */
void mortal_last_line(const struct server *s, const char *text, char line[MORTAL_LINE])
{
    char *log = program_slurp(s->log), *at = NULL;
    for (char *next = log; (next = strstr(next, text)) != NULL; next++)
        at = next;
    ck_assert_msg(at != NULL, "the log has no '%s'; see %s", text, s->log);
    while (at > log && at[-1] != '\n')
        at--;
    snprintf(line, MORTAL_LINE, "%.*s", (int) strcspn(at, "\n"), at);
    free(log);
}

/* Have the server die as told, and wait for the connection's end. Returns our port. */
uint16_t mortal_die(const struct server *s, uint32_t how)
{
    struct sockaddr_in me;
    socklen_t len = sizeof me;
    int fd = client_open(s);
    client_echo(fd, 10);
    ck_assert(getsockname(fd, (struct sockaddr *) &me, &len) == 0);
    client_send_packet(fd, TEST_DIE, &how, sizeof how);
    size_t answer = 0;
    enum ending end = client_ending(fd, &answer, 5000);
    ck_assert_msg(end == END_RST || end == END_FIN, "the connection did not end but %d", (int) end);
    ck_assert_msg(answer == 0 || how == DIE_ON_LOG || how == DIE_ON_MASTER, "who has died still answers");
    close(fd);
    return ntohs(me.sin_port);
}

/* Connect at once and be served by the next child. How long that took, ms. */
unsigned mortal_served_again(const struct server *s)
{
    uint64_t begin = mono_ns();
    for (;;) {
        unsigned char packet[64];
        int fd = client_open(s); /* fails the test if it is refused */
        size_t n = client_packet(packet, TEST_ECHO, "again", 5);
        size_t got = 0;
        (void) !write(fd, packet, n);
        enum ending end = END_OPEN;
        for (uint64_t until = itest_deadline(5000); got < n && end == END_OPEN;) {
            char answer[64];
            ssize_t k = recv(fd, answer, sizeof answer, 0);
            if (k > 0)
                got += (size_t) k;
            else if (k == 0 || (errno != EAGAIN && errno != EINTR))
                end = END_RST; /* the dying one had taken it already */
            else
                itest_sleep(1);
            ck_assert_msg(mono_ns() < until, "nobody serves again; see %s", s->dir);
        }
        close(fd);
        if (got == n)
            return itest_ms_since(begin);
    }
}
