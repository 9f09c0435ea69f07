/*
 * test_chat.c: the server of example/chat: talking, history, presence, second logins, clients that mean no good, slow
 * readers, the stop; and thousands of robots that check all that they hear. Its client is in test_chat_client.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chatter.h"

static const char *const fast[] = {"-r", "3600", NULL};

/* ---- Talking ---- */

/* Goal: all who are in a room hear each line, the speaker too, with numbers that have no gap; others hear nothing.
 * Two rooms are apart. Who has left hears no more. */
START_TEST(a_room_hears_each_line)
{
    struct server s;
    struct chat_joined j;
    struct chat_word left;
    chatter_start(&s, fast);
    int ada = chatter_enter(&s, "ada"), bob = chatter_enter(&s, "bob"), cyd = chatter_enter(&s, "cyd");
    int tea[] = {ada, bob}, milk[] = {cyd, bob}, alone[] = {ada};
    chatter_join(ada, "tea", &j);
    ck_assert_uint_eq(j.first, 1);
    ck_assert_uint_eq(j.next, 1);
    chatter_join(bob, "tea", &j);
    ck_assert_uint_eq(j.members, 2);
    chatter_join(cyd, "milk", NULL);
    chatter_join(bob, "milk", NULL);
    for (uint32_t i = 1; i <= 30; i++) {
        chatter_say(tea, 2, "tea", "black or green?", i);
        chatter_say(milk, 2, "milk", "in first", i);
    }
    chatter_ask(ada, CHAT_SAY, "milk", "hello?");
    chatter_await_sorry(ada, CHAT_SAY, CHAT_WHY_NOT_IN);
    chatter_ask(bob, CHAT_LEAVE, "tea", NULL);
    chatter_await(bob, CHAT_LEFT, &left, sizeof left);
    chatter_ask(bob, CHAT_LEAVE, "tea", NULL);
    chatter_await_sorry(bob, CHAT_LEAVE, CHAT_WHY_NOT_IN);
    chatter_say(alone, 1, "tea", "bob?", 31);
    chatter_say(milk, 2, "milk", "\xe4\xbd\xa0\xe5\xa5\xbd", 31); /* and nothing of tea is before it */
    close(ada);
    close(bob);
    close(cyd);
    server_finish(&s);
}
END_TEST

static void hear_history(int fd, uint32_t first, uint32_t next)
{
    char text[32];
    for (uint32_t i = first; i < next; i++) {
        snprintf(text, sizeof text, "line %u", i);
        chatter_hear(fd, "tea", "ada", text, i);
    }
}

/* Goal: who joins gets the last 50 lines and those that follow, with no seam; also when all had left in between. To
 * join twice brings nothing twice. */
START_TEST(history_has_no_seam)
{
    static const uint32_t lengths[] = {0, 1, 49, 50, 51, 60, 120};
    struct server s;
    struct chat_joined j;
    char text[32];
    uint32_t said = 0;
    chatter_start(&s, fast);
    int ada = chatter_enter(&s, "ada");
    chatter_join(ada, "tea", NULL);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (; said < lengths[i]; said++) {
            snprintf(text, sizeof text, "line %u", said + 1);
            chatter_say(&ada, 1, "tea", text, said + 1);
        }
        int bob = chatter_enter(&s, "bob");
        chatter_join(bob, "tea", &j);
        ck_assert_uint_eq(j.next, said + 1);
        ck_assert_uint_eq(j.first, said > CHAT_HISTORY ? said + 1 - CHAT_HISTORY : 1);
        hear_history(bob, j.first, j.next);
        chatter_join(bob, "tea", &j);
        ck_assert_uint_eq(j.first, j.next);
        snprintf(text, sizeof text, "line %u", ++said);
        int both[] = {ada, bob};
        chatter_say(both, 2, "tea", text, said);
        close(bob);
    }
    close(ada);
    server_wait_fds(&s, s.fds, 5000);
    int cyd = chatter_enter(&s, "cyd");
    chatter_join(cyd, "tea", &j);
    ck_assert_uint_eq(j.members, 1);
    ck_assert_uint_eq(j.next, said + 1);
    hear_history(cyd, said + 1 - CHAT_HISTORY, said + 1);
    close(cyd);
    server_finish(&s);
}
END_TEST

