/*
 * lines.c: the unix socket's own way: a command in a line, `conn list limit=3`, or with `json` in front of it; back
 * come a line with the exit code and the length of what follows, `0 1234`, and that. The admin thread.
 */
#include <event2/buffer.h>
#include <string.h>

#include "mario/admin/client.h"
#include "mario/base/text.h"

enum { USAGE = 2 };

static int exit_code(enum answer_status s)
{
    return s == ANSWER_GOOD ? 0 : s == ANSWER_USAGE ? USAGE : 1;
}

/* why has neither quotes nor backslashes. */
static void refuse(struct client *c, bool json, const char *why)
{
    static const char before[] = "{\"error\": \"", behind[] = "\"}";
    size_t around = json ? sizeof before + sizeof behind - 2 : 0;
    client_refused(c, STAT_admin_refused, "is refused: %s", why);
    evbuffer_add_printf(client_output(c), "%d %zu\n%s%s%s\n", USAGE, strlen(why) + around + 1,
                        json ? before : "", why, json ? behind : "");
}

void lines_reply(struct client *c, const struct mario_answer *a)
{
    struct evbuffer *body = evbuffer_new();
    if (body == NULL) {
        c->closing = true;
        return;
    }
    answer_show(a, c->form, body);
    evbuffer_add_printf(client_output(c), "%d %zu\n", exit_code(answer_status(a)), evbuffer_get_length(body));
    evbuffer_add_buffer(client_output(c), body);
    evbuffer_free(body);
}

static void run(struct client *c, const struct words *w)
{
    bool json = w->count > 0 && strcmp(w->word[0], "json") == 0;
    const char *const *words = w->word + json;
    uint32_t count = w->count - json, used;
    const struct command *command = command_find(words, count, &used);
    if (command == NULL)
        refuse(c, json,
               count == 0 ? "no command; `help` names them" : "there is no such command; `help` names them");
    else
        client_run(c, command, count - used, words + used, json ? ANSWER_JSON : ANSWER_TEXT);
}

bool lines_take(struct client *c)
{
    struct evbuffer *in = client_input(c);
    struct evbuffer_ptr end = evbuffer_search(in, "\n", 1, NULL);
    struct words w;
    if (end.pos < 0 && evbuffer_get_length(in) < LINE_BYTES)
        return false;
    if (end.pos < 0 || end.pos >= (ev_ssize_t) LINE_BYTES) {
        refuse(c, false, "a line longer than 4096 bytes");
        c->closing = true;
        return true;
    }
    size_t n = (size_t) end.pos;
    const char *line = (const char *) evbuffer_pullup(in, end.pos + 1);
    w.count = w.used = 0;
    const char *wrong =
        line == NULL ? "no memory" : words_of_line(&w, line, n > 0 && line[n - 1] == '\r' ? n - 1 : n);
    evbuffer_drain(in, n + 1);
    if (wrong != NULL)
        refuse(c, false, wrong);
    else
        run(c, &w);
    return true;
}
