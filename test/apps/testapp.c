/*
 * testapp.c: the server that the integration tests talk to: functions and hooks that do what an application
 * should not do, and that check what it may rely on. testapp.h has its commands.
 *
 *     testapp [-o section.key=value]...      the keys of maritcp.conf's sections, and
 *         test.connected = none | greet | refuse | close | big | stick | die   what the connected hook does;
 *                                                 stick: worker 0 blocks until TEST_UNSTICK, the first time
 *         test.end = none | write                                  what the end hooks do besides checking
 *         test.hooks = on | off
 *         test.offload = on | off       the offloaded commands
 *         test.early = thread | twice   mario_supervise() with other threads, and in its own child
 *         test.listen2 = ADDRESS    init gets server.listen and this; mario_supervise() only the first
 *
 * Functions and hooks run on the connection's worker, offloaded functions on a thread of the pool, main and the
 * report on the master. Each connection has a struct track from its connected hook to its end hook, in c->user;
 * a table for each worker tells which slots are alive.
 */
#include "mario/mario.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "test/apps/testapp.h"

#define STX         0x8eb69af7u
#define TRACK_MAGIC 0x7ac4u
#define SLOTS       20000 /* connections a worker that can be looked up by port */

enum connected_mode {
    CONNECTED_NONE,
    CONNECTED_GREET,
    CONNECTED_REFUSE,
    CONNECTED_CLOSE,
    CONNECTED_BIG,
    CONNECTED_STICK,
    CONNECTED_DIE
};

enum at_end { END_QUIET, END_STICKS, END_DIES };

struct track {
    uint32 magic;        /* TRACK_MAGIC while the connection lives */
    const WORKER *owner; /* whose thread it was */
    pthread_t thread;
    sint32 at_end; /* enum at_end: what its end hook does besides */
    uint32 cip;
    uint16 cport;
    bool has_token;
    uint64 token;
};

static SERVER *server;
static enum connected_mode connected_mode;
static bool end_writes, with_hooks = true, supervised, with_offload;
static const char *log_file = "-", *listen2, *early = "";

/* Of each worker; only the worker touches its own. */
static CONN *alive[MARIO_WORKERNUM_MAX][SLOTS];

/* The app's own counters: any thread adds, TEST_STATS and the report read. */
#define OWN(ROW)                             \
    ROW(hook_connected)                      \
    ROW(hook_end_closed)                     \
    ROW(hook_end_timeout)                    \
    ROW(hook_end_error)                      \
    ROW(wrong_thread)                        \
    ROW(wrong_state)                         \
    ROW(err_type) /* of the last end hook */ \
    ROW(functions)                           \
    ROW(master_stalls)                       \
    ROW(master_returns)                      \
    ROW(alarm_stuck)                         \
    ROW(alarm_back)                          \
    ROW(alarm_replaced)                      \
    ROW(alarm_died)                          \
    ROW(alarm_limit)                         \
    ROW(alarm_akg) /* of the last alarm */   \
    ROW(wrong_canary)

#define ROW(name) static _Atomic uint64 own_##name;
OWN(ROW)
#undef ROW

/* ---- Hooks ---- */

static bool track_is_wrong(const CONN *c)
{
    const struct track *t = c->user;
    if (!with_hooks)
        return false;
    if (t == NULL || t->magic != TRACK_MAGIC || t->cip != c->cip || t->cport != c->cport) {
        own_wrong_state++;
        return true;
    }
    bool away = c->owner->base == NULL; /* only offloaded functions have none */
    bool same = pthread_equal(t->thread, pthread_self());
    if (away ? same : t->owner == c->owner && !same)
        own_wrong_thread++;
    return false;
}

static _Atomic uint32 unstuck; /* times TEST_UNSTICK came */

static _Atomic bool has_stuck; /* in the connected hook, on worker 0 */

static void stick(void)
{
    for (uint32 then = unstuck; unstuck == then;)
        susleep(0, 1000);
}