/* Goal: who says where he was gets only what was said since then; with numbers of another server's beginning, or from
 * the future, all there is. */
START_TEST(a_return_brings_what_was_missed)
{
    struct server s;
    struct chat_joined j;
    chatter_start(&s, fast);
    int ada = chatter_enter(&s, "ada"), bob = chatter_enter(&s, "bob");
    chatter_join(ada, "tea", &j);
    ck_assert_uint_ne(j.epoch, 0);
    for (uint32_t i = 1; i <= 9; i++)
        chatter_say(&ada, 1, "tea", "again?", i);
    const struct {
        uint64_t epoch, seen, first;
    } rows[] = {{j.epoch, 5, 6}, {j.epoch, 9, 10}, {j.epoch, 10, 1}, {j.epoch + 1, 5, 1}, {0, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chat_join where = {.epoch = rows[i].epoch, .seen = rows[i].seen};
        struct chat_word left;
        memcpy(where.room, chatter_word("tea"), CHAT_NAME);
        chatter_send(bob, CHAT_JOIN, &where, sizeof where);
        ck_assert_uint_eq(chatter_await(bob, CHAT_JOINED, &j, sizeof j), sizeof j);
        ck_assert_uint_eq(j.first, rows[i].first);
        ck_assert_uint_eq(j.next, 10);
        for (uint32_t line = (uint32_t) rows[i].first; line < 10; line++)
            chatter_hear(bob, "tea", "ada", "again?", line);
        chatter_ask(bob, CHAT_LEAVE, "tea", NULL);
        chatter_await(bob, CHAT_LEFT, &left, sizeof left);
    }
    close(ada);
    close(bob);
    server_finish(&s);
}
END_TEST

/* One private line from `from` must be the next at fd. */
static void hear_private(int fd, const char *from, const char *to, const char *text)
{
    unsigned char bytes[sizeof(struct chat_told) + CHAT_TEXT];
    struct chat_told *told = (struct chat_told *) bytes;
    size_t n = chatter_await(fd, CHAT_TOLD, bytes, sizeof bytes);
    ck_assert_uint_eq(n, sizeof *told + strlen(text));
    ck_assert_mem_eq(told->text, text, strlen(text));
    ck_assert_mem_eq(told->from, chatter_word(from), CHAT_NAME);
    ck_assert_mem_eq(told->to, chatter_word(to), CHAT_NAME);
}

/* Goal: a private line reaches one user and the speaker, once, in order, and nobody else; one for nobody is refused.
 * */
START_TEST(private_lines)
{
    struct server s;
    char text[32];
    chatter_start(&s, fast);
    int ada = chatter_enter(&s, "ada"), bob = chatter_enter(&s, "bob"), cyd = chatter_enter(&s, "cyd");
    for (uint32_t i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "secret %u", i);
        chatter_ask(ada, CHAT_TELL, "bob", text);
    }
    for (uint32_t i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "secret %u", i);
        hear_private(ada, "ada", "bob", text);
        hear_private(bob, "ada", "bob", text);
    }
    chatter_ask(ada, CHAT_TELL, "ada", "note to myself");
    hear_private(ada, "ada", "ada", "note to myself");
    chatter_ask(ada, CHAT_TELL, "nobody", "hello?");
    chatter_await_sorry(ada, CHAT_TELL, CHAT_WHY_NOBODY);
    chatter_ask(cyd, CHAT_TELL, "bob", "I heard nothing"); /* it is the first thing that comes to him */
    hear_private(cyd, "cyd", "bob", "I heard nothing");
    close(ada);
    close(bob);
    close(cyd);
    server_finish(&s);
}
END_TEST

