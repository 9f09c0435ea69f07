/*
 * test_answer.c: what commands answer, as text and as JSON; words and arguments; who owns an answer when.
 */
#include "unit.h"
#include "mario/admin/answer.h"
#include "mario/admin/args.h"
#include "mario/admin/words.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint32_t done_count;

static void on_done(struct mario_answer *a, void *arg)
{
    (void) a;
    (void) arg;
    done_count++;
}

static struct mario_answer *begin(void)
{
    struct mario_answer *a = answer_create(on_done, NULL);
    ck_assert_ptr_ne(a, NULL);
    answer_is_now(a);
    return a;
}

static void shows(const struct mario_answer *a, enum answer_form form, const char *wanted)
{
    struct evbuffer *out = evbuffer_new();
    answer_show(a, form, out);
    evbuffer_add(out, "", 1);
    const char *text = (const char *) evbuffer_pullup(out, -1);
    ck_assert_msg(strcmp(text, wanted) == 0, "'%s' instead of '%s'", text, wanted);
    evbuffer_free(out);
}

/* ---- Showing ---- */

/* Goal: each kind of value is shown as it should be, in both forms. */
START_TEST(values)
{
    struct mario_answer *a = begin();
    mario_answer_text(a, "text", "a \"b\" \\");
    mario_answer_text(a, "none", NULL);
    mario_answer_format(a, "made", "%d%%", 5);
    mario_answer_number(a, "most", UINT64_MAX);
    mario_answer_signed(a, "least", INT64_MIN);
    mario_answer_real(a, "real", 0.25);
    mario_answer_real(a, "infinite", INFINITY);
    mario_answer_flag(a, "yes", 2);
    mario_answer_flag(a, "no", 0);
    mario_answer_id(a, "id", UINT64_C(1) << 56 | UINT64_C(0xffffff) << 32 | 7);
    shows(
        a, ANSWER_JSON,
        "{\"text\": \"a \\\"b\\\" \\\\\", \"none\": null, \"made\": \"5%\", \"most\": 18446744073709551615, \"least\": "
        "-9223372036854775808, \"real\": 0.25, \"infinite\": null, \"yes\": true, \"no\": false, \"id\": "
        "\"1.16777215.7\"}\n");
    shows(
        a, ANSWER_TEXT,
        "text a \"b\" \\\nnone -\nmade 5%\nmost 18446744073709551615\nleast -9223372036854775808\nreal 0.25\ninfinite "
        "-\nyes yes\nno no\nid 1.16777215.7\n");
    answer_drop(&a);
    ck_assert_ptr_eq(a, NULL);
}
END_TEST

/* Goal: text of others stays in its place: no control character gets to a terminal, none breaks JSON. */
START_TEST(foreign)
{
    struct mario_answer *a = begin();
    mario_answer_text(a, "k\n\"", "\x1b[2J\n\t\x7f\xc2\x9b\xff\xc3\xa4\xed\xa0\x80");
    shows(a, ANSWER_JSON,
          "{\"k\\n\\\"\": \"\\u001b[2J\\n\\t\\u007f\\u009b\\ufffd\xc3\xa4\\ufffd\\ufffd\\ufffd\"}\n");
    shows(a, ANSWER_TEXT, "k\\x0a\" \\x1b[2J\\x0a\\x09\\x7f\\x9b\\xff\xc3\xa4\\xed\\xa0\\x80\n");
    answer_drop(&a);
}
END_TEST

static void put_row(struct mario_answer *a, const char *name, uint64_t n, bool more)
{
    mario_answer_object(a, NULL);
    mario_answer_text(a, "name", name);
    mario_answer_number(a, "n", n);
    if (more) {
        mario_answer_object(a, "more");
        mario_answer_list(a, "l");
        mario_answer_number(a, NULL, 1);
        mario_answer_number(a, NULL, 2);
        mario_answer_end(a);
        mario_answer_end(a);
    }
    mario_answer_end(a);
}

