/*
 * far.c: the other servers of a cluster: its start and its events, the ear and the lines. Which thread runs what stands
 * at each; lists are in far_lists.c.
 */
#include "far.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include "far_inside.h"
#include "mario/mario_cluster.h"
#include "mario/mario_route.h"
#include "post.h"
#include "words.h"

#define CLERKS  UINT64_MAX /* their group: no name's number */
#define NAMES   (39ull * 39 * 39 * 39 * 39 * 39 * 39 * 39 * 39 * 39 * 39 * 39) /* numbers of names are below */
#define NUMBERS (UINT64_MAX - NAMES) /* that are no name's, CLERKS excepted */

static struct {
    bool is_on;
    uint16 port;
    unsigned char secret[16]; /* constant once the ear is there */
    pthread_t ear;
    bool stops; /* relaxed */
    sint32 fd;  /* the ear's; -1 = none; under the mutex */
    pthread_mutex_t mutex;
} far = {.fd = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};

static struct guest ear_guest; /* whose commands the ear's are; the connection's c->user */

uint32 far_nodes;
uint64 far_self;

bool far_is_on(void)
{
    return far.is_on;
}

/* ---- Events: the cluster's thread ---- */

/* A private line was for somebody who is nowhere: its tag is who said it. */
static void nobody(const struct mario_cluster_event *e)
{
    struct chat_sorry s = {.request = CHAT_TELL, .why = CHAT_WHY_NOBODY};
    word_from_number(s.word, e->uid);
    struct mario_msg *m = mario_msg_packet(CHAT_SORRY, &s, sizeof s);
    if (m != NULL)
        mario_send(e->tag, m); /* if that cannot be, he is told nothing */
    mario_msg_free(&m);
}

static void on_event(const struct mario_cluster_event *e)
{
    static LOG_QUEUE *qlog;
    if (qlog == NULL) {
        qlog = create_log_queue();
        mario_log_name(qlog, "cluster");
    }
    if (e->what == MARIO_CLUSTER_NOBODY) {
        nobody(e);
        return;
    }
    if (e->what == MARIO_CLUSTER_NODE_JOINED)
        __atomic_add_fetch(&far_nodes, 1, __ATOMIC_RELAXED);
    if (e->what == MARIO_CLUSTER_NODE_LEFT)
        __atomic_sub_fetch(&far_nodes, 1, __ATOMIC_RELAXED);
    slog_info_t(qlog, "%s", e->text);
}

/* ---- The ear: its connection's functions, on a worker ---- */

static sint32 ear_logs_in(CONN *c)
{
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof far.secret || c->user != NULL ||
        memcmp(c->in_buf + SIZE_OF_HEAD, far.secret, sizeof far.secret) != 0)
        return -1;
    c->user = &ear_guest;
    if (mario_slow_policy(c, MARIO_SLOW_CLOSE, 65536, 64u << 20) != 0 ||
        mario_bind(c, far_self, MARIO_BIND_MANY, 0) != 0)
        return -1;
    return mario_join(c, CLERKS);
}

bool far_is_ear(const struct guest *g)
{
    return g == &ear_guest;
}

void far_ask_all(struct mario_msg *m)
{
    post_room(CLERKS, m, 0); /* the own ear knows its own questions */
}

/* ---- The ear's thread ---- */

/* n bytes; false: the connection has ended. */
static bool receive(void *data, size_t n)
{
    return recv(far.fd, data, n, MSG_WAITALL) == (ssize_t) n;
}

static bool hear(void)
{
    static unsigned char bytes[UINT16_MAX];
    static const char no_word[CHAT_NAME];
    HEAD head;
    bool is_heard = true;
    if (!receive(&head, sizeof head) || head.pkglen < sizeof head)
        return false;
    uint16 len = (uint16) (head.pkglen - sizeof head);
    if (len > 0 && !receive(bytes, len))
        return false;
    if (head.akg_id == FAR_ASK && len == sizeof(struct far_ask)) {
        struct far_ask ask;
        memcpy(&ask, bytes, sizeof ask);
        is_heard = ask.from == far_self || clerk_ask(&ear_guest, FAR_ASK, no_word, (const char *) bytes, len);
    }
    if (head.akg_id == FAR_ANSWER && len >= sizeof(struct far_answer))
        is_heard = clerk_ask(&ear_guest, FAR_ANSWER, no_word, (const char *) bytes, len);
    (void) is_heard; /* where the inbox is full the other one answers without us */
    HEAD pong = {.stx = CHAT_STX, .pkglen = sizeof pong, .akg_id = CHAT_PONG};
    return head.akg_id != CHAT_PING || send(far.fd, &pong, sizeof pong, MSG_NOSIGNAL) == sizeof pong;
}

/* Connect and log in. */
static bool open_ear(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(far.port)};
    HEAD head = {.stx = CHAT_STX, .pkglen = sizeof head + sizeof far.secret, .akg_id = FAR_EAR};
    unsigned char login[sizeof head + sizeof far.secret];
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(login, &head, sizeof head);
    memcpy(login + sizeof head, far.secret, sizeof far.secret);
    sint32 fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_mutex_lock(&far.mutex);
    far.fd = fd;
    pthread_mutex_unlock(&far.mutex);
    return fd >= 0 && connect(fd, (const struct sockaddr *) &a, sizeof a) == 0 &&
           send(fd, login, sizeof login, MSG_NOSIGNAL) == sizeof login;
}

