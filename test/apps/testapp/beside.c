/*
 * beside.c: what comes beside packets: a PROXY header in front of them, urgent data between them. On the thread that
 * runs the function.
 */
#include "app.h"

/* As text, or "-". */
static const char *or_none(const char *text)
{
    return text != NULL ? text : "-";
}

sint32 do_proxy(CONN *c)
{
    char text[1024], via[64] = "-", authority[256] = "-", id[129] = "-", cut[8];
    struct mario_proxy_ssl_info ssl = {.version = NULL};
    CONN other = *c;
    sint32 has_via = mario_proxy_peer(c, via, sizeof via);
    sint32 has_authority = mario_proxy_authority(c, authority, sizeof authority);
    sint32 n = mario_proxy_unique_id(c, id, sizeof id - 1), has_ssl = mario_proxy_ssl(c, &ssl);
    if (n >= 0)
        id[n] = '\0';
    if (mario_proxy_peer(&other, cut, sizeof cut) != -1 ||
        mario_proxy_authority(&other, cut, sizeof cut) != -1 ||
        mario_proxy_unique_id(&other, cut, sizeof cut) != -1 || mario_proxy_ssl(&other, &ssl) != -1)
        own_wrong_state++;
    if ((has_via == 0 && mario_proxy_peer(c, cut, 3) != -1) ||
        (has_authority == 0 && mario_proxy_authority(c, cut, (uint32) strlen(authority)) != -1) ||
        (n > 0 && mario_proxy_unique_id(c, cut, (uint32) n - 1) != -1))
        own_wrong_state++;
    int len =
        snprintf(text, sizeof text, "via=%s authority=%s id=%s", has_via == 0 ? "yes" : "-", authority, id);
    if (has_ssl == 0)
        len += snprintf(text + len, sizeof text - (size_t) len, " ssl=%u/%u/%s/%s/%s", ssl.client, ssl.verify,
                        or_none(ssl.version), or_none(ssl.name), or_none(ssl.cipher));
    return mario_reply(c, text, (uint32) len);
}

sint32 on_urgent(CONN *c)
{
    if (c->in_buf != NULL || c->in_buf_len != 0 || track_is_wrong(c))
        own_wrong_state++;
    write_packet(c, TEST_URGENT, 0, 0);
    if (app.urgent_mode == URGENT_BIG)
        write_bytes(c, TEST_REPLY, 4 * 1024 * 1024);
    if (app.urgent_mode == URGENT_CLOSES)
        close_conn(c, 7);
    if (app.urgent_mode == URGENT_STICKS)
        stick(1);
    return app.urgent_mode == URGENT_FAILS ? -1 : 0;
}