/* A packet with n bytes of data, all `fill`, which need not fit into c->out_buf. */
static void write_packet(CONN *c, uint16 akg_id, uint32 n, char fill)
{
    char packet[65536];
    HEAD h = {.stx = STX, .pkglen = (uint16) (SIZE_OF_HEAD + n), .akg_id = akg_id};
    memcpy(packet, &h, sizeof h);
    memset(packet + SIZE_OF_HEAD, fill, n);
    bufferevent_write(c->bufev, packet, SIZE_OF_HEAD + n);
}

/* n bytes in all, n >= 8; the last two packets share what is left so that none is below 8 bytes. */
static void write_bytes(CONN *c, uint16 akg_id, uint32 n)
{
    while (n > 0) {
        uint32 len = n <= 8192 ? n : n < 8192 + SIZE_OF_HEAD ? n - SIZE_OF_HEAD : 8192;
        write_packet(c, akg_id, len - SIZE_OF_HEAD, 'r');
        n -= len;
    }
}

static sint32 on_connected(CONN *c)
{
    own_hook_connected++;
    if (c->user != NULL || c->in_buf_len != 0 || c->bufev == NULL || c->err_type != 0 ||
        (c->ind < SLOTS && alive[c->owner->ind][c->ind] != NULL))
        own_wrong_state++;
    struct track *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -1;
    *t = (struct track){
        .magic = TRACK_MAGIC, .owner = c->owner, .thread = pthread_self(), .cip = c->cip, .cport = c->cport};
    c->user = t;
    if (c->ind < SLOTS)
        alive[c->owner->ind][c->ind] = c;
    if (connected_mode == CONNECTED_GREET)
        write_packet(c, TEST_ECHO, 5, 'g');
    else if (connected_mode == CONNECTED_BIG)
        write_bytes(c, TEST_REPLY, 1024 * 1024);
    else if (connected_mode == CONNECTED_CLOSE)
        close_conn(c, 7);
    else if (connected_mode == CONNECTED_STICK && c->owner->ind == 0 && !atomic_exchange(&has_stuck, true))
        stick();
    else if (connected_mode == CONNECTED_DIE)
        abort();
    return connected_mode == CONNECTED_REFUSE ? -1 : 0;
}

static sint32 on_end(CONN *c, _Atomic uint64 *counter)
{
    ++*counter;
    own_err_type = c->err_type;
    if (track_is_wrong(c))
        return 0;
    if (end_writes)
        write_packet(c, TEST_ECHO, 100, 'e');
    close_conn(c, 1); /* over already: must do nothing */
    if (c->ind < SLOTS)
        alive[c->owner->ind][c->ind] = NULL;
    struct track *t = c->user;
    sint32 at_end = t->at_end;
    t->magic = 0;
    free(t);
    if (at_end == END_STICKS)
        stick();
    else if (at_end == END_DIES)
        pthread_exit(NULL);
    return 0;
}

static sint32 on_closed(CONN *c)
{
    return on_end(c, &own_hook_end_closed);
}

static sint32 on_timeout(CONN *c)
{
    return on_end(c, &own_hook_end_timeout);
}

static sint32 on_error(CONN *c)
{
    return on_end(c, &own_hook_end_error);
}

/* ---- Functions ---- */

static uint32 number_in(const CONN *c)
{
    uint32 n = 0;
    if (c->in_buf_len >= SIZE_OF_HEAD + sizeof n)
        memcpy(&n, c->in_buf + SIZE_OF_HEAD, sizeof n);
    return n;
}

static struct test_end end_in(const CONN *c)
{
    struct test_end e = {0};
    if (c->in_buf_len >= SIZE_OF_HEAD + sizeof e)
        memcpy(&e, c->in_buf + SIZE_OF_HEAD, sizeof e);
    return e;
}

static sint32 answer(CONN *c, const void *data, size_t n)
{
    HEAD h = *(const HEAD *) c->in_buf;
    h.pkglen = (uint16) (SIZE_OF_HEAD + n);
    return bufferevent_write(c->bufev, &h, sizeof h) | bufferevent_write(c->bufev, data, n);
}

