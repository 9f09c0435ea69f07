/*
 * test_registry.c: registering functions, inline and offloaded: what is taken, what is refused and what is said.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mario/exec/registry.h"
#include "mario/frame/framings.h"
#include "mario/mario_compat.h"
#include "unit.h"

static sint32 f(CONN *c)
{
    return c == NULL;
}

static sint32 g(CONN *c)
{
    return c != NULL;
}

/* What a call wrote to standard error. */
static char said[512];
static int saved_stderr;
static FILE *catcher;

static void catch_begin(void)
{
    fflush(stderr);
    catcher = tmpfile();
    ck_assert_ptr_nonnull(catcher);
    saved_stderr = dup(STDERR_FILENO);
    dup2(fileno(catcher), STDERR_FILENO);
}

static void catch_end(void)
{
    fflush(stderr);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    rewind(catcher);
    said[fread(said, 1, sizeof said - 1, catcher)] = '\0';
    fclose(catcher);
}

/* Refused, with this one line. */
static void refused(sint32 (*regist)(uint16, FUNC_PTR), uint16 id, FUNC_PTR func, const char *line)
{
    catch_begin();
    sint32 rc = regist(id, func);
    catch_end();
    ck_assert_int_eq(rc, -1);
    ck_assert_str_eq(said, line);
}

START_TEST(offloads_once)
{
    ck_assert_int_eq(regist_akg_func_offload(0x10, f), 0);
    ck_assert_int_eq(regist_akg_func_offload_concurrent(0xfffb, g), 0);
    ck_assert(registry_functions()[0x10] == registry_offloaded &&
              registry_functions()[0xfffb] == registry_offloaded);
    ck_assert(registry_offload_function(0x10) == f && !registry_offload_is_concurrent(0x10));
    ck_assert(registry_offload_function(0xfffb) == g && registry_offload_is_concurrent(0xfffb));
    ck_assert_uint_eq(registry_offload_count(), 2);
    ck_assert_uint_eq(registry_offload_first(), 0x10);
    refused(regist_akg_func_offload, 0x10, g,
            "mario: function 0x0010 cannot be registered: it is offloaded already\n");
    refused(regist_akg_func_offload_concurrent, 0x10, f,
            "mario: function 0x0010 cannot be registered: it is offloaded already\n");
    refused(regist_akg_func, 0x10, f,
            "mario: function 0x0010 cannot be registered: it is offloaded already\n");
    ck_assert(registry_offload_function(0x10) == f);
}
END_TEST

START_TEST(offloads_no_inline_one)
{
    ck_assert_int_eq(regist_akg_func(7, f), 0);
    ck_assert_int_eq(regist_akg_func(7, g), 0); /* inline replaces inline, as ever */
    refused(regist_akg_func_offload, 7, f,
            "mario: function 0x0007 cannot be registered: it is registered already, inline\n");
    ck_assert(registry_functions()[7] == g);
    ck_assert_uint_eq(registry_offload_count(), 0);
}
END_TEST

START_TEST(null_removes)
{
    ck_assert_int_eq(regist_akg_func_offload_concurrent(7, f), 0);
    ck_assert_int_eq(regist_akg_func(7, NULL), 0);
    ck_assert(registry_functions()[7] == NULL && registry_offload_count() == 0);
    ck_assert_int_eq(regist_akg_func_offload(7, g), 0);
    ck_assert(!registry_offload_is_concurrent(7));
    ck_assert_int_eq(regist_akg_func(7, NULL), 0);
    ck_assert_int_eq(regist_akg_func(7, f), 0);
    ck_assert(registry_functions()[7] == f);
}
END_TEST

START_TEST(refuses_the_reserved)
{
    for (uint32_t id = AKG_FIRST_RESERVED; id < AKG_IDS; id++) {
        char line[128];
        snprintf(
            line, sizeof line,
            "mario: function 0x%04x cannot be registered: the id is reserved (allowed: 0x0000..0xfffb)\n",
            (unsigned) id);
        refused(regist_akg_func_offload, (uint16) id, f, line);
        refused(regist_akg_func_offload_concurrent, (uint16) id, f, line);
        ck_assert_int_eq(regist_akg_func((uint16) id, f), -1);
        ck_assert_ptr_null(registry_functions()[id]);
    }
}
END_TEST

