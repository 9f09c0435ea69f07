/*
 * fuzz_words.c: a libFuzzer target for what comes over the admin's doors as words: a line, a path, a body
 * (mario/admin/words.h). Built and run by ./run.
 *
 * Input: a byte says which of them, then the text, in a heap block of exactly its bytes. What must hold: words are text
 * without control characters; written down again as a line in quotes, as a path in hexadecimal and as the JSON that the
 * admin thread itself makes, they are read as the same words; and an answer of them, as text, stays in its lines.
 */
#include "mario/admin/answer.h"
#include "mario/admin/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { LINE, PATH, BODY, WAYS };

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_words: %s\n", what);
        abort();
    }
}

static const char *read_words(struct words *w, int way, const char *text, size_t n)
{
    char *block = malloc(n > 0 ? n : 1);
    if (block == NULL)
        abort();
    memcpy(block, text, n);
    w->count = w->used = 0;
    const char *wrong = way == LINE   ? words_of_line(w, block, n)
                        : way == PATH ? words_of_path(w, block, n)
                                      : words_of_body(w, block, n);
    free(block);
    return wrong;
}

static void must_be_same(const struct words *a, const struct words *b, const char *what)
{
    must(a->count == b->count, what);
    for (uint32_t i = 0; i < a->count; i++)
        must(strcmp(a->word[i], b->word[i]) == 0, what);
}

/* ---- Writing them down again ---- */

static char again[4 * WORDS_ROOM];
static struct words second;

static void as_line(const struct words *w)
{
    size_t n = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        again[n++] = '"';
        for (const char *p = w->word[i]; *p != '\0'; p++) {
            if (*p == '"' || *p == '\\')
                again[n++] = '\\';
            again[n++] = *p;
        }
        again[n++] = '"';
        again[n++] = ' ';
    }
    if (n > LINE_BYTES)
        return;
    must(read_words(&second, LINE, again, n) == NULL, "a line of good words is wrong");
    must_be_same(w, &second, "a line of them has other words");
}

/* In a path there is no empty word. */
static void as_path(const struct words *w)
{
    size_t n = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->word[i][0] == '\0')
            return;
        again[n++] = i == 0 ? '/' : i == 1 ? '?' : '&';
        for (const char *p = w->word[i]; *p != '\0'; p++)
            n += (size_t) sprintf(again + n, "%%%02x", (unsigned char) *p);
    }
    if (n > HTTP_HEAD_MAX)
        return;
    must(read_words(&second, PATH, again, n) == NULL, "a path of good words is wrong");
    must_be_same(w, &second, "a path of them has other words");
}

static void as_answer(const struct words *w)
{
    struct mario_answer *a = answer_create(NULL, NULL);
    struct evbuffer *out = evbuffer_new();
    if (a == NULL || out == NULL)
        abort();
    answer_is_now(a);
    mario_answer_list(a, "args");
    for (uint32_t i = 0; i < w->count; i++)
        mario_answer_text(a, NULL, w->word[i]);
    mario_answer_end(a);
    answer_show(a, ANSWER_JSON, out);
    size_t n = evbuffer_get_length(out);
    const char *json = (const char *) evbuffer_pullup(out, -1);
    if (n <= LINE_BYTES) {
        must(read_words(&second, BODY, json, n) == NULL, "our own JSON is wrong");
        must_be_same(w, &second, "our own JSON has other words");
    }
    evbuffer_drain(out, n);
    answer_show(a, ANSWER_TEXT, out);
    const char *text = (const char *) evbuffer_pullup(out, -1);
    uint32_t lines = 0;
    n = evbuffer_get_length(out);
    for (size_t i = 0; i < n; i++) {
        must((unsigned char) text[i] >= ' ' || text[i] == '\n', "a control character in text");
        lines += text[i] == '\n';
    }
    must(lines == (w->count > 0 ? w->count : 1), "a word has left its line");
    answer_drop(&a);
    evbuffer_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static struct words w;
    if (size < 1 || size > LINE_BYTES + 1)
        return 0;
    if (read_words(&w, input[0] % WAYS, (const char *) input + 1, size - 1) != NULL)
        return 0;
    must(w.count <= WORDS_MAX && w.used <= WORDS_ROOM, "too many words");
    for (uint32_t i = 0; i < w.count; i++) {
        for (const char *p = w.word[i]; *p != '\0'; p++)
            must((unsigned char) *p >= ' ' && *p != 0x7f, "a control character in a word");
    }
    as_line(&w);
    as_path(&w);
    as_answer(&w);
    return 0;
}
