/*
 * robots.c: very many users at once, in one thread: a load and a judge. See robot.h for what each does. At the end
 * all must have heard everything, once, in order, and the same.
 *
 *     chat-robots [-s HOST:PORT[,HOST:PORT...]] [-n ROBOTS] [-g ROOMS] [-l LINES] [-i MILLISECONDS] [-t SECONDS]
 *
 * -n: 1000; -g: one room for each 50; -l: lines that each says, 4; -i: from one thing to the next, 1000; -t: all must
 * be over by then, 60. Exit code 0: nothing was wrong; 1: something was; 2: bad usage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "robot.h"

enum { EXIT_USAGE = 2, COMING_MAX = 200, TICK_US = 5000, EVENTS = 512 };

static struct robot *robots;
static uint32_t begun; /* robots that have started */
static uint64_t ends_at;

/* Descriptors for two connections of some and one of all others. */
static void raise_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

/* Start some more; not all at once: a server's backlog is bounded. */
static void begin_some(void)
{
    static uint32_t first_coming; /* all before it are there */
    while (first_coming < begun &&
           (robots[first_coming].step > 0 || robots[first_coming].stage == ROBOT_OVER))
        first_coming++;
    while (begun < plan.robots && begun - first_coming < COMING_MAX)
        robot_start(&robots[begun++]);
}

/* One turn of the loop. False: the time is over. */
static bool turn(void)
{
    static uint64_t ticked;
    struct epoll_event events[EVENTS];
    int n = epoll_wait(plan.epoll, events, EVENTS, TICK_US / 1000);
    for (int i = 0; i < n; i++) {
        struct robot *r = (struct robot *) (uintptr_t) (events[i].data.u64 & ~(uint64_t) 1);
        robot_ready(r, (events[i].data.u64 & 1) != 0);
    }
    uint64_t now = now_us();
    if (now - ticked < TICK_US)
        return now < ends_at;
    ticked = now;
    begin_some();
    for (uint32_t i = 0; i < begun; i++)
        robot_tick(&robots[i], now);
    return now < ends_at;
}

static bool all_have_all(void)
{
    for (uint32_t i = 0; i < plan.robots; i++) {
        if (!robot_has_all(&robots[i]))
            return false;
    }
    return tally.private == tally.told || tally.moved > 0;
}

/* From the first connection to the last. How many robots are not through. */
static uint32_t run(void)
{
    while (tally.waiting < plan.robots || !all_have_all()) {
        if (!turn())
            return plan.robots - tally.waiting > 0 ? plan.robots - tally.waiting : 1;
    }
    for (uint32_t i = 0; i < plan.robots; i++)
        robot_quit(&robots[i]);
    while (tally.over < plan.robots && turn())
        ;
    return plan.robots - tally.over;
}

/* ---- What came of it ---- */

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

static double latency_ms(double share)
{
    if (tally.latencies == 0)
        return 0;
    return tally.latency[(uint64_t) ((double) (tally.latencies - 1) * share)] / 1000.0;
}

static uint64_t complain(uint64_t number, const char *what)
{
    if (number > 0)
        printf("wrong: %llu %s\n", (unsigned long long) number, what);
    return number;
}

static int report(uint32_t not_through, double seconds)
{
    qsort(tally.latency, tally.latencies, sizeof *tally.latency, ascending);
    printf("%u robots in %u rooms: %llu lines said, %llu heard in %.1f s (%.0f a second)\n", plan.robots,
           plan.rooms, (unsigned long long) tally.said, (unsigned long long) tally.heard, seconds,
           (double) tally.heard / seconds);
    printf("also heard: %llu lines of history, %llu private ones, %llu who came or went\n",
           (unsigned long long) tally.history, (unsigned long long) tally.private,
           (unsigned long long) tally.presence);
    printf("%llu second logins replaced the first one; %llu times too fast or busy\n",
           (unsigned long long) tally.replaced, (unsigned long long) tally.busy);
    if (tally.too_old > 0)
        printf("%llu lines were missed by who came back when a room had %u newer ones\n",
               (unsigned long long) tally.too_old, CHAT_HISTORY);
    printf("from saying to hearing oneself: median %.2f ms, 99 %% %.2f ms, worst %.2f ms\n", latency_ms(0.5),
           latency_ms(0.99), latency_ms(1));
    uint64_t wrong = complain(not_through, "robots not through in time");
    wrong += complain(tally.bad_connect, "connections that could not be made");
    wrong += complain(tally.bad_end, "connections ended without a reason");
    wrong += complain(tally.bad_gap, "lines lost");
    wrong += complain(tally.bad_order, "lines twice or out of order");
    wrong += complain(tally.bad_content, "lines that others heard otherwise");
    wrong += complain(tally.bad_history, "histories too long or too short");
    wrong += complain(tally.bad_packet, "packets that are none");
    wrong += complain(tally.bad_answer, "answers that nobody expected");
    if (tally.moved > 0) /* private lines are at most once: who was on the way did not get them */
        printf("%llu times another server was gone to; %llu private lines came of %llu\n",
               (unsigned long long) tally.moved, (unsigned long long) tally.private,
               (unsigned long long) tally.tell);
    else
        wrong += complain(tally.tell - tally.private, "private lines lost");
    printf("%s\n", wrong == 0 ? "everybody heard everything, once, in order" : "that was not right");
    return wrong == 0 ? 0 : 1;
}

/* ---- Usage ---- */

static int usage(const char *why)
{
    fprintf(
        stderr,
        "chat-robots: %s\nusage: chat-robots [-s HOST:PORT[,HOST:PORT...]] [-n ROBOTS] [-g ROOMS] [-l LINES] "
        "[-i MILLISECONDS] [-t SECONDS]\n",
        why);
    return EXIT_USAGE;
}

/* An option's number, 1 .. 1000000; 0 if it is none. */
static uint32_t number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    return *end != '\0' || n < 1 || n > 1000000 ? 0 : (uint32_t) n;
}

int main(int argc, char **argv)
{
    const char *server = "127.0.0.1:8085";
    uint32_t seconds = 60;
    int option;
    plan = (struct plan){.robots = 1000, .lines = 4, .interval_ms = 1000};
    opterr = 0;
    while ((option = getopt(argc, argv, "s:n:g:l:i:t:")) != -1) {
        uint32_t *value = option == 'n'   ? &plan.robots
                          : option == 'g' ? &plan.rooms
                          : option == 'l' ? &plan.lines
                          : option == 'i' ? &plan.interval_ms
                                          : &seconds;
        if (option == 's')
            server = optarg;
        else if (option == '?' || (*value = number(optarg)) == 0)
            return usage("a number is 1 to 1000000");
    }
    if (plan.rooms == 0)
        plan.rooms = plan.robots / 50 + 1;
    const char *wrong = link_resolve(server, plan.servers, &plan.server_count);
    if (wrong != NULL || optind < argc)
        return usage(wrong != NULL ? wrong : "what is meant?");
    raise_limit();
    robots = calloc(plan.robots, sizeof *robots);
    plan.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (robots == NULL || plan.epoll < 0 || record_setup() != 0) {
        perror("chat-robots");
        return 1;
    }
    for (uint32_t i = 0; i < plan.robots; i++)
        robot_init(&robots[i], i);
    uint64_t began = now_us();
    ends_at = began + (uint64_t) seconds * 1000000;
    uint32_t not_through = run();
    int code = report(not_through, (double) (now_us() - began) / 1000000);
    for (uint32_t i = 0; i < plan.robots; i++)
        robot_close(&robots[i]);
    record_clear();
    free(robots);
    close(plan.epoll);
    return code;
}
