/*
 * hall.c: users, rooms, seats. All of it is the clerk's alone; what others may read are three relaxed counters.
 *
 * A user is a name; he may have several guests, which are connections: two for a moment, when he logs in a second
 * time and the first connection is not yet gone. A guest has a seat in each room he is in. The library has the same
 * as groups and delivers by them; it takes a connection that ends out of its groups by itself.
 */
#include "hall.h"

#include "far.h"
#include "post.h"
#include "table.h"
#include "words.h"

enum {
    ROOMS_MAX = 10000,
    PRESENCE_MAX =
        200 /* in a room with more nobody is told who comes and goes: n people would get n * n packets */
};

struct user {
    struct node node; /* number: of the name */
    struct guest *guests;
};

struct room {
    struct node node; /* number: of the name, and of the library's group */
    char name[CHAT_NAME];
    struct seat *seats;
    uint32 members;
    uint64 emptied; /* the emptyings' count when the last one left */
    /* Without other servers; else the cluster has them. */
    uint64 next; /* the number of the line to be said next */
    /* Line n is in lines[n % CHAT_HISTORY]: the very message that the members got, kept to be sent again. */
    struct mario_msg *lines[CHAT_HISTORY];
};

struct seat {
    struct guest *guest;
    struct room *room;
    bool is_coming; /* the cluster is still taking it in */
    struct seat *next_of_guest;
    struct seat *prev_in_room, *next_in_room;
};

static struct table users, rooms;
static uint64 emptyings;
static uint32 room_count;
/* Clerk (w), master (r), relaxed. */
static uint64 epoch; /* of the lines' numbers here; set once, by main */
static uint64 users_here, lines_said, rooms_used;

static void count(uint64 *counter, sint64 change)
{
    __atomic_store_n(counter, *counter + (uint64) change, __ATOMIC_RELAXED);
}

static void sorry(const struct command *cmd, enum chat_why why)
{
    struct chat_sorry s = {.request = cmd->what, .why = (uint16) why};
    memcpy(s.word, cmd->word, CHAT_NAME);
    post_answer(cmd->guest->id, CHAT_SORRY, &s, sizeof s);
}

/* ---- Rooms and seats ---- */

static uint64 first_line(const struct room *r)
{
    return r->next > CHAT_HISTORY ? r->next - CHAT_HISTORY : 1;
}

static void room_destroy(struct room *r)
{
    table_remove(&rooms, &r->node);
    for (uint32 i = 0; i < CHAT_HISTORY; i++)
        mario_msg_free(&r->lines[i]);
    free(r);
    room_count--;
}

/* The room that has been empty for longest. NULL: none is. */
static struct room *longest_empty(void)
{
    struct room *found = NULL;
    for (uint32 i = 0; i < 1u << TABLE_BITS; i++) {
        for (struct node *n = rooms.chains[i]; n != NULL; n = n->next) {
            struct room *r = (struct room *) n;
            if (r->members == 0 && (found == NULL || r->emptied < found->emptied))
                found = r;
        }
    }
    return found;
}

/* The room of this name; made if it is not there. A room that all have left keeps its history until another one needs
 * the place. NULL: all places are taken, or no memory. */
static struct room *room_get(const char name[CHAT_NAME])
{
    uint64 number = word_number(name);
    struct room *r = table_find(&rooms, number);
    if (r != NULL)
        return r;
    if (room_count == ROOMS_MAX) {
        r = far_is_on() ? NULL : longest_empty(); /* others may be in it there */
        if (r == NULL)
            return NULL;
        room_destroy(r);
    }
    r = calloc(1, sizeof *r);
    if (r == NULL || (far_is_on() && !far_keep_lines(number))) {
        free(r);
        return NULL;
    }
    r->node.number = number;
    memcpy(r->name, name, CHAT_NAME);
    r->next = 1;
    table_add(&rooms, &r->node);
    room_count++;
    return r;
}

static struct seat *seat_of(const struct guest *g, const struct room *r)
{
    struct seat *s = g->seats;
    while (s != NULL && s->room != r)
        s = s->next_of_guest;
    return s;
}

