/*
 * words.c: words of a line, a path, a body. Pure; any thread.
 */
#include "mario/admin/words.h"

#include <string.h>

#include "mario/base/text.h"

static const char no_text[] = "a control character, or no UTF-8";
static const char too_many[] = "too many words";

/* ---- A word that is being made ---- */

static bool begin(struct words *w)
{
    if (w->count == WORDS_MAX)
        return false;
    w->word[w->count] = w->text + w->used;
    return true;
}

static void add(struct words *w, char c)
{
    if (w->used + 1 < WORDS_ROOM)
        w->text[w->used++] = c;
}

/* Whether it is text. */
static bool end(struct words *w)
{
    const char *word = w->word[w->count];
    size_t n = (size_t) (w->text + w->used - word);
    for (size_t i = 0; i < n;) {
        size_t len = text_utf8(word + i, n - i);
        if (len == 0 || (unsigned char) word[i] < ' ' || word[i] == 0x7f || text_is_c1(word + i, n - i))
            return false;
        i += len;
    }
    w->text[w->used++] = '\0';
    w->count++;
    return w->used < WORDS_ROOM;
}

/* ---- A line ---- */

/* The word that begins at *at. */
static const char *line_word(struct words *w, const char *line, size_t n, size_t *at)
{
    bool quoted = false;
    size_t i = *at;
    if (!begin(w))
        return too_many;
    for (; i < n && (quoted || line[i] != ' '); i++) {
        if (line[i] == '"')
            quoted = !quoted;
        else if (quoted && line[i] == '\\' && i + 1 < n && (line[i + 1] == '"' || line[i + 1] == '\\'))
            add(w, line[++i]);
        else
            add(w, line[i]);
    }
    *at = i;
    if (quoted)
        return "a quote is missing";
    return end(w) ? NULL : no_text;
}

const char *words_of_line(struct words *w, const char *line, size_t n)
{
    const char *wrong = NULL;
    for (size_t i = 0; i < n && wrong == NULL;) {
        if (line[i] == ' ')
            i++;
        else
            wrong = line_word(w, line, n, &i);
    }
    return wrong;
}

/* ---- A path ---- */

/* Of a hexadecimal digit; 16 if it is none. */
static unsigned digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? 16 : (unsigned) (at - digits) % 16;
}

const char *words_of_path(struct words *w, const char *path, size_t n)
{
    bool query = false;
    for (size_t i = 0; i < n; i++) {
        if (!begin(w))
            return too_many;
        for (; i < n && path[i] != (query ? '&' : '/') && (query || path[i] != '?'); i++) {
            char c = query && path[i] == '+' ? ' ' : path[i];
            if (c == '%') {
                if (i + 2 >= n || digit(path[i + 1]) > 15 || digit(path[i + 2]) > 15)
                    return "a % without two hexadecimal digits";
                c = (char) (digit(path[i + 1]) << 4 | digit(path[i + 2]));
                i += 2;
            }
            add(w, c);
        }
        if (w->word[w->count] != w->text + w->used && !end(w)) /* an empty one is none */
            return no_text;
        query = query || (i < n && path[i] == '?');
    }
    return NULL;
}

/* ---- A body ---- */

struct body {
    const char *at, *end;
};

static void skip_blanks(struct body *b)
{
    while (b->at < b->end && (*b->at == ' ' || *b->at == '\t' || *b->at == '\r' || *b->at == '\n'))
        b->at++;
}

/* The next character that is no blank, which is taken if it is this one. */
static bool take(struct body *b, char c)
{
    skip_blanks(b);
    if (b->at == b->end || *b->at != c)
        return false;
    b->at++;
    return true;
}

/* \u and four digits, as UTF-8. Halves of surrogates become what end() refuses: no command needs them. */
static bool body_unicode(struct words *w, struct body *b)
{
    unsigned code = 0;
    if (b->end - b->at < 4)
        return false;
    for (int i = 0; i < 4; i++, b->at++) {
        if (digit(*b->at) > 15)
            return false;
        code = code << 4 | digit(*b->at);
    }
    if (code < 0x80) {
        add(w, (char) code);
        return true;
    }
    if (code >= 0x800) {
        add(w, (char) (0xe0 | code >> 12));
        add(w, (char) (0x80 | (code >> 6 & 0x3f)));
    } else {
        add(w, (char) (0xc0 | code >> 6));
    }
    add(w, (char) (0x80 | (code & 0x3f)));
    return true;
}

static bool body_escape(struct words *w, struct body *b)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (b->at == b->end || *b->at == '\0')
        return false;
    char c = *b->at++;
    if (c == 'u')
        return body_unicode(w, b);
    const char *letter = strchr(letters, c);
    if (letter == NULL)
        return false;
    add(w, meanings[letter - letters]);
    return true;
}

/* A text, its quote is taken, into a word that has begun. */
static bool body_text(struct words *w, struct body *b)
{
    while (b->at < b->end && *b->at != '"') {
        char c = *b->at++;
        if (c == '\\' ? !body_escape(w, b) : (unsigned char) c < ' ')
            return false;
        if (c != '\\')
            add(w, c);
    }
    if (b->at == b->end)
        return false;
    b->at++;
    return true;
}

static const char *body_list(struct words *w, struct body *b)
{
    static const char wrong[] = "args is not a list of texts";
    if (!take(b, '['))
        return wrong;
    if (take(b, ']'))
        return NULL;
    do {
        if (!begin(w))
            return too_many;
        if (!take(b, '"') || !body_text(w, b))
            return wrong;
        if (!end(w))
            return no_text;
    } while (take(b, ','));
    return take(b, ']') ? NULL : wrong;
}

const char *words_of_body(struct words *w, const char *body, size_t n)
{
    static const char wrong[] = "the body is no object with args, a list of texts", name[] = "args\"";
    struct body b = {body, body + n};
    if (!take(&b, '{'))
        return wrong;
    if (!take(&b, '}')) {
        if (!take(&b, '"') || (size_t) (b.end - b.at) < sizeof name - 1 ||
            memcmp(b.at, name, sizeof name - 1) != 0)
            return wrong;
        b.at += sizeof name - 1;
        if (!take(&b, ':'))
            return wrong;
        const char *why = body_list(w, &b);
        if (why != NULL)
            return why;
        if (!take(&b, '}'))
            return wrong;
    }
    skip_blanks(&b);
    return b.at == b.end ? NULL : wrong;
}