/* The next word about somebody in a room. */
static void expect_presence(int fd, const char *room, const char *user, uint8_t here)
{
    struct chat_presence p;
    static const uint16_t skip[] = {CHAT_PING, 0};
    ck_assert_uint_eq(chatter_recv(fd, CHAT_PRESENCE, skip, &p, sizeof p), sizeof p);
    ck_assert_mem_eq(p.room, chatter_word(room), CHAT_NAME);
    ck_assert_mem_eq(p.user, chatter_word(user), CHAT_NAME);
    ck_assert_uint_eq(p.here, here);
}

/* Goal: who comes and goes is said to those in the room, once, also if he goes without a word; /names, /who and
 * /rooms say the same; a room has its limit of rooms for each. */
START_TEST(presence_and_questions)
{
    unsigned char bytes[4096];
    struct server s;
    chatter_start(&s, fast);
    int ada = chatter_enter(&s, "ada"), bob = chatter_enter(&s, "bob");
    chatter_join(ada, "tea", NULL);
    chatter_join(bob, "tea", NULL);
    expect_presence(ada, "tea", "bob", 1);
    chatter_ask(ada, CHAT_NAMES, "tea", NULL);
    struct chat_named *named = (struct chat_named *) bytes;
    ck_assert_uint_eq(chatter_await(ada, CHAT_NAMED, bytes, sizeof bytes), sizeof *named + 2 * CHAT_NAME);
    ck_assert_uint_eq(named->members, 2);
    ck_assert_mem_eq(named->names[0], chatter_word("bob"), CHAT_NAME);
    ck_assert_mem_eq(named->names[1], chatter_word("ada"), CHAT_NAME);
    struct chat_found *found = (struct chat_found *) bytes;
    chatter_ask(ada, CHAT_WHO, "bob", NULL);
    ck_assert_uint_eq(chatter_await(ada, CHAT_FOUND, bytes, sizeof bytes), sizeof *found + CHAT_NAME);
    ck_assert_mem_eq(found->rooms[0], chatter_word("tea"), CHAT_NAME);
    chatter_send(ada, CHAT_ROOMS, NULL, 0);
    struct chat_listed *listed = (struct chat_listed *) bytes;
    ck_assert_uint_eq(chatter_await(ada, CHAT_LISTED, bytes, sizeof bytes),
                      sizeof *listed + sizeof listed->each[0]);
    ck_assert_uint_eq(listed->each[0].members, 2);
    client_reset(bob);
    expect_presence(ada, "tea", "bob", 0);
    chatter_ask(ada, CHAT_WHO, "bob", NULL);
    chatter_await_sorry(ada, CHAT_WHO, CHAT_WHY_NOBODY);
    chatter_ask(ada, CHAT_NAMES, "elsewhere", NULL);
    chatter_await_sorry(ada, CHAT_NAMES, CHAT_WHY_NOBODY);
    for (uint32_t i = 2; i <= CHAT_SEATS; i++) {
        char room[CHAT_NAME + 1];
        snprintf(room, sizeof room, "room-%u", i);
        chatter_join(ada, room, NULL);
    }
    chatter_ask(ada, CHAT_JOIN, "one-more", NULL);
    chatter_await_sorry(ada, CHAT_JOIN, CHAT_WHY_TOO_MANY);
    chatter_join(ada, "tea", NULL); /* where one is already */
    close(ada);
    server_finish(&s);
}
END_TEST

/* Goal: the old one of two connections is told, then it ends; the new one has the name, and the old one's end takes
 * nothing from it. Often, and with several at the same time: one stays. */