/* Whether another connection of g's user is in the room: then he neither comes nor goes. */
static bool is_there_twice(const struct guest *g, const struct room *r)
{
    const struct user *u = table_find(&users, g->user);
    for (const struct guest *other = u == NULL ? NULL : u->guests; other != NULL;
         other = other->next_of_user) {
        if (other != g && seat_of(other, r) != NULL)
            return true;
    }
    return false;
}

/* Tell the others in the room that g has come or gone. Who reads slowly needs only the last word about each user. */
static void announce(struct room *r, const struct guest *g, bool here)
{
    struct chat_presence p = {.here = here};
    uint64 group = far_is_on() ? far_presence(r->node.number) : r->node.number;
    uint32 members = far_is_on() ? far_members(r->node.number) : r->members;
    if (members > PRESENCE_MAX || is_there_twice(g, r) || (!here && g->is_replaced))
        return;
    memcpy(p.room, r->name, CHAT_NAME);
    memcpy(p.user, g->name, CHAT_NAME);
    struct mario_msg *m = post_make(CHAT_PRESENCE, &p, sizeof p);
    if (m == NULL)
        return;
    mario_msg_key(m, g->user ^ r->node.number * 0x9e3779b97f4a7c15u); /* of this user in this room; */
    post_room(group, m, g->id); /* were it 0, it would have no key, and only not be coalesced */
    mario_msg_free(&m);
}

static void seat_take(struct seat *s, struct guest *g, struct room *r)
{
    *s = (struct seat){.guest = g, .room = r, .next_of_guest = g->seats, .next_in_room = r->seats};
    g->seats = s;
    g->seat_count++;
    if (r->seats != NULL)
        r->seats->prev_in_room = s;
    r->seats = s;
    if (r->members++ == 0)
        count(&rooms_used, 1);
}

static void seat_give_up(struct seat *s)
{
    struct seat **of_guest = &s->guest->seats;
    while (*of_guest != s)
        of_guest = &(*of_guest)->next_of_guest;
    *of_guest = s->next_of_guest;
    s->guest->seat_count--;
    if (s->prev_in_room != NULL)
        s->prev_in_room->next_in_room = s->next_in_room;
    else
        s->room->seats = s->next_in_room;
    if (s->next_in_room != NULL)
        s->next_in_room->prev_in_room = s->prev_in_room;
    if (--s->room->members == 0) {
        count(&rooms_used, -1);
        s->room->emptied = ++emptyings;
    }
    announce(s->room, s->guest, false);
    free(s);
}

/* ---- What commands do ---- */

static void arrived(struct command *cmd)
{
    struct guest *g = cmd->guest;
    struct user *u = table_find(&users, g->user);
    g->arrived = NULL; /* it is cmd */
    if (u == NULL) {
        u = calloc(1, sizeof *u);
        if (u == NULL) { /* he is nobody then, and may try again */
            post_last(g->id, NULL);
            return;
        }
        u->node.number = g->user;
        table_add(&users, &u->node);
        count(&users_here, 1);
    }
    g->next_of_user = u->guests;
    u->guests = g;
}

static void gone(struct command *cmd)
{
    struct guest *g = cmd->guest;
    struct user *u = table_find(&users, g->user);
    while (g->seats != NULL)
        seat_give_up(g->seats);
    struct guest **place = u == NULL ? NULL : &u->guests;
    while (place != NULL && *place != NULL && *place != g)
        place = &(*place)->next_of_user;
    if (place != NULL && *place != NULL)
        *place = g->next_of_user;
    if (u != NULL && u->guests == NULL) {
        table_remove(&users, &u->node);
        free(u);
        count(&users_here, -1);
    }
    g->gone = NULL; /* it is cmd */
    clerk_free_guest(g);
}

/* JOINED, and the lines from `first` on. */
static void send_history(const struct guest *g, struct room *r, uint64 first)
{
    struct chat_joined j = {.epoch = epoch, .first = first, .next = r->next, .members = r->members};
    memcpy(j.room, r->name, CHAT_NAME);
    post_answer(g->id, CHAT_JOINED, &j, sizeof j);
    for (uint64 n = first; n < r->next; n++)
        post_send(g->id, r->lines[n % CHAT_HISTORY]);
}