/* Goal: objects in objects, lists of values, of objects, and empty ones; columns are as wide as their characters. */
START_TEST(levels)
{
    struct mario_answer *a = begin();
    mario_answer_object(a, "outer");
    mario_answer_object(a, "inner");
    mario_answer_number(a, "x", 1);
    mario_answer_end(a);
    mario_answer_end(a);
    mario_answer_list(a, "words");
    mario_answer_text(a, NULL, "a");
    mario_answer_text(a, NULL, "b");
    mario_answer_end(a);
    mario_answer_list(a, "empty");
    mario_answer_end(a);
    mario_answer_list(a, "rows");
    put_row(a, "\xc3\xa4\xc3\xb6", 1, false);
    put_row(a, "longer", 1234, true);
    mario_answer_end(a);
    mario_answer_text(a, "behind", "it");
    shows(
        a, ANSWER_JSON,
        "{\"outer\": {\"inner\": {\"x\": 1}}, \"words\": [\"a\", \"b\"], \"empty\": [], \"rows\": [{\"name\": "
        "\"\xc3\xa4\xc3\xb6\", \"n\": 1}, {\"name\": \"longer\", \"n\": 1234, \"more\": {\"l\": [1, 2]}}], \"behind\": "
        "\"it\"}\n");
    shows(
        a, ANSWER_TEXT,
        "outer.inner.x 1\nwords a\nwords b\nempty none\n\nname       n  more\n\xc3\xa4\xc3\xb6         1  -\n"
        "longer  1234  {\"l\": [1, 2]}\nbehind it\n");
    answer_drop(&a);
}
END_TEST

/* Goal: a refusal takes the place of all that was put, and the first one counts. */
START_TEST(refused)
{
    struct mario_answer *a = begin();
    mario_answer_number(a, "x", 1);
    mario_answer_refuse(a, "no \"%s\"\n", "way");
    mario_answer_usage(a, "other");
    mario_answer_number(a, "y", 1);
    ck_assert_int_eq(answer_status(a), ANSWER_REFUSED);
    shows(a, ANSWER_JSON, "{\"error\": \"no \\\"way\\\"\\n\"}\n");
    shows(a, ANSWER_TEXT, "no \"way\"\\x0a\n");
    answer_drop(&a);
}
END_TEST

/* Goal: too many levels, too much, and no memory end in a refusal, never in half an answer. */
START_TEST(too_much)
{
    struct mario_answer *a = begin();
    static char text[1 << 20];
    for (int i = 0; i < 100; i++)
        mario_answer_object(a, "x");
    ck_assert_int_eq(answer_status(a), ANSWER_FAILED);
    answer_drop(&a);
    a = begin();
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 70; i++)
        mario_answer_text(a, "x", text);
    ck_assert_int_eq(answer_status(a), ANSWER_REFUSED);
    answer_drop(&a);
    a = begin();
    unit_heap_fail(0);
    mario_answer_text(a, "x", text);
    unit_heap_heal();
    ck_assert_int_eq(answer_status(a), ANSWER_FAILED);
    shows(a, ANSWER_TEXT, "no memory for the answer\n");
    answer_drop(&a);
}
END_TEST

/* ---- Later ---- */

static void *finish(void *a)
{
    mario_answer_done(a);
    return NULL;
}

/* Goal: answers that come later are handed out once each, those that nobody wants any more are only freed; one that
 * comes behind the end is freed too. The sanitizers see what is lost or used again. */
