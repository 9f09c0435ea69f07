/*
 * functions.c: the functions that answer, close and stop. On the connection's worker, or offloaded, on a thread of
 * the pool.
 */
#include "app.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>

/* ---- Answering ---- */

sint32 do_echo(CONN *c)
{
    own_functions++;
    own_functions_away += c->owner->base == NULL; /* only offloaded functions have none */
    track_is_wrong(c);
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

sint32 do_stats(CONN *c)
{
    char text[8000];
    int n = print_own(text, sizeof text);
    for (uint32 i = 0; i < mario_stat_count(); i++)
        n += snprintf(text + n, sizeof text - (size_t) n, " %s=%llu", mario_stat_name(i),
                      (unsigned long long) mario_stat_value(app.server, i));
    return answer(c, text, (size_t) n);
}

sint32 do_who(CONN *c)
{
    struct test_who who = {.cip = c->cip,
                           .worker = c->owner->ind,
                           .ind = c->ind,
                           .cport = c->cport,
                           .in_buf_len = c->in_buf_len,
                           .out_buf_len = c->out_buf_len};
    memset(c->out_buf, 0x5a, c->out_buf_len); /* all of it is ours */
    return answer(c, &who, sizeof who);
}

sint32 do_return(CONN *c)
{
    do_echo(c);
    return (sint32) number_in(c);
}

sint32 do_reply(CONN *c)
{
    uint32 n = number_in(c);
    own_functions++;
    if (n < SIZE_OF_HEAD)
        return -1;
    write_bytes(c, TEST_REPLY, n);
    return 0;
}

sint32 do_megabyte(CONN *c)
{
    write_bytes(c, TEST_MEGABYTE, 1024 * 1024);
    return 0;
}

sint32 do_amplify(CONN *c)
{
    for (uint32 n = number_in(c); n > 0; n--)
        do_echo(c);
    return 0;
}

sint32 do_silent(CONN *c)
{
    (void) c;
    own_functions++;
    return 0;
}

/* ---- What is kept with a connection ---- */

sint32 do_canary(CONN *c)
{
    struct track *t = c->user;
    uint64 token;
    if (track_is_wrong(c) || t == NULL || c->in_buf_len != SIZE_OF_HEAD + sizeof token)
        return -1;
    memcpy(&token, c->in_buf + SIZE_OF_HEAD, sizeof token);
    if (!t->has_token)
        t->token = token;
    else if (t->token != token)
        own_wrong_canary++;
    t->has_token = true;
    return answer(c, &t->token, sizeof t->token);
}

sint32 do_user(CONN *c)
{
    struct track *moved = malloc(sizeof *moved);
    if (moved == NULL || track_is_wrong(c))
        return -1;
    *moved = *(struct track *) c->user;
    memset(c->user, 0, sizeof *moved);
    free(c->user);
    c->user = moved;
    return do_echo(c);
}

/* ---- Closing ---- */

sint32 do_close(CONN *c)
{
    struct test_end e = end_in(c);
    own_functions++;
    close_conn(c, e.reason_id);
    close_conn(c, e.reason_id);
    do_echo(c);
    return e.value;
}

sint32 do_write_close(CONN *c)
{
    struct test_end e = end_in(c);
    do_echo(c);
    close_conn(c, e.reason_id);
    do_echo(c);
    return e.value;
}

sint32 do_close_err(CONN *c)
{
    own_functions++;
    close_err_conn(c);
    close_err_conn(c);
    return 0;
}

/* Not offloaded: it looks at what belongs to the worker. */
sint32 do_close_other(CONN *c)
{
    uint16 port = htons((uint16) number_in(c));
    ubyte found = 0;
    for (uint32 i = 0; i < SLOTS; i++) {
        CONN *other = alive[c->owner->ind][i];
        if (other == NULL || other == c || other->cport != port)
            continue;
        close_conn(other, 9);
        close_conn(other, 9);
        found++;
    }
    return answer(c, &found, sizeof found);
}

sint32 do_stop(CONN *c)
{
    mario_stop_server(app.server);
    return do_echo(c);
}

sint32 do_sigpipe(CONN *c)
{
    signal(SIGPIPE, SIG_DFL);
    shutdown(c->fd, SHUT_WR);
    return do_echo(c);
}