static void close_ear(void)
{
    pthread_mutex_lock(&far.mutex);
    if (far.fd >= 0)
        close(far.fd);
    far.fd = -1;
    pthread_mutex_unlock(&far.mutex);
}

static void *listen_on(void *unused)
{
    (void) unused;
    while (!__atomic_load_n(&far.stops, __ATOMIC_RELAXED)) {
        if (open_ear())
            while (hear())
                ;
        close_ear();
        if (!__atomic_load_n(&far.stops, __ATOMIC_RELAXED))
            nsleep(100000000);
    }
    return NULL;
}

/* ---- Lines ---- */

uint64 far_presence(uint64 room)
{
    return NAMES + room % (NUMBERS - 1);
}

uint32 far_members(uint64 room)
{
    sint64 all = mario_group_count_all(room);
    uint64 here = mario_group_count(room);
    return (uint32) (all > (sint64) here ? (uint64) all : here);
}

bool far_keep_lines(uint64 room)
{
    return mario_history(room, CHAT_HISTORY) == 0;
}

void far_number(struct mario_msg *m)
{
    mario_msg_stamp(m, SIZE_OF_HEAD + offsetof(struct chat_said, number));
}

struct comeback {
    uint64 room, epoch, seen;
};

/* On the connection's worker; c is NULL if there is none any more. That the room has a history is said once more:
 * orders of one thread come in order, and the clerk's may be behind this one. */
static sint32 come_back(CONN *c, void *arg)
{
    struct comeback *b = arg;
    struct guest *g = c == NULL ? NULL : c->user;
    sint32 code = 0;
    if (g != NULL && (!far_keep_lines(b->room) || mario_resume(c, b->room, b->epoch, b->seen) != 0)) {
        char word[CHAT_NAME];
        word_from_number(word, b->room);
        code = clerk_ask(g, COMMAND_NOT_IN, word, NULL, 0) ? 0 : -1; /* not half in: it ends then */
    }
    free(b);
    return code;
}

bool far_join(const struct guest *g, uint64 room, uint64 epoch, uint64 seen)
{
    struct comeback *b = malloc(sizeof *b);
    if (b == NULL)
        return false;
    *b = (struct comeback){.room = room, .epoch = epoch, .seen = seen};
    if (post_run(g->id, come_back, b))
        return true;
    free(b);
    return false;
}

/* As a function of the connection: what follows now are these lines. */
static sint32 has_come_back(CONN *c)
{
    const struct mario_resumed *r = (const struct mario_resumed *) c->in_buf;
    struct chat_joined j = {
        .epoch = r->epoch, .first = r->first, .next = r->seq + 1, .members = far_members(r->group) + 1};
    HEAD head = {.stx = CHAT_STX, .pkglen = SIZE_OF_HEAD + sizeof j, .akg_id = CHAT_JOINED};
    if (r->messages == 0)
        j.first = j.next;
    word_from_number(j.room, r->group);
    if (bufferevent_write(c->bufev, &head, sizeof head) != 0)
        return -1;
    if (bufferevent_write(c->bufev, &j, sizeof j) != 0)
        return -1;
    return c->user == NULL || clerk_ask(c->user, COMMAND_IN, j.room, NULL, 0) ? 0 : -1;
}

/* ---- Start and stop: the main thread ---- */

static sint32 complain(const char *what)
{
    fprintf(stderr, "chat-server: %s\n", what);
    return -1;
}

sint32 far_start(const char *bus, const char *node, uint16 port)
{
    struct mario_cluster_options o;
    if (strncmp(bus, "redis=", 6) != 0)
        return complain("--cluster redis=HOST:PORT: rooms have histories, which are kept in Redis");
    mario_cluster_options_init(&o);
    o.bus = "redis";
    o.redis = bus + 6;
    o.prefix = "chat";
    o.node = node;
    far.port = port;
    if (getrandom(far.secret, sizeof far.secret, 0) != sizeof far.secret ||
        getrandom(&far_self, sizeof far_self, 0) != sizeof far_self)
        return complain("no random bytes");
    far_self = NAMES + far_self % (NUMBERS - 1);
    if (regist_akg_func(FAR_EAR, ear_logs_in) != 0 || regist_cluster_func(on_event) != 0 ||
        regist_resumed_func(has_come_back) != 0)
        return complain("a function was refused");
    if (mario_cluster_start(&o) != 0) /* it says itself what is wrong */
        return -1;
    far.is_on = true;
    return pthread_create(&far.ear, NULL, listen_on, NULL) == 0 ? 0 : complain("no thread");
}

void far_stop(void)
{
    if (!far.is_on)
        return;
    __atomic_store_n(&far.stops, true, __ATOMIC_RELAXED);
    pthread_mutex_lock(&far.mutex);
    if (far.fd >= 0)
        shutdown(far.fd, SHUT_RDWR);
    pthread_mutex_unlock(&far.mutex);
    pthread_join(far.ear, NULL);
}
