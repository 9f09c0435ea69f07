/*
 * test_looks.c: what a client speaks that came to the wrong address, and that nothing else is taken for it.
 */
#include <string.h>

#include "mario/frame/looks.h"
#include "mario/mario_frame.h"
#include "unit.h"

#define BYTES(text) text, sizeof text - 1

static const struct {
    const char *bytes;
    size_t len;
    const char *name; /* NULL: nothing known */
} cases[] = {
    {BYTES("GET / HTTP/1.1\r\n"), "HTTP"},
    {BYTES("GET "), "HTTP"},
    {BYTES("OPTI"), "HTTP"}, /* as much as a HEAD needs to be refused */
    {BYTES("OPTIMUM"), NULL},
    {BYTES("PRI * HTTP/2.0\r\n"), "HTTP"},
    {BYTES("HTTP/1.1 400"), "HTTP"},
    {BYTES("GETTING"), NULL},
    {BYTES("get / "), NULL},
    {BYTES("\x16\x03\x01\x02\x00\x01"), "TLS"},
    {BYTES("\x16\x03\x05\x02"), NULL},
    {BYTES("\x80\x2e\x01\x03\x01"), "SSL 2"},
    {BYTES("\x80\x2e\x02\x03\x01"), NULL},
    {BYTES("PROXY TCP4 "), "the PROXY protocol"},
    {BYTES("\r\n\r\n\0\r\nQUIT\n\x21"), "the PROXY protocol"},
    {BYTES("\r\n\r\n\0\r\nQUIT?"), NULL},
    {BYTES("SSH-2.0-OpenSSH"), "SSH"},
    {BYTES("SSL-"), NULL},
    {BYTES("hello\n"), NULL},
    {BYTES("\0\0\0\0"), NULL},
};

START_TEST(looks)
{
    const unsigned char *data = (const unsigned char *) cases[_i].bytes;
    const char *name = frame_looks_name(frame_looks(data, (uint32_t) cases[_i].len));
    if (cases[_i].name == NULL)
        ck_assert_ptr_null(name);
    else
        ck_assert_str_eq(name, cases[_i].name);
    for (uint32_t n = 0; n < 4; n++)
        ck_assert_int_eq(frame_looks(data, n), LOOKS_UNKNOWN);
}
END_TEST

START_TEST(other_numbers_have_no_name)
{
    ck_assert_ptr_null(frame_looks_name(LOOKS_UNKNOWN));
    ck_assert_ptr_null(frame_looks_name(LOOKS_HEAD + 1));
    ck_assert_ptr_null(frame_looks_name(MARIO_FAULT_OWN));
}
END_TEST

Suite *looks_suite(void)
{
    Suite *s = suite_create("looks");
    TCase *c = tcase_create("looks");
    tcase_add_loop_test(c, looks, 0, sizeof cases / sizeof *cases);
    tcase_add_test(c, other_numbers_have_no_name);
    suite_add_tcase(s, c);
    return s;
}
