/*
 * test_cidr.c: networks as text, and sets of them against a model that is too simple to be wrong: every network of the
 * list is asked.
 */
#include "unit.h"
#include "mario/base/cidr.h"

#include <stdlib.h>
#include <string.h>

static struct cidr parsed(const char *text)
{
    struct cidr c;
    const char *why = cidr_parse(text, &c);
    ck_assert_msg(why == NULL, "'%s' %s", text, why);
    return c;
}

/* Goal: what is written is read, and printed as one would write it. */
START_TEST(text_and_back)
{
    static const char *const rows[][2] = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1/32", "192.0.2.1"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"2001:db8::/32", "2001:db8::/32"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"::/0", "::/0"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[CIDR_TEXT];
        struct cidr c = parsed(rows[i][0]);
        ck_assert_uint_eq(cidr_print(&c, text, sizeof text), strlen(rows[i][1]));
        ck_assert_str_eq(text, rows[i][1]);
    }
}
END_TEST

/* Goal: a slip is none of the networks that it might have meant. */
START_TEST(slips)
{
    static const char *const rows[] = {
        "",
        "/8",
        "10.0.0/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.1/8",
        "2001:db8::/129",
        "2001:db8::1/32",
        "10.0.0.0/8/8",
        "10.0.0.0/ 8",
        "localhost",
        "::ffff:10.1.0.0/104",
        "10.0.0.0/0008",
        "aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cidr c;
        ck_assert_msg(cidr_parse(rows[i], &c) != NULL, "'%s' was taken", rows[i]);
    }
}
END_TEST

/* Goal: the families do not meet. */
START_TEST(families)
{
    struct cidr all6 = parsed("::/0"), all4 = parsed("0.0.0.0/0"), v4 = parsed("192.0.2.1"),
                v6 = parsed("2001:db8::1");
    ck_assert(cidr_has(&all6, v6.address) && !cidr_has(&all6, v4.address));
    ck_assert(cidr_has(&all4, v4.address) && !cidr_has(&all4, v6.address));
    struct cidr both[] = {all6, all4};
    void *room = malloc(cidr_set_size(2));
    for (uint32_t i = 0; i < 2; i++) {
        const struct cidr_set *s = cidr_set_make(room, &both[i], 1);
        ck_assert(cidr_set_has(s, v6.address) == (i == 0) && cidr_set_has(s, v4.address) == (i == 1));
    }
    free(room);
}
END_TEST

/* A network in a small corner of the addresses, so that many lie in each other; of either family. */
static struct cidr draw(uint64_t *random)
{
    unsigned char address[PEER_ADDRESS] = {0x20, 1};
    bool v4 = unit_random(random) % 2 == 0;
    if (v4)
        memcpy(address, (const unsigned char[12]){[10] = 0xff, [11] = 0xff}, 12);
    for (int i = v4 ? 13 : 6; i < PEER_ADDRESS; i++)
        address[i] = unit_random(random) % 4 == 0 ? (unsigned char) unit_random(random) : 0;
    uint32_t least = v4 ? CIDR_V4_BITS + 4 : 40;
    return cidr_of(address, least + (uint32_t) (unit_random(random) % (129 - least)));
}

static bool is_in(const struct cidr *list, uint32_t n, const unsigned char *address)
{
    for (uint32_t i = 0; i < n; i++) {
        if (cidr_has(&list[i], address))
            return true;
    }
    return false;
}

/* Goal: a set of any size says of any address what its networks say, those at the edges above all. */
START_TEST(sets_against_the_model)
{
    static struct cidr list[1000];
    uint64_t random = 7, inside = 0, asked = 0;
    void *room = malloc(cidr_set_size(1000));
    for (int round = 0; round < 200 / UNIT_SLOW; round++) {
        uint32_t n = (uint32_t) (unit_random(&random) % (round % 4 == 0 ? 1000 : 12));
        for (uint32_t i = 0; i < n; i++)
            list[i] = draw(&random);
        const struct cidr_set *s = cidr_set_make(room, list, n);
        for (int i = 0; i < 300; i++) {
            struct cidr at = n > 0 && i % 2 == 0 ? list[unit_random(&random) % n] : draw(&random);
            if (i % 3 == 0)
                at.address[15]--; /* just before it */
            bool is = is_in(list, n, at.address);
            UNIT_ASSERT(cidr_set_has(s, at.address) == is);
            inside += is;
            asked++;
        }
    }
    free(room);
    ck_assert(inside > asked / 10 && inside < asked * 9 / 10);
}
END_TEST

Suite *cidr_suite(void)
{
    Suite *s = suite_create("cidr");
    TCase *c = unit_case(s, "cidr", 10);
    tcase_add_test(c, text_and_back);
    tcase_add_test(c, slips);
    tcase_add_test(c, families);
    tcase_add_test(c, sets_against_the_model);
    return s;
}