/* The first line that cmd's guest is to get: he may have been there before. */
static uint64 first_for(const struct command *cmd, const struct room *r)
{
    uint64 was[2] = {0, 0}, first = first_line(r); /* epoch and line */
    memcpy(was, cmd->text, cmd->len);
    return was[0] == epoch && was[1] >= first && was[1] < r->next ? was[1] + 1 : first;
}

/* Into the library's groups. */
static bool enter(const struct command *cmd, const struct room *r)
{
    uint64 was[2] = {0, 0}; /* epoch and line */
    if (!far_is_on())
        return post_join(cmd->guest->id, r->node.number);
    memcpy(was, cmd->text, cmd->len);
    return post_join(cmd->guest->id, far_presence(r->node.number)) &&
           far_join(cmd->guest, r->node.number, was[0], was[1]);
}

static void leave_groups(const struct guest *g, const struct room *r)
{
    post_leave(g->id, r->node.number);
    if (far_is_on())
        post_leave(g->id, far_presence(r->node.number));
}

/* JOINED for who is in already: he has the lines. */
static void tell_of_room(const struct guest *g, const struct room *r)
{
    struct chat_joined j = {.members = far_is_on() ? far_members(r->node.number) : r->members};
    memcpy(j.room, r->name, CHAT_NAME);
    post_answer(g->id, CHAT_JOINED, &j, sizeof j);
}

static void join(struct command *cmd)
{
    struct guest *g = cmd->guest;
    struct room *r = table_find(&rooms, word_number(cmd->word));
    bool is_in = r != NULL && seat_of(g, r) != NULL;
    struct seat *s = NULL;
    if (!is_in && g->seat_count == CHAT_SEATS) {
        sorry(cmd, CHAT_WHY_TOO_MANY);
        return;
    }
    if (!is_in) {
        r = room_get(cmd->word);
        s = malloc(sizeof *s);
        if (r == NULL || s == NULL || !enter(cmd, r)) {
            free(s);
            sorry(cmd, CHAT_WHY_BUSY);
            return;
        }
        seat_take(s, g, r);
        s->is_coming = far_is_on();
    }
    if (is_in)
        tell_of_room(g, r);
    else if (!far_is_on())
        send_history(g, r, first_for(cmd, r));
    if (!is_in)
        announce(r, g, true);
}

static void in(struct command *cmd)
{
    const struct room *r = table_find(&rooms, word_number(cmd->word));
    struct seat *s = r == NULL ? NULL : seat_of(cmd->guest, r);
    if (s != NULL)
        s->is_coming = false;
}

static void not_in(struct command *cmd)
{
    struct room *r = table_find(&rooms, word_number(cmd->word));
    struct seat *s = r == NULL ? NULL : seat_of(cmd->guest, r);
    if (s == NULL)
        return;
    leave_groups(cmd->guest, r);
    seat_give_up(s);
    cmd->what = CHAT_JOIN;
    sorry(cmd, CHAT_WHY_BUSY);
}

/* The seat of cmd's guest in cmd's room; NULL after an answer. */
static struct seat *own_seat(const struct command *cmd)
{
    struct room *r = table_find(&rooms, word_number(cmd->word));
    struct seat *s = r == NULL ? NULL : seat_of(cmd->guest, r);
    if (s == NULL)
        sorry(cmd, CHAT_WHY_NOT_IN);
    return s;
}

static void leave(struct command *cmd)
{
    struct chat_word w;
    struct seat *s = own_seat(cmd);
    if (s == NULL)
        return;
    if (s->is_coming) { /* what takes it in would come after what takes it out */
        sorry(cmd, CHAT_WHY_BUSY);
        return;
    }
    leave_groups(cmd->guest, s->room);
    seat_give_up(s);
    memcpy(w.word, cmd->word, CHAT_NAME);
    post_answer(cmd->guest->id, CHAT_LEFT, &w, sizeof w);
}

