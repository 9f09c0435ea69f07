/*
 * answers.c: what the server says, as lines. One thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "screen.h"
#include "words.h"

static struct word_text clock_of(uint32_t seconds)
{
    time_t t = seconds;
    struct tm tm;
    struct word_text text = {""};
    strftime(text.text, sizeof text.text, "%H:%M", localtime_r(&t, &tm));
    return text;
}

static const char *color_of(const char name[CHAT_NAME])
{
    return screen_color(word_number(name) % 1009);
}

static void on_welcome(const struct packet *p)
{
    const struct chat_welcome *w = (const struct chat_welcome *) p->data;
    welcomed();
    if (me.since == 0)
        note("welcome, %s; /help tells what there is", word_text(me.name).text);
    else
        note("connected again");
    for (uint32_t i = 0; i < me.room_count; i++)
        request_room(&me.rooms[i]);
    me.since = w->since;
}

static void on_joined(const struct packet *p)
{
    const struct chat_joined *j = (const struct chat_joined *) p->data;
    struct room *r = room_find(j->room);
    bool is_new = r == NULL;
    if (is_new)
        r = room_choose(j->room);
    if (r == NULL)
        return;
    if (j->epoch != 0 && (!r->is_known || r->epoch != j->epoch)) { /* or all lines count anew */
        r->seen = j->first - 1;
        r->epoch = j->epoch;
        r->is_known = true;
    }
    note("you are in #%s, with %u in all", word_text(j->room).text, j->members);
}

static void on_left(const struct packet *p)
{
    const struct chat_word *w = (const struct chat_word *) p->data;
    struct room *r = room_find(w->word);
    if (r != NULL)
        room_remove(r);
    note("you have left #%s", word_text(w->word).text);
}

static void on_said(const struct packet *p)
{
    const struct chat_said *s = (const struct chat_said *) p->data;
    struct room *r = room_find(s->room);
    bool has_number = s->number != 0;
    if (r == NULL || (has_number && r->is_known && s->number <= r->seen))
        return; /* shown before the connection was lost */
    if (r->is_known && s->number > r->seen + 1)
        note("%llu lines of #%s are missing here", (unsigned long long) (s->number - r->seen - 1),
             word_text(s->room).text);
    if (has_number)
        r->seen = s->number;
    screen_print("%s%s #%s%s %s<%s>%s %.*s", screen_dim(), clock_of(s->time).text, word_text(s->room).text,
                 screen_plain(), color_of(s->from), word_text(s->from).text, screen_plain(),
                 (int) (p->len - sizeof *s), s->text);
}

static void on_told(const struct packet *p)
{
    const struct chat_told *t = (const struct chat_told *) p->data;
    bool is_mine = memcmp(t->from, me.name, CHAT_NAME) == 0;
    const char *other = is_mine ? t->to : t->from;
    screen_print("%s%s%s %s*%s %s*%s %.*s", screen_dim(), clock_of(t->time).text, screen_plain(),
                 color_of(other), is_mine ? "to" : "from", word_text(other).text, screen_plain(),
                 (int) (p->len - sizeof *t), t->text);
}

static void on_presence(const struct packet *p)
{
    const struct chat_presence *s = (const struct chat_presence *) p->data;
    if (room_find(s->room) == NULL)
        return;
    note("%s has %s #%s", word_text(s->user).text, s->here ? "come to" : "left", word_text(s->room).text);
}

/* Append to text, as much as there is room for. */
__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *fmt, ...)
{
    size_t len = strlen(text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + len, size - len, fmt, args);
    va_end(args);
}

static void on_named(const struct packet *p)
{
    const struct chat_named *n = (const struct chat_named *) p->data;
    char text[SCREEN_LINE] = "";
    size_t count = (p->len - sizeof *n) / CHAT_NAME;
    for (size_t i = 0; i < count && i < 50; i++)
        add(text, sizeof text, " %s", word_text(n->names[i]).text);
    note("in #%s, %u in all:%s%s", word_text(n->room).text, n->members, text, count > 50 ? " ..." : "");
}

static void on_found(const struct packet *p)
{
    const struct chat_found *f = (const struct chat_found *) p->data;
    char text[SCREEN_LINE] = "";
    size_t count = (p->len - sizeof *f) / CHAT_NAME;
    for (size_t i = 0; i < count; i++)
        add(text, sizeof text, " #%s", word_text(f->rooms[i]).text);
    note("%s is here since %s, in%s", word_text(f->user).text, clock_of(f->since).text,
         count == 0 ? " no room" : text);
}

static void on_listed(const struct packet *p)
{
    const struct chat_listed *l = (const struct chat_listed *) p->data;
    char text[SCREEN_LINE] = "";
    size_t count = (p->len - sizeof *l) / sizeof l->each[0];
    for (size_t i = 0; i < count && i < 40; i++)
        add(text, sizeof text, " #%s (%u)", word_text(l->each[i].room).text, l->each[i].members);
    note("rooms, %u in all:%s%s", l->rooms, text, count > 40 ? " ..." : "");
}

static void on_ping(const struct packet *p)
{
    (void) p;
    request(CHAT_PONG, NULL, NULL);
}

static void on_sorry(const struct packet *p)
{
    const struct chat_sorry *s = (const struct chat_sorry *) p->data;
    struct word_text word = word_text(s->word);
    if (word_number(s->word) == 0)
        word = (struct word_text){"that"};
    if (s->request == CHAT_LOGIN) {
        log_in_later();
        note("the server is busy; trying again");
        return;
    }
    switch (s->why) {
    case CHAT_WHY_TOO_FAST:
        note("too fast: that was not sent");
        break;
    case CHAT_WHY_NOT_IN:
        note("you are not in #%s", word.text);
        break;
    case CHAT_WHY_NOBODY:
        note("there is no %s", word.text);
        break;
    case CHAT_WHY_TOO_MANY:
        note("you are in %d rooms; leave one first", CHAT_SEATS);
        break;
    default:
        note("the server is busy: that was not done");
    }
}

static void on_bye(const struct packet *p)
{
    const struct chat_bye *b = (const struct chat_bye *) p->data;
    static const char *const texts[] = {
        [CHAT_WHY_ASKED] = "bye",
        [CHAT_WHY_REPLACED] = "you have logged in elsewhere; this one ends",
        [CHAT_WHY_STOPS] = "the server stops",
        [CHAT_WHY_FLOOD] = "the server has had enough of you",
        [CHAT_WHY_LATE] = "the server did not want to wait for your name",
    };
    note("%s", b->why < sizeof texts / sizeof texts[0] ? texts[b->why] : "the server says bye");
    if (b->why == CHAT_WHY_STOPS) /* and comes again: so do we */
        return;
    me.exit_code = b->why == CHAT_WHY_ASKED ? 0 : 1;
    me.ends = true;
}

static const struct {
    uint16_t what;
    void (*show)(const struct packet *p);
} answers[] = {
    {CHAT_WELCOME, on_welcome}, {CHAT_JOINED, on_joined},     {CHAT_LEFT, on_left},   {CHAT_SAID, on_said},
    {CHAT_TOLD, on_told},       {CHAT_PRESENCE, on_presence}, {CHAT_NAMED, on_named}, {CHAT_FOUND, on_found},
    {CHAT_LISTED, on_listed},   {CHAT_PING, on_ping},         {CHAT_SORRY, on_sorry}, {CHAT_BYE, on_bye},
};

void show_answer(const struct packet *p)
{
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (answers[i].what == p->what)
            answers[i].show(p);
    }
}
