/*
 * node.c: a node for the cluster benchmarks, on the public interface alone. Main becomes the master, the functions run
 * on the workers; what BENCH_SEND asks for is sent by a thread of this program's own, which is no thread of the server.
 *
 *     node PORT CONNECTIONS BUS SERVERS NAME     on 127.0.0.1, one worker, until SIGTERM
 *
 * BUS is "-" (no cluster at all), "redis" or "nats". Each event of the cluster is a line on standard
 * output.
 */
#include "mario/mario.h"
#include "mario/mario_cluster.h"

#include "protocol.h"
#include "protocol/mario_protocol.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { EVENTS = 8 };

static SERVER *server;
static atomic_ullong events[EVENTS]; /* by enum mario_cluster_what */

/* The sender's: job belongs to who sets `busy` until that is set, to the sender until it clears it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static BENCH_JOB job;
static bool busy, ending; /* under the lock */
static atomic_ullong sent, refused, late_ns, took_ns;

/* ---- The sender ---- */

static uint64 now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64) t.tv_sec * 1000000000u + (uint64) t.tv_nsec;
}

static void sleep_until(uint64 ns)
{
    struct timespec t = {.tv_sec = (time_t) (ns / 1000000000u), .tv_nsec = (long) (ns % 1000000000u)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Until it is accepted, or the server does not run any more. */
static void send_one(const BENCH_JOB *j, uint32 i)
{
    ubyte data[BENCH_MSG_MAX] = {0};
    BENCH_TEXT text = {.uid = j->first + i % j->users, .number = i / j->users + 1, .sender = j->sender};

    text.at_ns = now_ns();
    memcpy(data, &text, sizeof text);
    struct mario_msg *m = mario_msg_packet(BENCH_PUSHED, data, j->len - SIZE_OF_HEAD);
    while (m == NULL || mario_send_user(text.uid, m) != 0) {
        if (errno == ESHUTDOWN)
            break;
        atomic_fetch_add(&refused, 1);
        sleep_until(now_ns() + 100000);
        if (m == NULL)
            m = mario_msg_packet(BENCH_PUSHED, data, j->len - SIZE_OF_HEAD);
    }
    mario_msg_free(&m);
    atomic_fetch_add(&sent, 1);
}

static void do_job(const BENCH_JOB *j)
{
    uint64 begin = now_ns() + 1000000, each = (uint64) j->burst * 1000000000u / j->rate, worst = 0;

    for (uint32 i = 0, tick = 0; i < j->count; tick++) {
        uint64 due = begin + tick * each;

        sleep_until(due);
        uint64 late = now_ns() - due;
        worst = late > worst ? late : worst;
        for (uint32 end = i + j->burst; i < end && i < j->count; i++)
            if (!j->is_mute)
                send_one(j, i);
    }
    atomic_store(&late_ns, worst);
    atomic_store(&took_ns, now_ns() - begin);
}

static void *send_jobs(void *arg)
{
    (void) arg;
    prctl(PR_SET_NAME, "sender");
    prctl(PR_SET_TIMERSLACK, 1000);
    pthread_mutex_lock(&lock);
    while (!ending) {
        if (!busy) {
            pthread_cond_wait(&wanted, &lock);
            continue;
        }
        BENCH_JOB mine = job;
        pthread_mutex_unlock(&lock);
        do_job(&mine);
        pthread_mutex_lock(&lock);
        busy = false;
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* ---- Functions, on the worker ---- */

static sint32 answer_with(CONN *c, const void *data, size_t len)
{
    HEAD head;

    memcpy(&head, c->in_buf, sizeof head);
    head.pkglen = (uint16) (sizeof head + len);
    if (bufferevent_write(c->bufev, &head, sizeof head) != 0)
        return -1;
    return len == 0 ? 0 : bufferevent_write(c->bufev, data, len);
}

/* What follows the HEAD; false if it has another size. */
static bool read_data(const CONN *c, void *data, size_t len)
{
    if (c->in_buf_len != sizeof(HEAD) + len)
        return false;
    memcpy(data, (const ubyte *) c->in_buf + sizeof(HEAD), len);
    return true;
}

static sint32 echo(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

static sint32 bind_user(CONN *c)
{
    uint64 uid;

    if (!read_data(c, &uid, sizeof uid) || mario_bind(c, uid, MARIO_BIND_MANY, 0) != 0)
        return -1;
    return answer_with(c, NULL, 0);
}

static sint32 join_groups(CONN *c)
{
    BENCH_NUMBERS n;

    if (!read_data(c, &n, sizeof n))
        return -1;
    for (uint32 i = 0; i < n.count; i++)
        if (mario_join(c, n.first + i) != 0)
            return -1;
    return answer_with(c, NULL, 0);
}

static bool is_possible(const BENCH_JOB *j)
{
    return j->users > 0 && j->burst > 0 && j->rate > 0 && j->sender < BENCH_SENDERS &&
           j->len <= BENCH_MSG_MAX && j->len >= SIZE_OF_HEAD + sizeof(BENCH_TEXT);
}

static sint32 begin_job(CONN *c)
{
    BENCH_JOB j;
    bool done = false;

    if (!read_data(c, &j, sizeof j) || !is_possible(&j))
        return -1;
    pthread_mutex_lock(&lock);
    if (!busy) {
        job = j;
        done = busy = true;
        atomic_store(&sent, 0);
        atomic_store(&refused, 0);
        pthread_cond_signal(&wanted);
    }
    pthread_mutex_unlock(&lock);
    return done ? answer_with(c, NULL, 0) : -1;
}

static sint32 progress(CONN *c)
{
    pthread_mutex_lock(&lock);
    BENCH_PROGRESS p = {.is_busy = busy};
    pthread_mutex_unlock(&lock);
    p.sent = atomic_load(&sent);
    p.refused = atomic_load(&refused);
    p.late_ns = atomic_load(&late_ns);
    p.took_ns = atomic_load(&took_ns);
    return answer_with(c, &p, sizeof p);
}

static sint32 stat_value(CONN *c)
{
    char name[64] = "";
    size_t len = c->in_buf_len - sizeof(HEAD), prefix = sizeof BENCH_EVENT - 1;
    uint64 value;

    if (len >= sizeof name)
        return -1;
    memcpy(name, (const ubyte *) c->in_buf + sizeof(HEAD), len);
    if (strncmp(name, BENCH_EVENT, prefix) == 0)
        value = atomic_load(&events[(unsigned) atoi(name + prefix) % EVENTS]);
    else
        value = mario_stat(server, name);
    return answer_with(c, &value, sizeof value);
}

/* ---- Main ---- */

/* On the cluster's thread. */
static void on_event(const struct mario_cluster_event *e)
{
    atomic_fetch_add(&events[(unsigned) e->what % EVENTS], 1);
    printf("%s\n", e->text != NULL ? e->text : "an event without a text");
    fflush(stdout);
}

static int switch_on(char **argv)
{
    struct mario_cluster_options o;

    if (strcmp(argv[3], "-") == 0)
        return 0;
    mario_cluster_options_init(&o);
    o.bus = argv[3];
    o.redis = o.nats = argv[4];
    o.node = argv[5];
    o.heartbeat = 1;
    o.ttl = 3;
    return regist_cluster_func(on_event) == 0 ? mario_cluster_start(&o) : -1;
}

static bool register_all(void)
{
    return regist_stx(BENCH_STX) == 0 && regist_akg_func(CMD_FUNCTION_ECHO, echo) == 0 &&
           regist_akg_func(BENCH_BIND, bind_user) == 0 && regist_akg_func(BENCH_JOIN, join_groups) == 0 &&
           regist_akg_func(BENCH_SEND, begin_job) == 0 && regist_akg_func(BENCH_SENT, progress) == 0 &&
           regist_akg_func(BENCH_STAT, stat_value) == 0;
}

/* With the sender beside it. Its exit code. */
static int run(void)
{
    pthread_t sender;

    if (pthread_create(&sender, NULL, send_jobs, NULL) != 0)
        return 2;
    start_server(server);
    int code = mario_server_exit_code(server);
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_cond_signal(&wanted);
    pthread_mutex_unlock(&lock);
    pthread_join(sender, NULL);
    return code;
}

int main(int argc, char **argv)
{
    struct mario_options options;
    char listen[32];
    int code = 2;

    if (argc != 6) {
        fprintf(stderr, "usage: node PORT CONNECTIONS BUS SERVERS NAME\n");
        return 1;
    }
    mario_options_init(&options);
    snprintf(listen, sizeof listen, "127.0.0.1:%s", argv[1]);
    options.listen = listen;
    options.workernum = 1;
    options.connnum = (uint32) atoi(argv[2]);
    options.timeout = 0;
    options.push_queue = 0; /* nothing is dropped for a reader that dozes */
    options.push_bytes = 1 << 26;
    mario_log_level(MARIO_LOG_WARN);
    server = mario_init_server(&options);
    if (server == NULL)
        return 2;
    if (register_all() && start_log_thread() == 0 && switch_on(argv) == 0)
        code = run();
    mario_free_server(&server);
    return code;
}
