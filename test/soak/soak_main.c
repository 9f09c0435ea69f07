/*
 * soak_main.c: the soak's steps: start a server and its neighbours, bring troubles until the time is over, let
 * all go, judge. `make soak MINUTES=60 SEED=n`; exit code 0 when all was well, 1 when not, 2 for bad usage.
 *
 *     soak [-m MINUTES] [-s SEED] [-k KIND] [-o FILE]
 *
 * -k brings troubles of that kind only; -o says where each trouble is noted, with the second in which it began.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "minutes.h"
#include "neighbours.h"
#include "schedule.h"
#include "test/integration/surfer.h"
#include "test/lib/args.h"

enum { TROUBLE_S = 50 }; /* of each minute */

static struct {
    uint64_t minutes, seed;
    const char *kind, *notes;
} wanted = {.minutes = 60};

/* ---- What its files call ---- */

void complain(struct soak *s, const char *fmt, ...)
{
    char where[64];
    va_list ap;
    va_start(ap, fmt);
    schedule_where(where, sizeof where);
    printf("WRONG (%s): ", where);
    vprintf(fmt, ap);
    printf("\n");
    fflush(stdout);
    va_end(ap);
    s->complaints++;
}

uint64_t soak_counter(const struct soak *s, const char *name)
{
    return server_counter(&s->server, name);
}

void soak_unstick(const struct soak *s)
{
    int fd = client_open(&s->server);
    unstick(fd);
    close(fd);
}

/* ---- Start ---- */

static void start(struct soak *s)
{
    static char env[PRELOAD_ENV], words[12][64];
    const char *const envs[] = {env, NULL};
    const char *admin[2];
    surfer_make_options(admin);
    const char *args[] = {
        words[0],          words[1],         words[2], words[3],          words[4],
        words[5],          words[6],         words[7], "test.offload=on", "watch.replace_max=1000",
        "push.queue=5000", "push.bytes=16m", admin[0], admin[1],          NULL};
    snprintf(words[0], 64, "server.workernum=%d", WORKERS);
    snprintf(words[1], 64, "server.connnum=%d", PLACES);
    snprintf(words[2], 64, "server.timeout=%d", TIMEOUT_S);
    snprintf(words[3], 64, "server.packet_timeout=%d", PACKET_S);
    snprintf(words[4], 64, "server.write_timeout=%d", WRITE_S);
    snprintf(words[5], 64, "output.max=%d", OUTPUT_MAX);
    snprintf(words[6], 64, "watch.warn_ms=%u", WARN_MS);
    snprintf(words[7], 64, "watch.replace_ms=%u", REPLACE_MS);
    memset(s, 0, sizeof *s);
    s->board = preload_inject(env);
    server_launch(
        &s->server,
        &(struct launch){
            .program = "testapp", .args = args, .listen = soak_listen, .preload = "inject", .env = envs});
    surfer_find(&s->server);
    s->server.log_lines_max = 100; /* many kinds of line, each with its limit */
    s->neighbours = neighbours_start(s);
}

/* ---- The end ---- */

static void expect(struct soak *s, const char *name, uint64_t least, uint64_t most)
{
    uint64_t have = server_counter(&s->server, name);
    if (have < least || have > most)
        complain(s, "%s is %" PRIu64 "; the books say %" PRIu64 " .. %" PRIu64, name, have, least, most);
}

/* What slow readers did not get was dropped as the policies say; that all targets are settled server_stop() has
 * seen. */
static void judge_dropped(struct soak *s)
{
    uint64_t have = server_counter(&s->server, "push_dropped_oldest") +
                    server_counter(&s->server, "push_dropped_newest") +
                    server_counter(&s->server, "push_coalesced");
    if (have != s->books.dropped)
        complain(s, "%" PRIu64 " messages were dropped for slow readers, who miss %" PRIu64, have,
                 s->books.dropped);
}

/* So few are on their way at a time that none is lost. */
static void judge_datagrams(struct soak *s)
{
    const struct books *b = &s->books;
    expect(s, "udp_in", b->udp.in, b->udp.in);
    expect(s, "udp_out", b->udp.out, b->udp.out);
    expect(s, "udp_bad_stx", b->udp.bad_stx, b->udp.bad_stx);
    expect(s, "udp_short", b->udp.is_short, b->udp.is_short);
    expect(s, "udp_trailing", b->udp.trailing, b->udp.trailing);
    expect(s, "udp_unknown", b->udp.unknown, b->udp.unknown);
    expect(s, "udp_dropped", 0, 0);
    expect(s, "udp_unsent", 0, 0);
}

/* After the end: the server's counters are those of the books. That reasons add up to all connections
 * server_stop() has seen. */
