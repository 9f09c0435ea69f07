/*
 * collect.c: who is online: a flag for each place of a connection, added up by a thread that logs the sum whenever it
 * has changed. The events of logging in and out go to a queue for each worker, made with the library's macros.
 *
 * Thread: collect_login and collect_logout a worker, the rest main or the collecting thread.
 */
#include "collect.h"

#include "mario/mario.h"
#include "mario/mario_table.h"

#include "config.h"

#define EVENTS (MAX_CONN_ARRAY_SIZE / 1024)

typedef struct {
    uint32 size, producer, consumer;
    int items[EVENTS]; /* 1 came, -1 left */
} EVENT_ROW;

static EVENT_ROW *rows; /* [workernum] worker (w) -> collecting thread (r) */
static volatile int online;
static LOG_QUEUE *qlog;

int init_collect(void)
{
    qlog = create_log_queue();
    rows = (EVENT_ROW *) calloc(conf.workernum, sizeof(EVENT_ROW));
    for (int i = 0; rows != NULL && i < conf.workernum; i++)
        rows[i].size = EVENTS;
    return qlog != NULL && rows != NULL ? 0 : -1;
}

static void note(CONN *c, int what)
{
    EVENT_ROW *row = &rows[c->owner->ind];
    int *item = GET_PRODUCER(row);
    while (item == NULL) {
        nsleep(1000);
        item = GET_PRODUCER(row);
    }
    *item = what;
    PUT_PRODUCER(row);
}

void collect_login(struct _CONN *c)
{
    if (c->user == NULL)
        note(c, 1);
    c->user = c;
}

void collect_logout(struct _CONN *c)
{
    if (c->user != NULL)
        note(c, -1);
    c->user = NULL;
}

unsigned int collect_online(void)
{
    return (unsigned int) __sync_fetch_and_add(&online, 0);
}

static void *collect(void *arg)
{
    int said = -1;
    (void) arg;
    while (1) {
        for (int i = 0; i < conf.workernum; i++) {
            int *item;
            while ((item = GET_CONSUMER(&rows[i])) != NULL) {
                __sync_fetch_and_add(&online, *item);
                PUT_CONSUMER(&rows[i]);
            }
        }
        if (said != (int) collect_online()) {
            said = (int) collect_online();
            slog_info_t(qlog, "online number: %d", said)
        }
        susleep(0, 1000);
    }
    return NULL;
}

int start_collect_thread(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, collect, NULL);
}
