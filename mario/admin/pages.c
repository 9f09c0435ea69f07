/*
 * pages.c: what GET gives that is no command: health, numbers, the page. The admin thread.
 */
#include "mario/admin/pages.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "mario/admin/admin.h"
#include "mario/admin/metrics.h"
#include "mario/admin/prom.h"

enum { OK = 200, UNAVAILABLE = 503, FAILED = 500, NONCE_BYTES = 16 };

/* page.html, as it is. */
__asm__(".section .rodata\n"
        "page_begin: .incbin \"mario/admin/page.html\"\n"
        "page_end: .byte 0\n"
        ".previous\n");
extern const char page_begin[], page_end[];

static int write_health(struct evbuffer *out, struct evbuffer *fields)
{
    (void) fields;
    evbuffer_add_printf(out, "ok\n");
    return OK;
}

static int write_ready(struct evbuffer *out, struct evbuffer *fields)
{
    bool ready = admin_view()->is_ready(admin_view()->master_who);
    (void) fields;
    evbuffer_add_printf(out, "%s\n", ready ? "ready" : "not ready");
    return ready ? OK : UNAVAILABLE;
}

static bool make_nonce(char nonce[2 * NONCE_BYTES + 1])
{
    unsigned char bytes[NONCE_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t) sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++) {
        nonce[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        nonce[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    nonce[2 * sizeof bytes] = '\0';
    return true;
}

/* With a number that is used once: what somebody might get into the page is not run, since it does not know it. */
static int write_page(struct evbuffer *out, struct evbuffer *fields)
{
    static const char mark[] = "@NONCE@";
    char nonce[2 * NONCE_BYTES + 1];
    const char *at = page_begin, *next;
    if (!make_nonce(nonce))
        return FAILED;
    while ((next = memmem(at, (size_t) (page_end - at), mark, sizeof mark - 1)) != NULL) {
        evbuffer_add(out, at, (size_t) (next - at));
        evbuffer_add(out, nonce, sizeof nonce - 1);
        at = next + sizeof mark - 1;
    }
    evbuffer_add(out, at, (size_t) (page_end - at));
    evbuffer_add_printf(
        fields,
        "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'\r\n",
        nonce, nonce);
    return OK;
}

static int write_metrics(struct evbuffer *out, struct evbuffer *fields)
{
    (void) fields;
    return metrics_write(out) ? OK : FAILED;
}

static const struct page pages[] = {
    {"/", "text/html; charset=utf-8", write_page},
    {"/healthz", "text/plain; charset=utf-8", write_health},
    {"/metrics", PROM_TYPE, write_metrics},
    {"/readyz", "text/plain; charset=utf-8", write_ready},
};

const struct page *page_find(const struct http_text *path)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (path->len == strlen(pages[i].path) && memcmp(path->at, pages[i].path, path->len) == 0)
            return &pages[i];
    }
    return NULL;
}