/* To all in the room, and into its history. */
static void say(struct command *cmd)
{
    unsigned char bytes[sizeof(struct chat_said) + CHAT_TEXT];
    struct chat_said *said = (struct chat_said *) bytes;
    struct seat *s = own_seat(cmd);
    if (s == NULL)
        return;
    struct room *r = s->room;
    memcpy(said->room, r->name, CHAT_NAME);
    memcpy(said->from, cmd->guest->name, CHAT_NAME);
    said->number = far_is_on() ? 0 : r->next;
    said->time = (uint32) time(NULL);
    memcpy(said->text, cmd->text, cmd->len);
    struct mario_msg *m = post_make(CHAT_SAID, bytes, sizeof *said + cmd->len);
    if (m != NULL && far_is_on())
        far_number(m);
    if (m == NULL || !post_room(r->node.number, m, 0)) {
        mario_msg_free(&m);
        sorry(cmd, CHAT_WHY_BUSY);
        return;
    }
    if (far_is_on()) {
        mario_msg_free(&m);
    } else {
        struct mario_msg **place = &r->lines[r->next++ % CHAT_HISTORY];
        mario_msg_free(place);
        *place = m;
    }
    count(&lines_said, 1);
}

/* To one user, and to the speaker himself, who so knows that it was sent. */
static void tell(struct command *cmd)
{
    unsigned char bytes[sizeof(struct chat_told) + CHAT_TEXT];
    struct chat_told *told = (struct chat_told *) bytes;
    uint64 user = word_number(cmd->word);
    bool is_here = mario_user_count(user) > 0;
    if (!is_here && !far_is_on()) {
        sorry(cmd, CHAT_WHY_NOBODY);
        return;
    }
    memcpy(told->from, cmd->guest->name, CHAT_NAME);
    memcpy(told->to, cmd->word, CHAT_NAME);
    told->time = (uint32) time(NULL);
    memcpy(told->text, cmd->text, cmd->len);
    struct mario_msg *m = post_make(CHAT_TOLD, bytes, sizeof *told + cmd->len);
    if (m != NULL)
        mario_msg_keep(m); /* what is meant for one is not dropped because many others talk */
    if (m != NULL && !is_here)
        mario_msg_receipt(m, cmd->guest->id); /* if he is nowhere the speaker is told (far.c) */
    if (m == NULL || !post_user(user, m))
        sorry(cmd, CHAT_WHY_BUSY);
    else if (user != cmd->guest->user)
        post_send(cmd->guest->id, m);
    mario_msg_free(&m);
}

/* ---- Lists: what there is here; 0: no such room, no such user ---- */

static size_t list_names(const char word[CHAT_NAME], unsigned char *bytes)
{
    struct chat_named *named = (struct chat_named *) bytes;
    const struct room *r = table_find(&rooms, word_number(word));
    uint32 n = 0;
    if (r == NULL)
        return 0;
    memcpy(named->room, r->name, CHAT_NAME);
    named->members = r->members;
    for (const struct seat *s = r->seats; s != NULL && n < CHAT_SHOWN; s = s->next_in_room)
        memcpy(named->names[n++], s->guest->name, CHAT_NAME);
    return sizeof *named + n * CHAT_NAME;
}

/* The user's newest connection tells. */
static size_t list_user(const char word[CHAT_NAME], unsigned char *bytes)
{
    struct chat_found *found = (struct chat_found *) bytes;
    const struct user *u = table_find(&users, word_number(word));
    uint32 n = 0;
    if (u == NULL)
        return 0;
    memcpy(found->user, word, CHAT_NAME);
    found->since = u->guests->since;
    for (const struct seat *s = u->guests->seats; s != NULL; s = s->next_of_guest)
        memcpy(found->rooms[n++], s->room->name, CHAT_NAME);
    return sizeof *found + n * CHAT_NAME;
}

