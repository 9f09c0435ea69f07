/*
 * http.c: the HTTP of the admin's doors: pages, and commands at /api/. The admin thread.
 *
 * A request is judged by its head alone, before its body is waited for and before anybody looks where it leads.
 */
#include "mario/admin/http.h"

#include <stdio.h>
#include <string.h>

#include "mario/admin/client.h"
#include "mario/admin/pages.h"
#include "mario/admin/token.h"

enum { OK = 200, BAD = 400, NO_TOKEN = 401, NOT_FOUND = 404, NO_METHOD = 405, CONFLICT = 409, FAILED = 500 };

static const char json_type[] = "application/json";

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {{OK, "OK"},
                   {BAD, "Bad Request"},
                   {NO_TOKEN, "Unauthorized"},
                   {403, "Forbidden"},
                   {NOT_FOUND, "Not Found"},
                   {NO_METHOD, "Method Not Allowed"},
                   {CONFLICT, "Conflict"},
                   {413, "Content Too Large"},
                   {415, "Unsupported Media Type"},
                   {417, "Expectation Failed"},
                   {431, "Request Header Fields Too Large"},
                   {FAILED, "Internal Server Error"},
                   {503, "Service Unavailable"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Error";
}

/* The whole answer; body is emptied. fields: more lines of the head, or NULL. */
static void send_reply(struct client *c, int status, const char *type, struct evbuffer *body,
                       struct evbuffer *fields)
{
    struct evbuffer *out = client_output(c);
    evbuffer_add_printf(
        out,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nConnection: %s\r\n",
        status, phrase(status), type, evbuffer_get_length(body), c->keep_alive ? "keep-alive" : "close");
    if (fields != NULL)
        evbuffer_add_buffer(out, fields);
    if (status == NO_TOKEN)
        evbuffer_add_printf(out, "WWW-Authenticate: Bearer\r\n");
    evbuffer_add(out, "\r\n", 2);
    if (!c->head_only)
        evbuffer_add_buffer(out, body);
    c->closing = c->closing || !c->keep_alive;
}

/* {"error": why}, which has neither quotes nor backslashes. allow: what a 405 has to say. */
static void send_error(struct client *c, int status, const char *why, const char *allow)
{
    struct evbuffer *body = evbuffer_new(), *fields = evbuffer_new();
    if (body != NULL && fields != NULL) {
        evbuffer_add_printf(body, "{\"error\": \"%s\"}\n", why);
        if (allow != NULL)
            evbuffer_add_printf(fields, "Allow: %s\r\n", allow);
        send_reply(c, status, json_type, body, fields);
    } else {
        c->closing = true;
    }
    if (body != NULL)
        evbuffer_free(body);
    if (fields != NULL)
        evbuffer_free(fields);
}

/* What comes behind it is not looked at: who sends such a thing may mean something else by that as well. */
static void refuse(struct client *c, int status, const char *why)
{
    client_refused(c, STAT_admin_refused, "is refused (%d): %s", status, why);
    c->keep_alive = false;
    send_error(c, status, why, status == NO_METHOD ? "GET, HEAD, POST" : NULL);
}

void http_reply(struct client *c, const struct mario_answer *a)
{
    static const int statuses[] = {
        [ANSWER_GOOD] = OK, [ANSWER_REFUSED] = CONFLICT, [ANSWER_USAGE] = BAD, [ANSWER_FAILED] = FAILED};
    struct evbuffer *body = evbuffer_new();
    if (body == NULL) {
        c->closing = true;
        return;
    }
    answer_show(a, c->form, body);
    send_reply(c, statuses[answer_status(a)], json_type, body, NULL);
    evbuffer_free(body);
}

/* ---- Where it leads ---- */

static void say_no_token(struct client *c)
{
    refuse(c, NO_TOKEN,
           token_is_set()
               ? "changes need the token of admin.token_file"
               : "changes need a token, and admin.token_file is not set; the unix socket needs none");
}

static void run_command(struct client *c, const struct http_head *h, const struct words *w, bool post)
{
    uint32_t used;
    const struct command *command = command_find(w->word, w->count, &used);
    if (command == NULL) {
        send_error(c, NOT_FOUND, "there is no such command; /api/help names them", NULL);
        return;
    }
    if (command->kind == MARIO_COMMAND_CHANGES && !post) {
        send_error(c, NO_METHOD, "what changes something is a POST", "POST");
        return;
    }
    if (command->kind == MARIO_COMMAND_CHANGES && !c->is_unix && !token_is(http_field(h, "authorization"))) {
        stats_add_shared(STAT_admin_denied, 1);
        if (!client_wait(c, say_no_token))
            c->closing = true;
        return;
    }
    client_run(c, command, w->count - used, w->word + used, ANSWER_JSON);
}

static void send_page(struct client *c, const struct page *p)
{
    struct evbuffer *body = evbuffer_new(), *fields = evbuffer_new();
    stats_add_shared(STAT_admin_requests, 1);
    if (body != NULL && fields != NULL)
        send_reply(c, p->write(body, fields), p->type, body, fields);
    else
        c->closing = true;
    if (body != NULL)
        evbuffer_free(body);
    if (fields != NULL)
        evbuffer_free(fields);
}

static void route(struct client *c, const struct http_head *h, const char *body)
{
    static const char api[] = "/api/";
    enum { API = sizeof api - 1 };
    const char *query = memchr(h->target.at, '?', h->target.len);
    struct http_text path = {h->target.at, query != NULL ? (uint32_t) (query - h->target.at) : h->target.len};
    bool post = h->method.at[0] == 'P';
    const struct page *page = page_find(&path);
    struct words w;
    w.count = w.used = 0;
    if (page != NULL && post) {
        send_error(c, NO_METHOD, "this is for GET", "GET, HEAD");
    } else if (page != NULL) {
        send_page(c, page);
    } else if (path.len < API || memcmp(path.at, api, API) != 0) {
        send_error(c, NOT_FOUND, "there is nothing at this path", NULL);
    } else {
        const char *wrong = words_of_path(&w, h->target.at + API, h->target.len - API);
        if (wrong == NULL && post)
            wrong = words_of_body(&w, body, (size_t) h->length);
        if (wrong != NULL)
            refuse(c, BAD, wrong);
        else
            run_command(c, h, &w, post);
    }
}

bool http_take(struct client *c)
{
    struct evbuffer *in = client_input(c);
    size_t n = evbuffer_get_length(in);
    size_t seen = n < HTTP_HEAD_MAX + LINE_BYTES ? n : HTTP_HEAD_MAX + LINE_BYTES;
    const char *bytes = (const char *) evbuffer_pullup(in, (ev_ssize_t) seen), *why;
    struct http_head h;
    if (n == 0)
        return false;
    c->keep_alive = c->head_only = false;
    int status = bytes != NULL ? http_head_parse(bytes, seen, &h) : FAILED;
    if (status == HTTP_MORE)
        return false;
    if (status != HTTP_GOOD) {
        refuse(c, status, "not a request that is understood here");
        return true;
    }
    status = http_judge(&h, &why);
    if (status != HTTP_GOOD) {
        refuse(c, status, why);
        return true;
    }
    if (n < h.size + h.length)
        return false;
    c->keep_alive = h.keep_alive;
    c->head_only = h.method.at[0] == 'H';
    route(c, &h, bytes + h.size);
    evbuffer_drain(in, h.size + (size_t) h.length);
    return true;
}