static void judge_counters(struct soak *s)
{
    static const char *const names[] = {
#define ROW(name, hook, level) "closed_" #name,
        "", REASONS(ROW)
#undef ROW
    };
    const struct books *b = &s->books;
    uint64_t failed = s->board->row[INJECT_accept4].failed, accepts = 0;
    static const char *const errors[] = {"accept_enfile", "accept_enobufs",      "accept_enomem",
                                         "accept_eperm",  "accept_econnaborted", "accept_eintr"};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        accepts += server_counter(&s->server, errors[i]);
    accepts += server_counter(&s->server, "admin_accept_failed");
    if (accepts != failed)
        complain(s, "%" PRIu64 " failures of accept counted, %" PRIu64 " made", accepts, failed);
    uint64_t made = client_opened() + b->made;
    expect(s, "accepted", made, made);
    expect(s, "opened", made - b->refused, made - b->refused);
    for (int r = 1; r < REASON_COUNT; r++) {
        if (r != REASON_peer_closed)
            expect(s, names[r], b->closed[r], b->closed[r] + (r == REASON_reset ? b->either : 0));
    }
    expect(s, "watch_replaced", b->closed[REASON_function_stuck] + b->stuck_hooks,
           b->closed[REASON_function_stuck] + b->stuck_hooks);
    uint64_t replaced = server_counter(&s->server, "watch_replaced");
    expect(s, "watch_buried", replaced, replaced);
    expect(s, "watch_died", b->died, b->died);
    expect(s, "offload_died", b->away_died, b->away_died);
    expect(s, "push_targets", b->targets, b->targets);
    expect(s, "push_pending", 0, 0);
    expect(s, "push_gone", b->gone, UINT64_MAX);
    judge_dropped(s);
    judge_datagrams(s);
    expect(s, "watch_limited", 0, 0);
    expect(s, "wrong_canary", 0, 0);
}

static void judge_neighbours(struct soak *s)
{
    struct neighbours_report r = neighbours_stop(&s->neighbours);
    printf("neighbours: %" PRIu64 " sent, %" PRIu64 " answered, %u connections lost, %u waits too long\n",
           r.sent, r.answered, r.lost, r.too_long);
    if (r.sent != r.answered || r.lost != 0)
        complain(s, "neighbours lost something");
    if (r.too_long != 0)
        complain(s, "neighbours had to wait, the longest %.0f ms", (double) r.worst_ns / NS_PER_MS);
}

/* All functions have returned, then all is as it was at the start. */
static void judge(struct soak *s)
{
    soak_unstick(s);
    server_wait_counter(&s->server, "watch_buried", soak_counter(s, "watch_replaced"), 5000);
    minutes_judge(s);
    judge_neighbours(s);
    schedule_report();
    fflush(stdout);
    surfer_end();
    server_finish(&s->server);
    judge_counters(s);
    printf("soak: %s; %" PRIu64 " connections, seed %" PRIu64 "\n",
           s->complaints == 0 ? "all is well" : "something is WRONG, see above",
           server_counter(&s->server, "accepted"), wanted.seed);
    fflush(stdout);
    ck_assert_uint_eq(s->complaints, 0);
}

/* Most of it in trouble; then all troubles end, which takes some seconds, and only the neighbours are left. */
static void spend_minute(struct soak *s)
{
    uint64_t end = mono_ns() + TROUBLE_S * NS_PER_S;
    minutes_begin();
    for (bool over = false; !over;) {
        bool more = mono_ns() < end;
        over = schedule_turn(s, more) && !more;
        minutes_look(s);
        itest_sleep(5);
    }
    server_wait_fds(&s->server, s->server.fds + NEIGHBOURS, 10000);
    minutes_end(s);
}

START_TEST(soak)
{
    static struct soak s;
    start(&s);
    schedule_begin(wanted.seed, wanted.kind, wanted.notes);
    for (uint64_t end = mono_ns() + wanted.minutes * 60 * NS_PER_S; mono_ns() + NS_PER_S * 30 < end;)
        spend_minute(&s);
    judge(&s);
}
END_TEST

/* ---- The command line ---- */

static int read_args(int argc, char **argv)
{
    args_program("soak");
    if (getrandom(&wanted.seed, sizeof wanted.seed, 0) != sizeof wanted.seed)
        wanted.seed = mono_ns();
    wanted.seed %= 1000000;
    for (int opt; (opt = getopt(argc, argv, "m:s:k:o:")) != -1;) {
        if (opt == 'm' && args_whole("-m", optarg, 1, 7 * 24 * 60, &wanted.minutes) != 0)
            return 2;
        if (opt == 's' && args_whole("-s", optarg, 0, UINT64_MAX, &wanted.seed) != 0)
            return 2;
        if (opt == 'k')
            wanted.kind = optarg;
        if (opt == 'o')
            wanted.notes = optarg;
        if (opt == '?')
            return 2;
    }
    if (wanted.kind != NULL && !schedule_knows(wanted.kind))
        return args_complain("there are no troubles of the kind '%s'", wanted.kind);
    if (optind != argc)
        return args_complain("what is '%s'?", argv[optind]);
    return args_descriptors(2 * WORKERS * PLACES);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/mario-soak-XXXXXX";
    int code = read_args(argc, argv);
    if (code != 0)
        return code;
    if (mkdtemp(dir) == NULL || setenv("ITEST_DIR", dir, 1) != 0) {
        perror("soak: no directory for logs");
        return 1;
    }
    setenv("TSAN_OPTIONS", "halt_on_error=0:exitcode=66:second_deadlock_stack=1", 0);
    printf("soak: %" PRIu64 " minutes, seed %" PRIu64 "\n", wanted.minutes, wanted.seed);
    fflush(stdout);
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("soak");
    tcase_add_test(itest_case(suite, "soak", (unsigned) wanted.minutes * 60 + 240), soak);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (rmdir(dir) != 0)
        fprintf(stderr, "what the server said is in %s\n", dir);
    return failed == 0 ? 0 : 1;
}
