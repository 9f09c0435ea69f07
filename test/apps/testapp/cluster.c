/*
 * cluster.c: testapp as a node: switching it on, its events, questions to other nodes, histories. Main before the
 * server starts; events and answers come on the cluster's thread, orders on any.
 */
#include "app.h"

/* ---- Switching it on ---- */

bool set_cluster(const char *key, const char *value)
{
    struct mario_cluster_options *o = &app.cluster;
    const struct {
        const char *key;
        const char **text;
        uint32 *number;
    } rows[] = {
        {"cluster.bus", &o->bus, NULL},
        {"cluster.redis", &o->redis, NULL},
        {"cluster.nats", &o->nats, NULL},
        {"cluster.prefix", &o->prefix, NULL},
        {"cluster.node", &o->node, NULL},
        {"cluster.password_file", &o->password_file, NULL},
        {"cluster.queue", NULL, &o->queue},
        {"cluster.linger", NULL, &o->linger},
        {"cluster.heartbeat", NULL, &o->heartbeat},
        {"cluster.ttl", NULL, &o->ttl},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].key, key) != 0)
            continue;
        if (rows[i].text != NULL)
            *rows[i].text = value;
        else
            *rows[i].number = (uint32) strtoul(value, NULL, 10);
        app.has_cluster = true;
        return true;
    }
    return false;
}

/* ---- Events ---- */

enum { EVENTS = 64 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for these */
static struct test_event events[EVENTS];                 /* the last ones, a ring */
static uint32 event_count;

static void count(enum mario_cluster_what what)
{
    own_event_up += what == MARIO_CLUSTER_UP;
    own_event_down += what == MARIO_CLUSTER_DOWN;
    own_event_gap += what == MARIO_CLUSTER_GAP;
    own_event_joined += what == MARIO_CLUSTER_NODE_JOINED;
    own_event_left += what == MARIO_CLUSTER_NODE_LEFT;
    own_event_nobody += what == MARIO_CLUSTER_NOBODY;
}

static void on_event(const struct mario_cluster_event *e)
{
    static LOG_QUEUE *q; /* of this one thread */
    struct test_event is = {
        .what = (uint8_t) e->what, .from_ms = e->from_ms, .to_ms = e->to_ms, .uid = e->uid, .tag = e->tag};
    if (e->node != NULL)
        snprintf(is.node, sizeof is.node, "%s", e->node);
    pthread_mutex_lock(&lock);
    events[event_count++ % EVENTS] = is;
    pthread_mutex_unlock(&lock);
    q = q != NULL ? q : create_log_queue();
    if (e->what != MARIO_CLUSTER_NOBODY)
        slog_info_t(q, "cluster: %s", e->text);
    count(e->what);
}

sint32 do_events(CONN *c)
{
    struct test_event copy[EVENTS];
    pthread_mutex_lock(&lock);
    uint32 n = event_count < EVENTS ? event_count : EVENTS;
    for (uint32 i = 0; i < n; i++)
        copy[i] = events[(event_count - n + i) % EVENTS];
    pthread_mutex_unlock(&lock);
    return answer(c, copy, n * sizeof copy[0]);
}

/* ---- Questions ---- */

struct question {
    uint64 id; /* who asked */
    struct test_asked asked;
};

static void on_answer(void *arg, uint64 n)
{
    struct question *q = arg;
    q->asked.n = n;
    struct mario_msg *m = mario_msg_packet(TEST_ASKED, &q->asked, sizeof q->asked);
    if (m == NULL || (mario_send(q->id, m) != 0 && errno != ESHUTDOWN))
        own_wrong_state++;
    mario_msg_free(&m);
    free(q);
}

static sint32 ask_nodes(const CONN *c, const struct test_order *o)
{
    struct question *q = malloc(sizeof *q);
    if (q == NULL)
        return -1;
    *q = (struct question){.id = mario_conn_id(c), .asked = {.kind = o->kind, .key = o->to}};
    sint32 rc = o->kind == ORDER_ASK_USER ? mario_cluster_ask_user(o->to, on_answer, q)
                                          : mario_cluster_ask_group(o->to, on_answer, q);
    if (rc != 0)
        free(q);
    return rc;
}

uint64 cluster_question(const struct test_order *o)
{
    return (uint64) (o->kind == ORDER_ONLINE ? mario_cluster_online(o->to) : mario_group_count_all(o->to));
}

/* ---- Histories ---- */

/* It is a function of c: it may write. */
static sint32 on_resumed(CONN *c)
{
    struct mario_resumed r = {0};
    if (track_is_wrong(c) || c->in_buf_len != sizeof r)
        own_wrong_state++;
    else
        memcpy(&r, c->in_buf, sizeof r);
    struct test_resumed is = {.group = r.group,
                              .epoch = r.epoch,
                              .first = r.first,
                              .seq = r.seq,
                              .messages = r.messages,
                              .gap = r.gap};
    HEAD h = {.stx = STX, .pkglen = SIZE_OF_HEAD + sizeof is, .akg_id = TEST_RESUMED};
    own_resumed++;
    return bufferevent_write(c->bufev, &h, sizeof h) | bufferevent_write(c->bufev, &is, sizeof is);
}

sint32 cluster_order(CONN *c, const struct test_order *o)
{
    switch (o->kind) {
    case ORDER_HISTORY:
        return mario_history(o->to, o->number);
    case ORDER_RESUME:
        return mario_resume(c, o->to, o->key, o->other);
    default:
        return ask_nodes(c, o);
    }
}

bool start_cluster(void)
{
    return !app.has_cluster || (regist_cluster_func(on_event) == 0 && regist_resumed_func(on_resumed) == 0 &&
                                mario_cluster_start(&app.cluster) == 0);
}