static sint32 do_echo(CONN *c)
{
    own_functions++;
    track_is_wrong(c);
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

static int print_own(char *text, size_t size)
{
    int n = 0;
#define ROW(name) \
    n += snprintf(text + n, size - (size_t) n, " " #name "=%llu", (unsigned long long) own_##name);
    OWN(ROW)
#undef ROW
    return n;
}

static sint32 do_stats(CONN *c)
{
    char text[4096];
    int n = print_own(text, sizeof text);
    for (uint32 i = 0; i < mario_stat_count(); i++)
        n += snprintf(text + n, sizeof text - (size_t) n, " %s=%llu", mario_stat_name(i),
                      (unsigned long long) mario_stat_value(server, i));
    return answer(c, text, (size_t) n);
}

static sint32 do_return(CONN *c)
{
    do_echo(c);
    return (sint32) number_in(c);
}

static sint32 do_megabyte(CONN *c)
{
    write_bytes(c, TEST_MEGABYTE, 1024 * 1024);
    return 0;
}

static sint32 do_close(CONN *c)
{
    struct test_end e = end_in(c);
    own_functions++;
    close_conn(c, e.reason_id);
    close_conn(c, e.reason_id);
    do_echo(c);
    return e.value;
}

static sint32 do_write_close(CONN *c)
{
    struct test_end e = end_in(c);
    do_echo(c);
    close_conn(c, e.reason_id);
    do_echo(c);
    return e.value;
}

static sint32 do_close_err(CONN *c)
{
    own_functions++;
    close_err_conn(c);
    close_err_conn(c);
    return 0;
}

static sint32 do_sleep(CONN *c)
{
    uint32 ms = number_in(c);
    susleep(ms / 1000, ms % 1000 * 1000);
    return do_echo(c);
}

static sint32 do_reply(CONN *c)
{
    uint32 n = number_in(c);
    own_functions++;
    if (n < SIZE_OF_HEAD)
        return -1;
    write_bytes(c, TEST_REPLY, n);
    return 0;
}

static sint32 do_amplify(CONN *c)
{
    for (uint32 n = number_in(c); n > 0; n--)
        do_echo(c);
    return 0;
}

static sint32 do_canary(CONN *c)
{
    struct track *t = c->user;
    uint64 token;
    if (track_is_wrong(c) || t == NULL || c->in_buf_len != SIZE_OF_HEAD + sizeof token)
        return -1;
    memcpy(&token, c->in_buf + SIZE_OF_HEAD, sizeof token);
    if (!t->has_token)
        t->token = token;
    else if (t->token != token)
        own_wrong_canary++;
    t->has_token = true;
    return answer(c, &t->token, sizeof t->token);
}

static sint32 do_close_other(CONN *c)
{
    uint16 port = htons((uint16) number_in(c));
    ubyte found = 0;
    for (uint32 i = 0; i < SLOTS; i++) {
        CONN *other = alive[c->owner->ind][i];
        if (other == NULL || other == c || other->cport != port)
            continue;
        close_conn(other, 9);
        close_conn(other, 9);
        found++;
    }
    return answer(c, &found, sizeof found);
}

static sint32 do_who(CONN *c)
{
    struct test_who who = {.cip = c->cip,
                           .worker = c->owner->ind,
                           .ind = c->ind,
                           .cport = c->cport,
                           .in_buf_len = c->in_buf_len,
                           .out_buf_len = c->out_buf_len};
    memset(c->out_buf, 0x5a, c->out_buf_len); /* all of it is ours */
    return answer(c, &who, sizeof who);
}

static sint32 do_stop(CONN *c)
{
    mario_stop_server(server);
    return do_echo(c);
}

static void never_called(LOG_QUEUE *q, void *arg)
{
    (void) q;
    (void) arg;
    own_wrong_state++;
}

static sint32 do_register(CONN *c)
{
    sint32 rc[] = {regist_akg_func(0x1234, do_echo),
                   regist_connected_func(on_connected),
                   regist_closed_func(on_closed),
                   regist_timeout_func(on_timeout),
                   regist_error_func(on_error),
                   regist_disconnected_func(on_closed),
                   regist_akg_func_offload(0x1234, do_echo),
                   regist_akg_func_offload_concurrent(0x1235, do_echo),
                   regist_stx(1),
                   mario_regist_timer_func(1, never_called, NULL)};
    return answer(c, rc, sizeof rc);
}

static sint32 close_to(CONN *c, sint32 at_end)
{
    struct track *t = c->user;
    t->at_end = at_end;
    close_conn(c, 1);
    return 0;
}

/* The master's, in a timer function. */
static _Atomic uint32 stall_ms;

static void on_second(LOG_QUEUE *q, void *arg)
{
    uint32 ms = stall_ms;
    (void) q;
    (void) arg;
    if (ms == 0)
        return;
    stall_ms = 0;
    own_master_stalls++;
    susleep(ms / 1000, ms % 1000 * 1000);
    own_master_returns++;
}

static sint32 do_stall(CONN *c)
{
    stall_ms = number_in(c);
    return do_echo(c);
}

static sint32 do_stick(CONN *c)
{
    if (number_in(c) == TEST_IN_END_HOOK)
        return close_to(c, END_STICKS);
    stick();
    return do_echo(c);
}

static sint32 do_unstick(CONN *c)
{
    unstuck++;
    return do_echo(c);
}

static sint32 do_end_thread(CONN *c)
{
    if (number_in(c) == TEST_IN_END_HOOK)
        return close_to(c, END_DIES);
    pthread_exit(NULL);
}

static sint32 do_cancel(CONN *c)
{
    pthread_cancel(pthread_self());
    pthread_testcancel();
    return do_echo(c);
}

static sint32 do_silent(CONN *c)
{
    (void) c;
    own_functions++;
    return 0;
}

/* ---- Dying ---- */

__attribute__((noinline)) static uint32 overflow(uint32 depth)
{
    volatile char room[4096];
    room[depth % sizeof room] = 1;
    return depth == UINT32_MAX ? 0 : overflow(depth + 1) + (uint32) room[depth % sizeof room];
}

/* Touch a page that may not be touched, or that lies behind the end of its file. */
static void touch(bool behind_the_end)
{
    int fd = behind_the_end ? memfd_create("empty", MFD_CLOEXEC) : -1;
    volatile char *page = mmap(NULL, 4096, behind_the_end ? PROT_READ : PROT_NONE,
                               behind_the_end ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
    if (page != MAP_FAILED)
        own_functions += (uint64) page[0];
}

static void *touch_too(void *barrier)
{
    pthread_barrier_wait(barrier);
    touch(false);
    return NULL;
}

static void two_at_once(void)
{
    pthread_barrier_t barrier;
    pthread_t t;
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&t, NULL, touch_too, &barrier) == 0)
        touch_too(&barrier);
}

static void illegal(void)
{
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#else
    raise(SIGILL);
#endif
}

/* So that the compiler does not know that they do not return: the call stays inside its function. */
static void (*volatile give_up)(void) = abort, (*volatile go_wrong)(void) = illegal;

sint32 die_as_told(CONN *c);

/* Not static, so that a backtrace has its name. */
sint32 die_as_told(CONN *c)
{
    switch ((enum test_death) number_in(c)) {
    case DIE_ABORT:
        give_up();
        break;
    case DIE_SEGV:
    case DIE_BUS:
        touch(number_in(c) == DIE_BUS);
        break;
    case DIE_ILL:
        go_wrong();
        break;
    case DIE_FPE:
        raise(SIGFPE);
        break;
    case DIE_STACK:
        return (sint32) overflow(0);
    case DIE_KILL:
        kill(getpid(), SIGKILL);
        break;
    case DIE_EXIT_0:
        _exit(0);
    case DIE_EXIT_2:
        _exit(2);
    case DIE_TWO:
        two_at_once();
        break;
    }
    return do_echo(c); /* it should not have come so far */
}

static sint32 do_nap(CONN *c)
{
    susleep(0, 1000);
    return do_echo(c);
}

static sint32 do_user(CONN *c)
{
    struct track *moved = malloc(sizeof *moved);
    if (moved == NULL || track_is_wrong(c))
        return -1;
    *moved = *(struct track *) c->user;
    memset(c->user, 0, sizeof *moved);
    free(c->user);
    c->user = moved;
    return do_echo(c);
}

static sint32 do_vanish(CONN *c)
{
    do_echo(c);
    if (number_in(c) == 0)
        pthread_exit(NULL);
    pthread_cancel(pthread_self());
    pthread_testcancel();
    return 0;
}

static sint32 do_hang(CONN *c)
{
    (void) c;
    while (pause() != 0) { /* never */
    }
    return 0;
}

static const struct {
    uint16 id;
    FUNC_PTR f;
} rows[] = {
    {TEST_ECHO, do_echo},
    {TEST_STATS, do_stats},
    {TEST_RETURN, do_return},
    {TEST_MEGABYTE, do_megabyte},
    {TEST_CLOSE, do_close},
    {TEST_WRITE_CLOSE, do_write_close},
    {TEST_CLOSE_ERR, do_close_err},
    {TEST_SLEEP, do_sleep},
    {TEST_REPLY, do_reply},
    {TEST_AMPLIFY, do_amplify},
    {TEST_CANARY, do_canary},
    {TEST_CLOSE_OTHER, do_close_other},
    {TEST_WHO, do_who},
    {TEST_STOP, do_stop},
    {TEST_REGISTER, do_register},
    {TEST_SILENT, do_silent},
    {TEST_STALL, do_stall},
    {TEST_STICK, do_stick},
    {TEST_UNSTICK, do_unstick},
    {TEST_END_THREAD, do_end_thread},
    {TEST_CANCEL, do_cancel},
    {TEST_DIE, die_as_told},
    {TEST_NAP, do_nap},
    {TEST_USER, do_user},
    {TEST_VANISH, do_vanish},
    {TEST_HANG, do_hang},
};

/* ---- Options ---- */

static _Noreturn void bad_option(const char *text)
{
    fprintf(stderr, "testapp: what is -o %s?\n", text);
    exit(1);
}

/* The number behind `=`, with k or m. */
static uint32 number_of(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    return (uint32) (*end == 'k' ? n << 10 : *end == 'm' ? n << 20 : n);
}

static bool set_number(struct mario_options *o, const char *key, const char *value)
{
    const struct {
        const char *key;
        uint32 *place;
    } numbers[] = {
        {"server.workernum", &o->workernum},
        {"server.connnum", &o->connnum},
        {"server.timeout", &o->timeout},
        {"server.write_timeout", &o->write_timeout},
        {"server.packet_timeout", &o->packet_timeout},
        {"server.max_pkglen", &o->max_pkglen},
        {"server.backlog", &o->backlog},
        {"server.drain_timeout", &o->drain_timeout},
        {"output.high", &o->output_high},
        {"output.max", &o->output_max},
        {"watch.warn_ms", &o->watch_warn_ms},
        {"watch.replace_ms", &o->watch_replace_ms},
        {"watch.replace_max", &o->watch_replace_max},
        {"offload.threads", &o->offload_threads},
        {"offload.queue", &o->offload_queue},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(numbers[i].key, key) == 0) {
            *numbers[i].place = number_of(value);
            return true;
        }
    }
    return false;
}