START_TEST(a_second_login_replaces_the_first)
{
    enum { TIMES = 100, AT_ONCE = 8 };
    struct server s;
    unsigned char bytes[1024];
    chatter_start(&s, fast);
    int bob = chatter_enter(&s, "bob"), ada = chatter_enter(&s, "ada");
    chatter_join(bob, "tea", NULL);
    chatter_join(ada, "tea", NULL);
    for (unsigned i = 0; i < TIMES; i++) {
        int again = chatter_enter(&s, "ada");
        chatter_await_bye(ada, CHAT_WHY_REPLACED);
        ada = again;
        chatter_join(ada, "tea", NULL);
    }
    chatter_ask(bob, CHAT_TELL, "ada", "still you?");
    hear_private(ada, "bob", "ada", "still you?");
    hear_private(bob, "bob", "ada", "still you?");
    int all[AT_ONCE];
    for (unsigned i = 0; i < AT_ONCE; i++) {
        all[i] = client_open(&s);
        chatter_ask(all[i], CHAT_LOGIN, "ada", NULL);
    }
    server_wait_fds(&s, s.fds + 2, 5000); /* bob, and one of them */
    chatter_await_bye(ada, CHAT_WHY_REPLACED);
    chatter_ask(bob, CHAT_TELL, "ada", "which?");
    hear_private(bob, "bob", "ada", "which?");
    unsigned heard = 0;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        ptrdiff_t n = net_recv_wait(all[i], bytes, sizeof bytes, mono_ns() + 100 * NS_PER_MS);
        heard += n < 0; /* it is still there */
        close(all[i]);
    }
    ck_assert_uint_eq(heard, 1);
    close(bob);
    server_finish(&s);
}
END_TEST

/* ---- Clients that mean no good ---- */

#define WORD(text) text "\0\0\0\0\0\0\0\0\0\0\0"

static const struct {
    bool logs_in;
    uint16_t what;
    const char *data;
    size_t len;
} bad[] = {
    /* Before LOGIN. */
    {false, CHAT_JOIN, WORD("a"), 12},
    {false, CHAT_SAY, WORD("a") "hello", 17},
    {false, CHAT_TELL, WORD("a") "hello", 17},
    {false, CHAT_ROOMS, "", 0},
    {false, CHAT_QUIT, "", 0},
    {false, CHAT_PONG, "", 0},
    /* Names that are none. */
    {false, CHAT_LOGIN, "", 0},
    {false, CHAT_LOGIN, WORD("a"), 11},
    {false, CHAT_LOGIN, WORD("a") "\0", 13},
    {false, CHAT_LOGIN, "\0\0\0\0\0\0\0\0\0\0\0\0", 12},
    {false, CHAT_LOGIN, "\0a\0\0\0\0\0\0\0\0\0\0", 12},
    {false, CHAT_LOGIN, "a\0a\0\0\0\0\0\0\0\0\0", 12},
    {false, CHAT_LOGIN, WORD("A"), 12},
    {false, CHAT_LOGIN, "a b\0\0\0\0\0\0\0\0\0", 12},
    {false, CHAT_LOGIN, "\xc3\xa9\0\0\0\0\0\0\0\0\0\0", 12},
    {false, CHAT_LOGIN, "\x1b[2J\0\0\0\0\0\0\0\0", 12},
    /* What a request has too much or too little. */
    {true, CHAT_LOGIN, WORD("a"), 12},
    {true, CHAT_JOIN, "", 0},
    {true, CHAT_JOIN, WORD("a"), 11},
    {true, CHAT_JOIN, WORD("a") "b", 13},
    {true, CHAT_JOIN, "#a\0\0\0\0\0\0\0\0\0\0", 12},
    {true, CHAT_LEAVE, WORD("a") "b", 13},
    {true, CHAT_SAY, WORD("a"), 12},
    {true, CHAT_SAY, WORD("a"), 3},
    {true, CHAT_TELL, WORD("a"), 12},
    {true, CHAT_NAMES, "", 0},
    {true, CHAT_WHO, WORD("a") "b", 13},
    {true, CHAT_ROOMS, "a", 1},
    {true, CHAT_QUIT, "a", 1},
    {true, CHAT_PONG, "a", 1},
    {true, 0x0200, "", 0},
    {true, CHAT_SAID, WORD("a") WORD("b") "12345678hello", 37},
    /* Texts that are none: cut, too long forms, half pairs, beyond Unicode, what moves a cursor or turns a line. */
    {true, CHAT_SAY, WORD("a") "\xe4\xbd", 14},
    {true, CHAT_SAY, WORD("a") "\xe4\xbd ", 15},
    {true, CHAT_SAY, WORD("a") "\xbd", 13},
    {true, CHAT_SAY, WORD("a") "\xc0\xaf", 14},
    {true, CHAT_SAY, WORD("a") "\xe0\x80\xaf", 15},
    {true, CHAT_SAY, WORD("a") "\xf0\x80\x80\xaf", 16},
    {true, CHAT_SAY, WORD("a") "\xed\xa0\x80", 15},
    {true, CHAT_SAY, WORD("a") "\xf4\x90\x80\x80", 16},
    {true, CHAT_SAY, WORD("a") "\xff", 13},
    {true, CHAT_SAY, WORD("a") "\x1b[2J", 16},
    {true, CHAT_SAY, WORD("a") "a\nb", 15},
    {true, CHAT_SAY, WORD("a") "a\0b", 15},
    {true, CHAT_SAY, WORD("a") "\x7f", 13},
    {true, CHAT_SAY, WORD("a") "\xc2\x9b", 14},
    {true, CHAT_SAY, WORD("a") "\xe2\x80\xae", 15},
    {true, CHAT_TELL, WORD("a") "\xe4\xbd", 14},
};