START_TEST(refuses_null_and_late_ones)
{
    refused(regist_akg_func_offload, 7, NULL,
            "mario: function 0x0007 cannot be registered: there is none to be offloaded (NULL)\n");
    registry_freeze();
    refused(regist_akg_func_offload, 7, f, "mario: function 0x0007 cannot be registered: the server runs\n");
    refused(regist_akg_func_offload_concurrent, 7, f,
            "mario: function 0x0007 cannot be registered: the server runs\n");
    registry_thaw();
    ck_assert_uint_eq(registry_offload_count(), 0);
    ck_assert_int_eq(regist_akg_func_offload(7, f), 0);
}
END_TEST

/* Goal: what an application writes into the table itself counts from the start on, as functions and as hooks, and what
 * it takes out is gone. */
START_TEST(takes_what_is_written)
{
    CONN *none = NULL;
    AKG_FUNC[7] = f;
    AKG_FUNC[0xfffb] = f;
    AKG_FUNC[g_akg_connected_id] = f;
    AKG_FUNC[g_akg_error_id] = f;
    ck_assert_int_eq(regist_akg_func(8, g), 0);
    ck_assert_int_eq(regist_closed_func(g), 0);
    ck_assert(AKG_FUNC[8] == g && AKG_FUNC[g_akg_closed_id] == g);
    AKG_FUNC[8] = NULL;
    g_stx = 5;
    refused(regist_akg_func_offload, 7, f,
            "mario: function 0x0007 cannot be registered: it is registered already, inline\n");
    ck_assert_int_eq(regist_akg_func_offload(9, f), 0);
    ck_assert_int_eq(regist_akg_func_offload(10, f), 0);
    AKG_FUNC[10] = g;
    registry_freeze();
    const FUNC_PTR *functions = registry_functions();
    ck_assert(functions[7] == f && functions[0xfffb] == f && functions[8] == NULL);
    ck_assert(functions[9] == registry_offloaded && AKG_FUNC[9] == NULL);
    ck_assert(functions[10] == g && registry_offload_count() == 1);
    ck_assert(functions[g_akg_connected_id] == NULL && functions[g_akg_error_id] == NULL);
    ck_assert_int_eq(registry_run_hook(g_akg_connected_id, none), 1);
    ck_assert_int_eq(registry_run_hook(g_akg_error_id, none), 1);
    ck_assert_int_eq(registry_run_hook(g_akg_timeout_id, none), 0);
    ck_assert_uint_eq(registry_stx(), 5);
    AKG_FUNC[11] = f; /* too late */
    ck_assert_ptr_null(functions[11]);
    registry_thaw();
    ck_assert_int_eq(regist_stx(6), 0);
    ck_assert_uint_eq(g_stx, 6);
}
END_TEST

/* ---- Framings and words ---- */

static enum mario_frame_answer next(const struct mario_framing *framing, void *state, ubyte *data, uint32 n,
                                    uint32 seen, struct mario_frame *frame)
{
    return framing == NULL && state == NULL && data == NULL && n == seen && frame == NULL ? MARIO_FRAME_OK
                                                                                          : MARIO_FRAME_BAD;
}

static void framing_refused(const struct mario_framing *framing, const char *line)
{
    catch_begin();
    sint32 rc = regist_framing(framing);
    catch_end();
    ck_assert_int_eq(rc, -1);
    ck_assert_str_eq(said, line);
}

