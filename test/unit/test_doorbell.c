/*
 * test_doorbell.c: the doorbell. What one ring does, then real producers and owners that sleep in epoll,
 * edge-triggered: a lost ring would leave a sleeper asleep for good, as everybody waits for an answer before
 * going on.
 */
#include "mario/base/doorbell.h"
#include "mario/base/spsc.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

enum { LOST_MS = 3000 * UNIT_SLOW }; /* a sleeper that nobody wakes for so long has missed a ring */

/* What has been written to an eventfd and not been read, as the kernel tells it. */
static uint64_t eventfd_count(int fd)
{
    char path[64], line[128];
    unsigned long long count = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL)
        found = found || sscanf(line, "eventfd-count: %llx", &count) == 1;
    fclose(f);
    ck_assert(found);
    return count;
}

/* An epoll set that watches the doorbell the way a worker does. */
static int watch(const struct doorbell *d)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, d->fd, &e) != 0)
        return -1;
    return set;
}

/* True when woken, false when nobody came within ms. */
static bool sleep_in(int set, int ms)
{
    struct epoll_event e;
    int n;
    do
        n = epoll_wait(set, &e, 1, ms);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

/* ---- One ring ---- */

START_TEST(made_and_unmade)
{
    struct doorbell d;
    ck_assert(doorbell_init(&d));
    ck_assert_int_ge(d.fd, 0);
    ck_assert_int_ne(fcntl(d.fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(d.fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_uint_eq(eventfd_count(d.fd), 0);
    ck_assert_uint_eq(doorbell_answer(&d), 0);
    int fd = d.fd;
    doorbell_fini(&d);
    ck_assert_int_eq(d.fd, -1);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    doorbell_fini(&d);
}
END_TEST

START_TEST(no_descriptor_to_be_had)
{
    struct doorbell d;
    struct rlimit old, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){0, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool made = doorbell_init(&d);
    int error = errno;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    ck_assert(!made);
    ck_assert_int_eq(error, EMFILE);
    doorbell_fini(&d);
    ck_assert_int_eq(d.fd, -1);
}
END_TEST

START_TEST(a_burst_is_one_write)
{
    struct doorbell d;
    ck_assert(doorbell_init(&d));
    for (uint64_t burst = 1; burst <= 3; burst++) {
        for (unsigned i = 0; i < 1000; i++)
            doorbell_ring(&d, i % 5);
        ck_assert_uint_eq(eventfd_count(d.fd), burst);
        ck_assert_uint_eq(doorbell_answer(&d), 0x1f);
        ck_assert_uint_eq(doorbell_answer(&d), 0);
        ck_assert_uint_eq(eventfd_count(d.fd), burst); /* answering reads nothing */
    }
    doorbell_fini(&d);
}
END_TEST

START_TEST(producers_beyond_64_share_bits)
{
    struct doorbell d;
    ck_assert(doorbell_init(&d));
    for (unsigned i = 0; i < 300; i++) {
        doorbell_ring(&d, i);
        ck_assert_uint_eq(doorbell_answer(&d), UINT64_C(1) << i % 64);
    }
    doorbell_ring(&d, 64);
    doorbell_ring(&d, 127);
    doorbell_ring(&d, UINT32_MAX);
    ck_assert_uint_eq(doorbell_answer(&d), UINT64_C(1) << 63 | 1);
    doorbell_fini(&d);
}
END_TEST

START_TEST(each_burst_is_an_edge)
{
    struct doorbell d;
    ck_assert(doorbell_init(&d));
    doorbell_ring(&d, 1); /* also one that was rung before anybody watched */
    int set = watch(&d);
    ck_assert_int_ge(set, 0);
    for (int i = 0; i < 100; i++) {
        ck_assert(sleep_in(set, LOST_MS));
        ck_assert(!sleep_in(set, 0));
        ck_assert_uint_eq(doorbell_answer(&d), 2);
        ck_assert(!sleep_in(set, 0));
        doorbell_ring(&d, 1);
        doorbell_ring(&d, 1);
    }
    close(set);
    doorbell_fini(&d);
}
END_TEST

START_TEST(ringing_keeps_errno_and_never_blocks)
{
    struct doorbell d;
    ck_assert(doorbell_init(&d));
    errno = 1234;
    doorbell_ring(&d, 0);
    doorbell_ring(&d, 0);
    ck_assert_int_eq(errno, 1234);
    uint64_t rest =
        UINT64_MAX - 2; /* the count is then as high as it can be, and the next write is refused */
    ck_assert_int_eq(write(d.fd, &rest, sizeof rest), sizeof rest);
    ck_assert_uint_eq(doorbell_answer(&d), 1);
    errno = 1234;
    doorbell_ring(&d, 3);
    ck_assert_int_eq(errno, 1234);
    ck_assert_uint_eq(doorbell_answer(&d), 8);
    doorbell_fini(&d);
}
END_TEST

/* ---- Real threads ---- */

struct owner;

struct producer {
    struct owner *owner;
    struct spsc ring;       /* producer (w) -> owner (r) */
    struct doorbell answer; /* owner -> producer: all of your burst has been seen */
    int set;
    unsigned index;
    uint32_t bursts;
    uint64_t sent;       /* of the producer */
    uint64_t got, wrong; /* of the owner */
    bool lost;           /* of the producer */
};

struct owner {
    struct doorbell bell;
    struct producer *producers;
    unsigned count;
    uint64_t total; /* elements that will come */
    bool lost;
};

enum { RING_CAPACITY = 16, ELEMENT_LAST = 1 }; /* the lowest bit of an element: the burst ends here, answer */

/* Send a burst, then sleep until it is answered: so no later ring can make up for a lost one. */
static void *producer_main(void *arg)
{
    struct producer *p = arg;
    uint64_t random = p->index;
    for (uint32_t burst = 0; burst < p->bursts && !p->lost; burst++) {
        unsigned length = 1 + (unsigned) (unit_random(&random) % RING_CAPACITY);
        unsigned ring_each = (unsigned) (unit_random(&random) % 2);
        for (unsigned i = 0; i < length; i++) {
            uint64_t *slot = spsc_reserve(&p->ring); /* never full: the burst before has been read */
            if (slot == NULL)
                return NULL; /* seen as p->sent being too small */
            *slot = p->sent++ << 1 | (i + 1 == length ? ELEMENT_LAST : 0);
            spsc_commit(&p->ring);
            if (ring_each || i + 1 == length)
                doorbell_ring(&p->owner->bell, p->index);
        }
        while (doorbell_answer(&p->answer) == 0 && !p->lost)
            p->lost = !sleep_in(p->set, LOST_MS);
    }
    return NULL;
}

/* Read all that one producer has sent; true for as many elements as came. */
static uint64_t owner_drain(struct producer *p)
{
    uint64_t n = 0;
    for (uint64_t *e; (e = spsc_front(&p->ring)) != NULL; n++) {
        uint64_t element = *e;
        spsc_release(&p->ring);
        if (element >> 1 != p->got++)
            p->wrong++;
        if (element & ELEMENT_LAST)
            doorbell_ring(&p->answer, 0);
    }
    return n;
}

static void *owner_main(void *arg)
{
    struct owner *o = arg;
    int set = watch(&o->bell);
    uint64_t got = 0;
    while (!o->lost && set >= 0) {
        uint64_t who = doorbell_answer(&o->bell);
        for (unsigned i = 0; i < o->count; i++) {
            if (who >> i % 64 & 1)
                got += owner_drain(&o->producers[i]);
        }
        if (got == o->total)
            break;
        o->lost = !sleep_in(set, LOST_MS);
    }
    if (set >= 0)
        close(set);
    return NULL;
}

/* How many elements a producer will send: the same sequence that it draws itself. */
static uint64_t producer_total(unsigned index, uint32_t bursts)
{
    uint64_t random = index, total = 0;
    for (uint32_t i = 0; i < bursts; i++) {
        total += 1 + unit_random(&random) % RING_CAPACITY;
        unit_random(&random);
    }
    return total;
}

static void run_producers(unsigned count, uint32_t bursts)
{
    struct owner o = {.count = count, .producers = aligned_alloc(64, count * sizeof(struct producer))};
    pthread_t owner, *threads = calloc(count, sizeof *threads);
    ck_assert_ptr_nonnull(o.producers);
    ck_assert_ptr_nonnull(threads);
    ck_assert(doorbell_init(&o.bell));
    for (unsigned i = 0; i < count; i++) {
        struct producer *p = &o.producers[i];
        *p = (struct producer){.owner = &o, .index = i, .bursts = bursts};
        ck_assert(spsc_init(&p->ring, RING_CAPACITY, sizeof(uint64_t)));
        ck_assert(doorbell_init(&p->answer));
        ck_assert_int_ge(p->set = watch(&p->answer), 0);
        o.total += producer_total(i, bursts);
    }
    ck_assert_int_eq(pthread_create(&owner, NULL, owner_main, &o), 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, producer_main, &o.producers[i]), 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_join(owner, NULL);
    ck_assert(!o.lost);
    for (unsigned i = 0; i < count; i++) {
        struct producer *p = &o.producers[i];
        ck_assert(!p->lost);
        ck_assert_uint_eq(p->wrong, 0);
        ck_assert_uint_eq(p->sent, producer_total(i, bursts));
        ck_assert_uint_eq(p->got, p->sent);
        spsc_fini(&p->ring);
        doorbell_fini(&p->answer);
        close(p->set);
    }
    doorbell_fini(&o.bell);
    free(o.producers);
    free(threads);
}

START_TEST(no_ring_is_lost)
{
    static const unsigned counts[] = {1, 2, 8};
    run_producers(counts[_i], 80000 / counts[_i] / UNIT_SLOW);
}
END_TEST

START_TEST(no_ring_is_lost_on_a_shared_bit)
{
    run_producers(100, 400 / UNIT_SLOW);
}
END_TEST

/* Whatever the threads do, between two answers the eventfd is written at most once. */
struct crowd {
    struct doorbell bell;
    _Atomic unsigned running;
};

static void *crowd_ring(void *arg)
{
    struct crowd *c = arg;
    unsigned me = atomic_load(&c->running);
    for (int i = 0; i < 100000 / UNIT_SLOW; i++)
        doorbell_ring(&c->bell, me);
    atomic_fetch_sub(&c->running, 1);
    return NULL;
}

START_TEST(a_crowd_writes_once_an_answer)
{
    struct crowd c = {.running = 4};
    pthread_t threads[4];
    uint64_t answers = 0;
    ck_assert(doorbell_init(&c.bell));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_ring, &c), 0);
    while (atomic_load(&c.running) > 0)
        answers += doorbell_answer(&c.bell) != 0;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    answers += doorbell_answer(&c.bell) != 0;
    ck_assert_uint_gt(answers, 0);
    ck_assert_uint_eq(eventfd_count(c.bell.fd), answers);
    doorbell_fini(&c.bell);
}
END_TEST

/* What a producer wrote before it rang is there when the owner has its bit: the word alone carries it, nobody
 * sleeps. A thread sanitizer sees the missing order even where the machine does not need it. */
struct parcel {
    struct doorbell bell, back;
    uint64_t content; /* plain memory, handed to and fro */
    bool last;        /* the same */
    uint64_t wrong;
};

/* Fewer where each step costs a time slice of another program. */
enum { PARCELS = 100000 / UNIT_SLOW, PARCELS_LEAST = 200, PARCELS_MS = 5000 };

static void *parcel_fill(void *arg)
{
    struct parcel *p = arg;
    uint64_t end = unit_ms() + PARCELS_MS;
    for (uint64_t i = 1; !p->last; i++) {
        p->content = i;
        p->last = i >= PARCELS || (i >= PARCELS_LEAST && unit_ms() > end);
        doorbell_ring(&p->bell, (unsigned) i);
        while (doorbell_answer(&p->back) == 0)
            sched_yield();
        if (p->content != ~i)
            p->wrong++;
    }
    return NULL;
}

START_TEST(the_work_behind_a_ring_is_seen)
{
    struct parcel p = {.content = 0};
    pthread_t thread;
    uint64_t wrong = 0;
    bool last = false;
    ck_assert(doorbell_init(&p.bell));
    ck_assert(doorbell_init(&p.back));
    ck_assert_int_eq(pthread_create(&thread, NULL, parcel_fill, &p), 0);
    for (uint64_t i = 1; !last; i++) {
        uint64_t who;
        while ((who = doorbell_answer(&p.bell)) == 0)
            sched_yield();
        if (who != UINT64_C(1) << i % 64 || p.content != i)
            wrong++;
        p.content = ~i;
        last = p.last;
        doorbell_ring(&p.back, 0);
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(p.wrong, 0);
    doorbell_fini(&p.bell);
    doorbell_fini(&p.back);
}
END_TEST

/* ---- From a signal handler ---- */

static struct doorbell *rung_by_signal;
static volatile sig_atomic_t signals;

static void ring_on_signal(int sig)
{
    (void) sig;
    signals++;
    doorbell_ring(rung_by_signal, 63);
}

/* The signal falls anywhere, also between another ring's two halves; each one is heard before the next is
 * sent. */
START_TEST(ringing_from_a_signal_handler)
{
    struct doorbell d;
    ck_assert(doorbell_init(&d));
    int set = watch(&d);
    ck_assert_int_ge(set, 0);
    rung_by_signal = &d;
    struct sigaction act = {.sa_handler = ring_on_signal}, old;
    struct itimerval soon = {.it_value = {.tv_usec = 50}};
    sigaction(SIGALRM, &act, &old);
    for (int i = 1; i <= 500; i++) {
        uint64_t heard = 0, rings = 0;
        ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
        while (signals < i) {
            doorbell_ring(&d, 0);
            if (++rings % 16 == 0)
                heard |= doorbell_answer(&d);
        }
        while ((heard & UINT64_C(1) << 63) == 0) {
            ck_assert(sleep_in(set, LOST_MS));
            heard |= doorbell_answer(&d);
        }
    }
    sigaction(SIGALRM, &old, NULL);
    close(set);
    doorbell_fini(&d);
}
END_TEST

/* Goal: an owner that holds the bell is not woken by a ring, but by one that insists; no bit is lost. */
START_TEST(held)
{
    struct doorbell d;
    ck_assert(doorbell_init(&d));
    int set = watch(&d);
    ck_assert_int_ge(set, 0);
    for (int i = 0; i < 3; i++) {
        doorbell_hold(&d, 62);
        doorbell_ring(&d, 1);
        doorbell_ring(&d, 2);
        ck_assert(!sleep_in(set, 0));
        doorbell_insist(&d, 3);
        ck_assert(sleep_in(set, LOST_MS));
        ck_assert_uint_eq(doorbell_answer(&d), UINT64_C(1) << 62 | 14);
        doorbell_ring(&d, 1); /* no longer held */
        ck_assert(sleep_in(set, LOST_MS));
        ck_assert_uint_eq(doorbell_answer(&d), 2);
    }
    close(set);
    doorbell_fini(&d);
}
END_TEST

Suite *doorbell_suite(void)
{
    Suite *s = suite_create("doorbell");
    TCase *c = unit_case(s, "one ring", 10);
    tcase_add_test(c, made_and_unmade);
    tcase_add_test(c, no_descriptor_to_be_had);
    tcase_add_test(c, a_burst_is_one_write);
    tcase_add_test(c, producers_beyond_64_share_bits);
    tcase_add_test(c, each_burst_is_an_edge);
    tcase_add_test(c, ringing_keeps_errno_and_never_blocks);
    tcase_add_test(c, held);
    c = unit_case(s, "threads", 20);
    tcase_add_loop_test(c, no_ring_is_lost, 0, 3);
    tcase_add_test(c, no_ring_is_lost_on_a_shared_bit);
    tcase_add_test(c, a_crowd_writes_once_an_answer);
    tcase_add_test(c, the_work_behind_a_ring_is_seen);
    c = unit_case(s, "signals", 30);
    tcase_add_test(c, ringing_from_a_signal_handler);
    return s;
}
