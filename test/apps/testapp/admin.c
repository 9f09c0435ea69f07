/*
 * admin.c: commands for operators that do what an application may do, and should not. On the admin thread; what answers
 * later on threads of its own.
 */
#include "app.h"

#include <stdlib.h>
#include <time.h>

static void sleep_ms(unsigned long ms)
{
    nanosleep(&(struct timespec){.tv_sec = (time_t) (ms / 1000), .tv_nsec = (long) (ms % 1000) * 1000000},
              NULL);
}

static unsigned long first_number(uint32 argc, const char *const argv[])
{
    return argc > 0 ? strtoul(argv[0], NULL, 10) : 0;
}

/* The words, one by one. */
static enum mario_answer_when echo_words(struct mario_answer *a, uint32 argc, const char *const argv[],
                                         void *arg)
{
    (void) arg;
    mario_answer_list(a, "words");
    for (uint32 i = 0; i < argc; i++)
        mario_answer_text(a, NULL, argv[i]);
    mario_answer_end(a);
    return MARIO_ANSWER_NOW;
}

struct late {
    struct mario_answer *a;
    unsigned long ms;
};

static void *answer_late(void *arg)
{
    struct late *l = arg;
    sleep_ms(l->ms);
    mario_answer_flag(l->a, "late", 1);
    mario_answer_flag(l->a, "wanted", mario_answer_is_wanted(l->a));
    mario_answer_done(l->a);
    free(l);
    return NULL;
}

/* From another thread, so many milliseconds later. */
static enum mario_answer_when later(struct mario_answer *a, uint32 argc, const char *const argv[], void *arg)
{
    struct late *l = malloc(sizeof *l);
    pthread_t t;
    (void) arg;
    if (l == NULL)
        abort();
    *l = (struct late){.a = a, .ms = first_number(argc, argv)};
    if (pthread_create(&t, NULL, answer_late, l) != 0)
        abort();
    pthread_detach(t);
    return MARIO_ANSWER_LATER;
}

/* The admin thread does not come back for so many milliseconds. */
static enum mario_answer_when hang(struct mario_answer *a, uint32 argc, const char *const argv[], void *arg)
{
    (void) arg;
    sleep_ms(first_number(argc, argv));
    mario_answer_flag(a, "hung", 1);
    return MARIO_ANSWER_NOW;
}

/* So many rows. */
static enum mario_answer_when rows(struct mario_answer *a, uint32 argc, const char *const argv[], void *arg)
{
    unsigned long n = first_number(argc, argv);
    (void) arg;
    mario_answer_list(a, "rows");
    for (unsigned long i = 0; i < n; i++) {
        mario_answer_object(a, NULL);
        mario_answer_number(a, "number", i);
        mario_answer_text(a, "text",
                          "a row as it might be, with some words in it, so that there is something to send");
        mario_answer_end(a);
    }
    mario_answer_end(a);
    return MARIO_ANSWER_NOW;
}

static enum mario_answer_when count_change(struct mario_answer *a, uint32 argc, const char *const argv[],
                                           void *arg)
{
    static uint32 changes;
    (void) argc;
    (void) argv;
    (void) arg;
    mario_answer_number(a, "changes", ++changes);
    return MARIO_ANSWER_NOW;
}

/* Certificates are read again, on this thread. */
static enum mario_answer_when renew(struct mario_answer *a, uint32 argc, const char *const argv[], void *arg)
{
    char why[256];
    (void) argc;
    (void) argv;
    (void) arg;
    if (mario_tls_reload(why, sizeof why) == 0)
        mario_answer_flag(a, "renewed", 1);
    else
        mario_answer_refuse(a, "%s", why);
    return MARIO_ANSWER_NOW;
}

bool register_commands(void)
{
    return regist_command(MARIO_COMMAND_READS, "test echo", "[WORD...]", "the words", echo_words, NULL) ==
               0 &&
           regist_command(MARIO_COMMAND_READS, "test later", "MS", "answers later", later, NULL) == 0 &&
           regist_command(MARIO_COMMAND_READS, "test hang", "MS", "blocks", hang, NULL) == 0 &&
           regist_command(MARIO_COMMAND_READS, "test rows", "N", "rows", rows, NULL) == 0 &&
           regist_command(MARIO_COMMAND_CHANGES, "test change", "", "counts", count_change, NULL) == 0 &&
           regist_command(MARIO_COMMAND_CHANGES, "test renew", "", "certificates", renew, NULL) == 0 &&
           regist_command(MARIO_COMMAND_CHANGES, "test change", "", "a second time", count_change, NULL) ==
               -1 &&
           (app.options.admin_listen == NULL ||
            regist_command(MARIO_COMMAND_READS, "stats", "", "the library's", count_change, NULL) == -1) &&
           regist_command(MARIO_COMMAND_READS, "Test", "", "no name", count_change, NULL) == -1 &&
           regist_command(MARIO_COMMAND_READS, "a b c", "", "too many words", count_change, NULL) == -1;
}