static bool set_connected(const char *value)
{
    static const char *const names[] = {"none", "greet", "refuse", "close", "big", "stick", "die"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], value) == 0) {
            connected_mode = (enum connected_mode) i;
            return true;
        }
    }
    return false;
}

static bool set_word(struct mario_options *o, const char *key, const char *value)
{
    bool on = strcmp(value, "on") == 0;
    if (strcmp(key, "server.listen") == 0)
        o->listen = value;
    else if (strcmp(key, "server.strict_limits") == 0)
        o->strict_limits = on;
    else if (strcmp(key, "server.prefault") == 0)
        o->prefault = on;
    else if (strcmp(key, "server.when_full") == 0)
        o->when_full = strcmp(value, "wait") == 0 ? MARIO_FULL_WAIT : MARIO_FULL_REFUSE;
    else if (strcmp(key, "log.file") == 0)
        log_file = o->death_log = value;
    else if (strcmp(key, "server.user") == 0)
        o->user = value;
    else if (strcmp(key, "server.supervise") == 0)
        supervised = on;
    else if (strcmp(key, "log.level") == 0)
        mario_log_level(strcmp(value, "debug") == 0 ? MARIO_LOG_DEBUG : MARIO_LOG_INFO);
    else if (strcmp(key, "test.connected") == 0)
        return set_connected(value);
    else if (strcmp(key, "test.end") == 0)
        end_writes = strcmp(value, "write") == 0;
    else if (strcmp(key, "test.hooks") == 0)
        with_hooks = on;
    else if (strcmp(key, "test.early") == 0)
        early = value;
    else if (strcmp(key, "test.listen2") == 0)
        listen2 = value;
    else if (strcmp(key, "test.offload") == 0)
        with_offload = on;
    else
        return false;
    return true;
}