static size_t list_rooms(const char word[CHAT_NAME], unsigned char *bytes)
{
    struct chat_listed *listed = (struct chat_listed *) bytes;
    uint32 n = 0;
    (void) word;
    for (uint32 i = 0; i < 1u << TABLE_BITS && n < CHAT_SHOWN; i++) {
        for (struct node *node = rooms.chains[i]; node != NULL && n < CHAT_SHOWN; node = node->next) {
            const struct room *r = (const struct room *) node;
            if (r->members == 0)
                continue;
            memcpy(listed->each[n].room, r->name, CHAT_NAME);
            listed->each[n++].members = r->members;
        }
    }
    listed->rooms = (uint32) rooms_used;
    return sizeof *listed + n * sizeof listed->each[0];
}

static const struct list {
    uint16 what, answer;
    size_t (*make)(const char word[CHAT_NAME], unsigned char *bytes);
} lists[] = {{CHAT_NAMES, CHAT_NAMED, list_names},
             {CHAT_WHO, CHAT_FOUND, list_user},
             {CHAT_ROOMS, CHAT_LISTED, list_rooms}};

enum { LISTS = sizeof lists / sizeof lists[0] };

static unsigned char list_bytes[sizeof(struct chat_listed) + CHAT_SHOWN * sizeof(struct chat_listed_room)];

/* The row for this request; NULL: it asks for no list. */
static const struct list *list_for(uint16 what)
{
    for (uint32 i = 0; i < LISTS; i++) {
        if (lists[i].what == what)
            return &lists[i];
    }
    return NULL;
}

static void list(struct command *cmd)
{
    const struct list *l = list_for(cmd->what);
    size_t n = l->make(cmd->word, list_bytes);
    if (far_ask(cmd, list_bytes, n))
        return; /* answered when the others have */
    if (n == 0)
        sorry(cmd, CHAT_WHY_NOBODY);
    else
        post_answer(cmd->guest->id, l->answer, list_bytes, n);
}

/* Another clerk asks. */
static void far_asked(struct command *cmd)
{
    const struct far_ask *ask = (const struct far_ask *) cmd->text;
    const struct list *l = list_for(ask->what);
    if (l != NULL)
        far_tell(ask, list_bytes, l->make(ask->word, list_bytes));
}

static void far_answered(struct command *cmd)
{
    far_take((const struct far_answer *) cmd->text, cmd->len);
}

static void quit(struct command *cmd)
{
    struct chat_bye bye = {.why = CHAT_WHY_ASKED};
    struct mario_msg *m = post_make(CHAT_BYE, &bye, sizeof bye);
    post_last(cmd->guest->id, m);
    mario_msg_free(&m);
}

static const struct {
    uint16 what;
    void (*serve)(struct command *cmd);
} commands[] = {
    {COMMAND_ARRIVED, arrived}, {CHAT_JOIN, join},          {CHAT_LEAVE, leave}, {CHAT_SAY, say},
    {CHAT_TELL, tell},          {CHAT_NAMES, list},         {CHAT_WHO, list},    {CHAT_ROOMS, list},
    {CHAT_QUIT, quit},          {COMMAND_GONE, gone},       {COMMAND_IN, in},    {COMMAND_NOT_IN, not_in},
    {FAR_ASK, far_asked},       {FAR_ANSWER, far_answered},
};

void hall_serve(struct command *cmd, LOG_QUEUE *qlog)
{
    post_setup(qlog);
    for (uint32 i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (commands[i].what == cmd->what) {
            commands[i].serve(cmd);
            break;
        }
    }
    free(cmd);
}

void hall_setup(uint64 since)
{
    epoch = since;
}

void hall_clear(void)
{
    for (uint32 i = 0; i < 1u << TABLE_BITS; i++) {
        while (rooms.chains[i] != NULL)
            room_destroy((struct room *) rooms.chains[i]);
    }
}

void hall_report(LOG_QUEUE *qlog, void *unused)
{
    (void) unused;
    slog_info_t(qlog, "%llu users, %llu rooms, %llu lines said",
                (unsigned long long) __atomic_load_n(&users_here, __ATOMIC_RELAXED),
                (unsigned long long) __atomic_load_n(&rooms_used, __ATOMIC_RELAXED),
                (unsigned long long) __atomic_load_n(&lines_said, __ATOMIC_RELAXED));
}
