/*
 * fuzz_mqtt.c: a libFuzzer target for example/mqtt: a stream of packets, and what is read of their bodies. Built and
 * run by ./run.
 *
 * What must hold: with each number of bytes the framing says what a plain reading of the whole stream says, whole, not
 * yet, or no MQTT; nothing is read but what is there: each body is in a block of its own; what was sent as a packet is
 * read as that packet.
 */
#include "plain.h"

#include <string.h>

#include "example/mqtt/mqtt.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* The packet in front by one reading of all bytes: where its body is, how long; false if there is none. *bad: nor will
 * there be. */
static bool read_plainly(const uint8_t *p, size_t n, size_t *head, size_t *body, bool *bad)
{
    static const uint8_t good[] = {0x10, 0x30, 0x31, 0x82, 0xa2, 0xc0, 0xe0};
    size_t len = 0, unit = 1;
    *bad = memchr(good, p[0], sizeof good) == NULL;
    for (*head = 1; !*bad && *head < n; unit *= 128) {
        uint8_t byte = p[(*head)++];
        len += (byte % 128) * unit;
        if (byte < 128) {
            *body = len;
            return true;
        }
        *bad = *head == 5;
    }
    return false;
}

static void read_body(uint8_t type, const uint8_t *at, size_t n)
{
    uint8_t *copy = malloc(n + 1);
    MUST(copy != NULL);
    copy = realloc(copy, n > 0 ? n : 1);
    MUST(copy != NULL);
    memcpy(copy, at, n);
    struct mqtt_body b = {.at = copy, .left = (uint32_t) n};
    struct mqtt_connect req;
    if (type == MQTT_CONNECT && mqtt_read_connect(copy, (uint32_t) n, &req) && req.level == 4)
        MUST(!req.has_will || mqtt_is_topic(req.will_topic));
    if (type == MQTT_SUBSCRIBE)
        mqtt_number(&b);
    while (type != MQTT_CONNECT && !b.bad && b.left > 0) {
        struct mqtt_text t = mqtt_text(&b);
        MUST(b.bad || t.at + t.len <= copy + n);
        mqtt_is_topic(t);
        mqtt_byte(&b);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct mario_frame frame;
    for (size_t at = 0, used; at < size; at += used) {
        size_t left = size - at, head, body = 0;
        bool bad;
        for (size_t n = 1; n <= left && n < 300; n++) {
            uint8_t *copy = malloc(n);
            MUST(copy != NULL);
            memcpy(copy, input + at, n);
            bool known = read_plainly(copy, n, &head, &body, &bad);
            frame = (struct mario_frame){.need = 0};
            enum mario_frame_answer answer =
                mqtt_framing.next(&mqtt_framing, NULL, copy, (uint32_t) n, 0, &frame);
            free(copy);
            MUST(answer == (bad                         ? MARIO_FRAME_BAD
                            : known && head + body <= n ? MARIO_FRAME_OK
                                                        : MARIO_FRAME_MORE));
            MUST(frame.need == (known ? head + body : 0));
            if (answer != MARIO_FRAME_MORE)
                break;
        }
        if (bad || body == 0 || head + body > left)
            break;
        read_body(input[at], input + at + head, body);
        used = head + body;
    }
    return 0;
}