START_TEST(later)
{
    enum { MANY = 64 };
    struct doorbell bell;
    struct mario_answer *a[MANY];
    pthread_t t[MANY];
    ck_assert(doorbell_init(&bell));
    answers_open(&bell, 1);
    for (int i = 0; i < MANY; i++)
        a[i] = answer_create(on_done, NULL);
    for (int i = 0; i < MANY; i++) {
        struct mario_answer *mine = a[i];
        ck_assert(mario_answer_is_wanted(mine));
        if (i % 2)
            answer_drop(&a[i]);
        ck_assert_int_eq(pthread_create(&t[i], NULL, finish, mine), 0);
        answers_collect();
    }
    for (int i = 0; i < MANY; i++)
        pthread_join(t[i], NULL);
    answers_collect();
    ck_assert_uint_eq(done_count, MANY / 2);
    for (int i = 0; i < MANY; i += 2)
        answer_drop(&a[i]);
    struct mario_answer *late = answer_create(on_done, NULL), *same = late;
    answer_drop(&late);
    answers_close();
    doorbell_fini(&bell);
    mario_answer_done(same);
    ck_assert_uint_eq(done_count, MANY / 2);
}
END_TEST

/* ---- Arguments ---- */

/* Goal: arguments are read by their keys in any order, and what is wrong with one is said. */
START_TEST(arguments)
{
    static const char *const argv[] = {"one",           "limit=5", "age>2m", "--yes",
                                       "ip=10.0.0.0/8", "1.2.3",   "state=b"};
    static const char *const names[] = {"a", "b"};
    struct mario_answer *a = begin();
    struct args s = args_of(a, 7, argv);
    uint64_t limit = 0, age = 0, id = 0, other = 9;
    uint32_t state = 9;
    struct cidr net;
    const char *word = NULL;
    ck_assert(args_number(&s, "limit=", &limit, 1, 5) && limit == 5);
    ck_assert(!args_number(&s, "limit=", &other, 1, 5) && other == 9);
    ck_assert(args_duration(&s, "age>", &age, 1000) && age == 120);
    ck_assert(args_flag(&s, "--yes") && !args_flag(&s, "--yes"));
    ck_assert(args_cidr(&s, "ip=", &net) && net.bits == 104);
    ck_assert(args_choice(&s, "state=", names, 2, &state) && state == 1);
    ck_assert(args_word(&s, &word) && strcmp(word, "one") == 0);
    ck_assert(args_id(&s, "", &id) && id == (UINT64_C(1) << 56 | UINT64_C(2) << 32 | 3));
    ck_assert(args_good(&s));
    answer_drop(&a);
}
END_TEST

static bool want_number(struct args *s)
{
    uint64_t v;
    return args_number(s, "n=", &v, 1, 10);
}

static bool want_time(struct args *s)
{
    uint64_t v;
    return args_duration(s, "t=", &v, 3600);
}

static bool want_id(struct args *s)
{
    uint64_t v;
    return args_id(s, "", &v);
}

static bool want_net(struct args *s)
{
    struct cidr v;
    return args_cidr(s, "ip=", &v);
}

static bool want_choice(struct args *s)
{
    static const char *const names[] = {"a", "b"};
    uint32_t v;
    return args_choice(s, "c=", names, 2, &v);
}

static const struct {
    bool (*want)(struct args *s);
    const char *word, *says;
} wrong_words[] = {
    {want_number, "n=", "n=: not a number of 1..10"},
    {want_number, "n=0", "n=0: not a number of 1..10"},
    {want_number, "n=11", "n=11: not a number of 1..10"},
    {want_number, "n=5x", "n=5x: not a number of 1..10"},
    {want_number, "n=-5", "n=-5: not a number of 1..10"},
    {want_number, "n=18446744073709551621", "n=18446744073709551621: not a number of 1..10"},
    {want_number, "m=5", "'m=5' is not understood here"},
    {want_time, "t=61m", "t=61m: not a time"},
    {want_time, "t=1.5h", "t=1.5h: not a time"},
    {want_time, "t=5x", "t=5x: not a time"},
    {want_time, "t=m", "t=m: not a time"},
    {want_id, "1.2", "1.2: not a connection's id"},
    {want_id, "1.2.3.4", "1.2.3.4: not a connection's id"},
    {want_id, "256.0.0", "256.0.0: not a connection's id"},
    {want_id, "0.16777216.0", "0.16777216.0: not a connection's id"},
    {want_id, "0.0.4294967296", "0.0.4294967296: not a connection's id"},
    {want_net, "ip=10.0.0.1/8", "ip='10.0.0.1/8' "},
    {want_net, "ip=x", "ip='x' "},
    {want_choice, "c=c", "c=c: none of a, b"},
};