/* Goal: whatever breaks the protocol ends the connection, nothing of it reaches anybody, and others talk on. */
START_TEST(bad_input_ends_the_connection)
{
    static char huge[4096];
    struct server s;
    chatter_start(&s, fast);
    int ada = chatter_enter(&s, "ada");
    chatter_join(ada, "a", NULL);
    uint32_t number = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = bad[i].logs_in ? chatter_enter(&s, "mallory") : client_open(&s);
        if (bad[i].logs_in)
            chatter_join(fd, "b", NULL);
        chatter_send(fd, bad[i].what, bad[i].data, bad[i].len);
        size_t extra;
        enum ending how = client_ending(fd, &extra, 5000);
        ck_assert_msg(how == END_FIN && extra == 0, "row %zu: ending %d after %zu bytes", i, how, extra);
        close(fd);
        chatter_say(&ada, 1, "a", "still here", number++);
    }
    memset(huge, 'x', sizeof huge);
    memcpy(huge, WORD("a"), CHAT_NAME);
    for (size_t len = CHAT_NAME + CHAT_TEXT + 1; len < sizeof huge; len *= 2) {
        int fd = chatter_enter(&s, "mallory");
        chatter_send(fd, CHAT_SAY, huge, len);
        ck_assert_int_ne(client_ending(fd, NULL, 5000), END_TIMEOUT);
        close(fd);
    }
    huge[CHAT_NAME + CHAT_TEXT] = '\0';
    chatter_say(&ada, 1, "a", huge + CHAT_NAME, number++); /* as long as it may be */
    close(ada);
    server_finish(&s);
}
END_TEST

/* Goal: who floods is told so, what is too much is dropped, and in the end so is he; the room hears his burst and no
 * more, and others' lines between. */
START_TEST(a_flood_is_stopped)
{
    static const char *const args[] = {"-r", "1", NULL}; /* ten at once */
    enum { FLOOD = 500 };
    struct server s;
    unsigned char bytes[sizeof(struct chat_said) + CHAT_TEXT];
    chatter_start(&s, args);
    int ada = chatter_enter(&s, "ada"), mallory = chatter_enter(&s, "mallory");
    chatter_join(ada, "tea", NULL);
    chatter_join(mallory, "tea", NULL);
    unsigned char flood[FLOOD * (WIRE_HEAD_LEN + CHAT_NAME + 1)];
    size_t each = WIRE_HEAD_LEN + CHAT_NAME + 1;
    for (unsigned i = 0; i < FLOOD; i++) {
        wire_put_head(flood + i * each,
                      (struct wire_head){.stx = CHAT_STX, .pkglen = (uint16_t) each, .akg_id = CHAT_SAY});
        memcpy(flood + i * each + WIRE_HEAD_LEN, chatter_word("tea"), CHAT_NAME);
        flood[(i + 1) * each - 1] = '!';
    }
    client_send(mallory, flood, sizeof flood);
    chatter_await_bye(mallory, CHAT_WHY_FLOOD);
    chatter_ask(ada, CHAT_SAY, "tea", "quiet now");
    unsigned heard = 0;
    size_t n;
    while ((n = chatter_await(ada, CHAT_SAID, bytes, sizeof bytes)) == sizeof(struct chat_said) + 1)
        heard++;
    ck_assert_msg(heard >= 9 && heard <= 12, "%u lines of the flood were heard", heard);
    ck_assert_uint_eq(n, sizeof(struct chat_said) + strlen("quiet now"));
    close(ada);
    server_finish(&s);
}
END_TEST

