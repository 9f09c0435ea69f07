/*
 * commands.c: what the person says: commands, and lines to be said. One thread.
 */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "words.h"

/* The first word of *text as a name, and what is behind it. False after a complaint. */
static bool take_word(const char **text, char word[CHAT_NAME])
{
    char typed[CHAT_NAME + 2] = "";
    size_t len = strcspn(*text, " ");
    snprintf(typed, sizeof typed, "%.*s", (int) len, *text);
    *text += len + strspn(*text + len, " ");
    if (word_make(word, typed[0] == '#' ? typed + 1 : typed))
        return true;
    note("a name is 1 to %d letters, digits, - and _", CHAT_NAME);
    return false;
}

/* The room that is named, or the one where we speak. */
static bool take_room(const char **text, char word[CHAT_NAME])
{
    if (**text != '\0')
        return take_word(text, word);
    if (me.room_count == 0) {
        note("you are in no room; /join ROOM");
        return false;
    }
    memcpy(word, me.rooms[me.room_count - 1].name, CHAT_NAME);
    return true;
}

static void do_join(const char *text)
{
    char word[CHAT_NAME];
    if (!take_word(&text, word))
        return;
    if (room_find(word) != NULL)
        room_choose(word);
    else
        request(CHAT_JOIN, word, NULL);
}

static void do_leave(const char *text)
{
    char word[CHAT_NAME];
    if (take_room(&text, word))
        request(CHAT_LEAVE, word, NULL);
}

static bool may_be_sent(const char *text)
{
    if (text_is_clean(text, strlen(text)) && strlen(text) <= CHAT_TEXT)
        return true;
    note("%s", strlen(text) > CHAT_TEXT ? "that is too long" : "that is no text in UTF-8");
    return false;
}

static void do_msg(const char *text)
{
    char word[CHAT_NAME];
    if (!take_word(&text, word))
        return;
    if (text[0] == '\0')
        note("/msg NAME TEXT");
    else if (may_be_sent(text))
        request(CHAT_TELL, word, text);
}

static void do_names(const char *text)
{
    char word[CHAT_NAME];
    if (take_room(&text, word))
        request(CHAT_NAMES, word, NULL);
}

static void do_who(const char *text)
{
    char word[CHAT_NAME];
    if (take_word(&text, word))
        request(CHAT_WHO, word, NULL);
}

static void do_rooms(const char *text)
{
    (void) text;
    request(CHAT_ROOMS, NULL, NULL);
}

static void do_quit(const char *text)
{
    (void) text;
    leave_chat();
}

static void do_help(const char *text);

static const struct {
    const char *name, *takes, *does;
    void (*run)(const char *text);
    bool always; /* also while not connected */
} commands[] = {
    {"join", "ROOM", "go there, or speak there from now on", do_join, false},
    {"leave", "[ROOM]", "leave it", do_leave, false},
    {"msg", "NAME TEXT", "for one alone", do_msg, false},
    {"names", "[ROOM]", "who is there", do_names, false},
    {"who", "NAME", "where somebody is", do_who, false},
    {"rooms", "", "all rooms", do_rooms, false},
    {"help", "", "this", do_help, true},
    {"quit", "", "end; so does Ctrl-D", do_quit, true},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void do_help(const char *text)
{
    (void) text;
    for (size_t i = 0; i < COMMANDS; i++)
        note("/%-6s %-10s %s", commands[i].name, commands[i].takes, commands[i].does);
    note("anything else is said in the room that stands before it; // begins a line with /");
}

static void run_command(const char *text)
{
    size_t len = strcspn(text, " ");
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strlen(commands[i].name) == len && strncmp(commands[i].name, text, len) == 0) {
            if (me.welcome || commands[i].always)
                commands[i].run(text + len + strspn(text + len, " "));
            else
                note("not connected: that was not sent");
            show_prompt();
            return;
        }
    }
    note("there is no /%.*s; /help tells what there is", (int) len, text);
}

void do_line(const char *text)
{
    bool is_command = text[0] == '/' && text[1] != '/';
    char word[CHAT_NAME];
    const char *none = "";
    if (is_command)
        run_command(text + 1);
    else if (text[0] != '\0' && !me.welcome)
        note("not connected: that was not sent");
    else if (text[0] != '\0' && may_be_sent(text) && take_room(&none, word))
        request(CHAT_SAY, word, text[0] == '/' ? text + 1 : text);
}