START_TEST(wrong_arguments)
{
    const char *argv[] = {wrong_words[_i].word};
    struct mario_answer *a = begin();
    struct args s = args_of(a, 1, argv);
    ck_assert(!wrong_words[_i].want(&s));
    ck_assert(!args_good(&s));
    ck_assert_int_eq(answer_status(a), ANSWER_USAGE);
    ck_assert_msg(strncmp(answer_error(a), wrong_words[_i].says, strlen(wrong_words[_i].says)) == 0, "'%s'",
                  answer_error(a));
    answer_drop(&a);
}
END_TEST

/* ---- Bodies ---- */

static const struct {
    const char *body;
    int words; /* -1: wrong */
    const char *last;
} bodies[] = {
    {"{}", 0, NULL},
    {" { \"args\" : [ ] } \r\n", 0, NULL},
    {"{\"args\": [\"a\", \"b c\"]}", 2, "b c"},
    {"{\"args\":[\"\\\"\\\\\\/\"]}", 1, "\"\\/"},
    {"{\"args\":[\"\\u00e4\\u20ac\\u0041\"]}", 1,
     "\xc3\xa4\xe2\x82\xac"
     "A"},
    {"", -1, NULL},
    {"{", -1, NULL},
    {"[]", -1, NULL},
    {"{\"args\": \"a\"}", -1, NULL},
    {"{\"args\": [1]}", -1, NULL},
    {"{\"args\": [\"a\",]}", -1, NULL},
    {"{\"args\": [\"a\"]", -1, NULL},
    {"{\"args\": [\"a\"]} x", -1, NULL},
    {"{\"args\": [\"a\"], \"x\": 1}", -1, NULL},
    {"{\"arg\": []}", -1, NULL},
    {"{\"args\": [\"\\n\"]}", -1, NULL},
    {"{\"args\": [\"\\u0000\"]}", -1, NULL},
    {"{\"args\": [\"\\ud800\"]}", -1, NULL},
    {"{\"args\": [\"\\u12\"]}", -1, NULL},
    {"{\"args\": [\"\\x\"]}", -1, NULL},
    {"{\"args\": [\"\t\"]}", -1, NULL},
    {"{\"args\": [\"\xff\"]}", -1, NULL},
};

START_TEST(each_body)
{
    struct words w = {.count = 0};
    const char *wrong = words_of_body(&w, bodies[_i].body, strlen(bodies[_i].body));
    ck_assert_msg((wrong == NULL) == (bodies[_i].words >= 0), "'%s': %s", bodies[_i].body, wrong);
    if (wrong != NULL)
        return;
    ck_assert_int_eq((int) w.count, bodies[_i].words);
    if (bodies[_i].last != NULL)
        ck_assert_str_eq(w.word[w.count - 1], bodies[_i].last);
}
END_TEST

Suite *answer_suite(void)
{
    Suite *s = suite_create("answer");
    TCase *t = unit_case(s, "answer", 10);
    tcase_add_test(t, values);
    tcase_add_test(t, foreign);
    tcase_add_test(t, levels);
    tcase_add_test(t, refused);
    tcase_add_test(t, too_much);
    tcase_add_test(t, later);
    tcase_add_test(t, arguments);
    tcase_add_loop_test(t, wrong_arguments, 0, sizeof wrong_words / sizeof wrong_words[0]);
    tcase_add_loop_test(t, each_body, 0, sizeof bodies / sizeof bodies[0]);
    return s;
}