/* Goal: who does not log in is told so, and ends, also if he sends half of it; not before the time. Who has, is asked
 * whether he is there. */
START_TEST(late_and_pinged)
{
    static const char *const args[] = {"-l", "1", "-p", "1", NULL};
    struct server s;
    chatter_start(&s, args);
    uint64_t began = mono_ns();
    int silent = client_open(&s), half = client_open(&s);
    client_send(half, "CHT1", 4);
    int ada = chatter_enter(&s, "ada");
    for (unsigned i = 0; i < 2; i++) {
        chatter_await(ada, CHAT_PING, NULL, 0);
        chatter_send(ada, CHAT_PONG, NULL, 0);
    }
    chatter_await_bye(silent, CHAT_WHY_LATE);
    ck_assert(mono_ns() - began >= NS_PER_S);
    chatter_await_bye(half, CHAT_WHY_LATE);
    chatter_ask(ada, CHAT_TELL, "ada", "still here");
    hear_private(ada, "ada", "ada", "still here");
    close(ada);
    server_finish(&s);
}
END_TEST

/* ---- Slow readers, the stop ---- */

/* What a slow reader finds in the end: lines in order, with gaps, up to the last one; of each user no more than he
 * needs to know; all private ones. */
static void read_late(int fd, uint32_t last, uint32_t privates)
{
    unsigned char bytes[sizeof(struct chat_told) + CHAT_TEXT + 64], head[WIRE_HEAD_LEN];
    uint32_t number = 0, lines = 0, told = 0;
    int size = 1 << 20; /* with so small a window as it had it would take a while */
    ck_assert(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
    while (number < last || told < privates) {
        client_recv(fd, head, sizeof head);
        struct wire_head h = wire_get_head(head);
        ck_assert_uint_eq(h.stx, CHAT_STX);
        ck_assert_uint_le(h.pkglen - WIRE_HEAD_LEN, sizeof bytes);
        client_recv(fd, bytes, h.pkglen - WIRE_HEAD_LEN);
        if (h.akg_id == CHAT_SAID) {
            uint32_t next = ((struct chat_said *) bytes)->number;
            ITEST_ASSERT(next > number, "line %u after %u", next, number);
            number = next;
            lines++;
        } else if (h.akg_id == CHAT_TOLD) {
            told++;
        }
    }
    ck_assert_uint_eq(told, privates);
    ck_assert_msg(lines < last, "nothing was dropped: all %u lines came", last);
}

/* Goal: who does not read loses lines, which he can see from their numbers, but nothing private; the speaker and the
 * others do not notice. */
START_TEST(a_slow_reader_misses_lines)
{
    enum { LINES = 3000, PRIVATES = 20 };
    struct server s;
    char text[CHAT_TEXT + 1];
    chatter_start(&s, fast);
    int slow = client_open_narrow(&s), ada = chatter_enter(&s, "ada"), bob = chatter_enter(&s, "bob");
    chatter_ask(slow, CHAT_LOGIN, "slow", NULL);
    chatter_await(slow, CHAT_WELCOME, text, sizeof text);
    chatter_join(slow, "tea", NULL);
    chatter_join(ada, "tea", NULL);
    chatter_join(bob, "tea", NULL);
    memset(text, 'x', CHAT_TEXT);
    text[CHAT_TEXT] = '\0';
    for (uint32_t i = 1; i <= LINES; i++) {
        chatter_ask(ada, CHAT_SAY, "tea", text);
        if (i % (LINES / PRIVATES) == 0) {
            for (uint32_t n = i + 1 - LINES / PRIVATES; n <= i; n++) {
                chatter_hear(ada, "tea", "ada", text, n);
                chatter_hear(bob, "tea", "ada", text, n);
            }
            chatter_ask(bob, CHAT_TELL, "slow", "wake up");
            hear_private(bob, "bob", "slow", "wake up");
        }
    }
    read_late(slow, LINES, PRIVATES);
    close(slow);
    close(ada);
    close(bob);
    server_finish(&s);
    ck_assert_uint_gt(server_counter(&s, "push_dropped_oldest"), 0);
    ck_assert_uint_eq(server_counter(&s, "closed_slow_consumer"), 0);
}
END_TEST

/* Goal: a stop tells everybody, who is logged in and who is not; QUIT is answered, behind all that was asked before.
 * */
START_TEST(the_stop_is_said)
{
    struct server s;
    unsigned char bytes[1024];
    chatter_start(&s, fast);
    int silent = client_open(&s), ada = chatter_enter(&s, "ada"), bob = chatter_enter(&s, "bob");
    chatter_join(ada, "tea", NULL);
    chatter_join(bob, "tea", NULL);
    chatter_send(bob, CHAT_ROOMS, NULL, 0);
    chatter_send(bob, CHAT_QUIT, NULL, 0);
    chatter_await(bob, CHAT_LISTED, bytes, sizeof bytes);
    chatter_await_bye(bob, CHAT_WHY_ASKED);
    server_signal(&s, SIGTERM);
    chatter_await_bye(ada, CHAT_WHY_STOPS);
    chatter_await_bye(silent, CHAT_WHY_STOPS);
    server_wait_exit(&s, 5000);
    server_check(&s);
}
END_TEST

/* ---- Robots ---- */

/* Goal: thousands log in, join, talk, leave, come back, log in a second time; each hears everything once, in order,
 * and the same as all others; the ledger of the server is exact. */
START_TEST(thousands_of_robots)
{
    struct server s;
    char count[16], rooms[16], address[32], out[4096], err[1024];
    unsigned robots = ITEST_SLOW > 1 ? 2500 / ITEST_SLOW : 5000;
    snprintf(count, sizeof count, "%u", robots);
    snprintf(rooms, sizeof rooms, "%u", robots / 25);
    chatter_start(&s, fast);
    snprintf(address, sizeof address, "127.0.0.1:%u", s.port);
    const char *const args[] = {"-n", count, "-s", address, "-g", rooms,
                                "-l", "2",   "-i", "200",   "-t", ITEST_SLOW > 1 ? "100" : "35",
                                NULL};
    int code = itest_run(&(struct launch){.program = "chat-robots", .args = args, .bare = true}, out,
                         sizeof out, err, sizeof err);
    ck_assert_msg(code == 0, "the robots ended with %d: %s%s", code, out, err);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_pending"), 0);
    ck_assert_uint_eq(server_counter(&s, "push_targets"),
                      server_counter(&s, "push_sent") + server_counter(&s, "push_dropped_oldest") +
                          server_counter(&s, "push_dropped_newest") + server_counter(&s, "push_coalesced") +
                          server_counter(&s, "push_dropped_closed"));
}
END_TEST

Suite *chat_suite(void)
{
    Suite *s = suite_create("chat");
    TCase *c = itest_case(s, "talk", 20);
    tcase_add_test(c, a_room_hears_each_line);
    tcase_add_test(c, history_has_no_seam);
    tcase_add_test(c, a_return_brings_what_was_missed);
    tcase_add_test(c, private_lines);
    tcase_add_test(c, presence_and_questions);
    tcase_add_test(c, a_second_login_replaces_the_first);
    c = itest_case(s, "bad", 20);
    tcase_add_test(c, bad_input_ends_the_connection);
    tcase_add_test(c, a_flood_is_stopped);
    tcase_add_test(c, late_and_pinged);
    c = itest_case(s, "slow", 30);
    tcase_add_test(c, a_slow_reader_misses_lines);
    tcase_add_test(c, the_stop_is_said);
    c = itest_case(s, "robots", 40);
    tcase_add_test(c, thousands_of_robots);
    return s;
}