static void read_options(struct mario_options *o, int argc, char **argv)
{
    for (int opt; (opt = getopt(argc, argv, "o:")) != -1;) {
        char *equals = opt == 'o' ? strchr(optarg, '=') : NULL;
        if (equals == NULL)
            bad_option(opt == 'o' ? optarg : "?");
        *equals = '\0';
        if (!set_number(o, optarg, equals + 1) && !set_word(o, optarg, equals + 1))
            bad_option(optarg);
    }
}

/* ---- The program ---- */

static void report(LOG_QUEUE *q, void *arg)
{
    char text[800];
    (void) arg;
    print_own(text, sizeof text);
    slog_info_t(q, "testapp:%s", text);
}

static void on_alarm(const ALARM *a)
{
    _Atomic uint64 *counters[] = {
        [MARIO_ALARM_STUCK] = &own_alarm_stuck,       [MARIO_ALARM_BACK] = &own_alarm_back,
        [MARIO_ALARM_REPLACED] = &own_alarm_replaced, [MARIO_ALARM_DIED] = &own_alarm_died,
        [MARIO_ALARM_LIMIT] = &own_alarm_limit,
    };
    ++*counters[a->kind];
    own_alarm_akg = a->akg_id;
}

static bool register_all(void)
{
    bool ok = regist_stx(STX) == 0 && regist_alarm_func(on_alarm) == 0 &&
              mario_regist_timer_func(MARIO_TIMEOUT_MAX, report, NULL) == 0 &&
              mario_regist_timer_func(1, on_second, NULL) == 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ok = ok && regist_akg_func(rows[i].id, rows[i].f) == 0;
    for (size_t i = 0; with_offload && i < sizeof rows / sizeof rows[0]; i++)
        ok = ok && (rows[i].id == TEST_CLOSE_OTHER || /* it looks at what belongs to the worker */
                    (regist_akg_func_offload(rows[i].id + TEST_OFFLOADED, rows[i].f) == 0 &&
                     regist_akg_func_offload_concurrent(rows[i].id + TEST_CONCURRENT, rows[i].f) == 0));
    if (with_hooks)
        ok = ok && regist_connected_func(on_connected) == 0 && regist_closed_func(on_closed) == 0 &&
             regist_timeout_func(on_timeout) == 0 && regist_error_func(on_error) == 0;
    return ok;
}

int main(int argc, char **argv)
{
    struct mario_options o;
    mario_options_init(&o);
    o.workernum = 2;
    o.connnum = 1000;
    read_options(&o, argc, argv);
    if (strcmp(early, "thread") == 0)
        start_log_thread();
    sint32 code = supervised ? mario_supervise(&o) : -1;
    if (code < 0 && strcmp(early, "twice") == 0)
        code = mario_supervise(&o);
    if (code >= 0)
        return code;
    char both[512];
    snprintf(both, sizeof both, "%s,%s", o.listen, listen2);
    o.listen = listen2 != NULL ? both : o.listen;
    server = mario_init_server(&o);
    if (server == NULL)
        return 2;
    if (mario_log_open(log_file) != 0 || !register_all() || start_log_thread() != 0) {
        fprintf(stderr, "testapp: cannot be set up\n");
        return 2;
    }
    start_server(server);
    code = mario_server_exit_code(server);
    mario_log_flush(2000);
    if (code == 3)
        _exit(3); /* a function still runs: there is nothing to be tidied up */
    mario_free_server(&server);
    return code;
}