START_TEST(framings)
{
    static const struct mario_framing good = {.name = "own", .next = next, .max = 65535, .state_size = 64};
    struct mario_framing wrong = good;
    ck_assert_int_eq(regist_framing(&good), 0);
    ck_assert_int_eq(regist_framing(&good), 0); /* replaced */
    wrong.name = "line";
    framing_refused(&wrong,
                    "mario: framing 'line' cannot be registered: there is one of that name, built in\n");
    wrong.name = "Own";
    framing_refused(&wrong,
                    "mario: framing 'Own' cannot be registered: its name cannot be (allowed: 1..31 of a-z, "
                    "0-9, _, -)\n");
    wrong.name = NULL;
    framing_refused(&wrong,
                    "mario: framing '' cannot be registered: its name cannot be (allowed: 1..31 of a-z, 0-9, "
                    "_, -)\n");
    wrong = good;
    wrong.next = NULL;
    framing_refused(&wrong, "mario: framing 'own' cannot be registered: it has no next\n");
    wrong = good;
    wrong.max = 0;
    framing_refused(&wrong,
                    "mario: framing 'own' cannot be registered: max is out of range (allowed: 1..65535)\n");
    wrong.max = 65536;
    framing_refused(&wrong,
                    "mario: framing 'own' cannot be registered: max is out of range (allowed: 1..65535)\n");
    wrong = good;
    wrong.state_size = 65;
    framing_refused(
        &wrong, "mario: framing 'own' cannot be registered: state_size is out of range (allowed: 0..64)\n");
    framing_refused(NULL, "mario: framing '' cannot be registered: there is none\n");
    registry_freeze();
    framing_refused(&good, "mario: framing 'own' cannot be registered: the server runs\n");
    registry_thaw();
    for (int i = 1; i < 32; i++) {
        static char name[32][8]; /* it stays */
        snprintf(name[i], sizeof name[i], "own%d", i);
        wrong = good;
        wrong.name = name[i];
        ck_assert_int_eq(regist_framing(&wrong), 0);
    }
    wrong.name = "more";
    framing_refused(&wrong, "mario: framing 'more' cannot be registered: there are too many (allowed: 32)\n");
    ck_assert_int_eq(regist_framing(&good), 0); /* one that is there may still be replaced */
}
END_TEST

static void word_refused(const char *word, uint16 id, const char *line)
{
    catch_begin();
    sint32 rc = regist_word_func(word, id, f);
    catch_end();
    ck_assert_int_eq(rc, -1);
    ck_assert_str_eq(said, line);
}

START_TEST(words)
{
    uint16_t id;
    ck_assert(!word_is_any());
    ck_assert_int_eq(regist_word_func("get", 0x20, f), 0);
    ck_assert(word_is_any());
    ck_assert_int_eq(regist_akg_func_offload(0x21, f), 0);
    ck_assert_int_eq(regist_word_func("put", 0x21, NULL), 0); /* what is registered stays */
    ck_assert(registry_functions()[0x20] == f && registry_functions()[0x21] == registry_offloaded);
    ck_assert(word_find("get", 3, &id) && id == 0x20 && word_find("put", 3, &id) && id == 0x21);
    word_refused(
        "two words", 1,
        "mario: word 'two words' cannot be registered: it is no word (allowed: 1..64 printable ASCII "
        "characters without blanks)\n");
    word_refused("get", 0xfffc,
                 "mario: word 'get' cannot be registered: its id is reserved (allowed: 0x0000..0xfffb)\n");
    word_refused(NULL, 1, "mario: word '' cannot be registered: there is none\n");
    word_refused("put", 0x21, "mario: function 0x0021 cannot be registered: it is offloaded already\n");
    registry_freeze();
    word_refused("late", 1, "mario: word 'late' cannot be registered: the server runs\n");
    registry_thaw();
    ck_assert(word_find("get", 3, &id) && id == 0x20 && !word_find("late", 4, &id));
}
END_TEST

Suite *registry_suite(void)
{
    Suite *s = suite_create("registry");
    TCase *c = unit_case(s, "register", 5);
    tcase_add_test(c, offloads_once);
    tcase_add_test(c, offloads_no_inline_one);
    tcase_add_test(c, null_removes);
    tcase_add_test(c, refuses_the_reserved);
    tcase_add_test(c, refuses_null_and_late_ones);
    tcase_add_test(c, takes_what_is_written);
    tcase_add_test(c, framings);
    tcase_add_test(c, words);
    return s;
}
