/*
 * words.c: what may be typed at an address with proto=line id=word, by telnet, say. Runs on the connection's worker;
 * words_register() on the main thread, before there is one.
 *
 * A function that answers with mario_reply() is the same for packets and for lines: `hello` is SAY_HELLO.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

static sint32 words_echo(CONN *c)
{
    return mario_reply(c, c->in_buf, c->in_buf_len);
}

static sint32 words_help(CONN *c)
{
    static const char text[] = "hello, echo TEXT, help, quit";
    return mario_reply(c, text, sizeof text - 1);
}

static sint32 words_quit(CONN *c)
{
    static const char text[] = "bye";
    sint32 rc = mario_reply(c, text, sizeof text - 1);
    close_conn(c, 0);
    return rc;
}

static sint32 words_other(CONN *c)
{
    static const char text[] = "no such word: try help";
    return mario_reply(c, text, sizeof text - 1);
}

static const struct {
    const char *word;
    uint16 id;
    FUNC_PTR run; /* NULL: what the id has already */
} words_rows[] = {
    {"hello", CMD_FUNCTION_SAY_HELLO, NULL},      {"echo", CMD_FUNCTION_WORD_ECHO, words_echo},
    {"help", CMD_FUNCTION_WORD_HELP, words_help}, {"quit", CMD_FUNCTION_WORD_QUIT, words_quit},
    {"*", CMD_FUNCTION_WORD_OTHER, words_other},
};

sint32 words_register(void)
{
    for (size_t i = 0; i < sizeof words_rows / sizeof words_rows[0]; i++) {
        if (regist_word_func(words_rows[i].word, words_rows[i].id, words_rows[i].run) != 0)
            return -1;
    }
    return 0;
}
