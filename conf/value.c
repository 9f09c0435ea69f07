/*
 * value.c: one option's value: from text, to text, and its range in words. Main thread, no state.
 */
#include "row.h"

#include <ctype.h>
#include <string.h>

_Static_assert(sizeof(enum mario_when_full) == sizeof(uint32) && sizeof(enum mario_assign) == sizeof(uint32),
               "enums are stored as uint32");
_Static_assert(sizeof(enum mario_slow) == sizeof(uint32) && sizeof(enum mario_limit) == sizeof(uint32) &&
                   sizeof(enum mario_uring) == sizeof(uint32) &&
                   sizeof(enum mario_tls_records) == sizeof(uint32) &&
                   sizeof(enum mario_tls_offload) == sizeof(uint32),
               "enums are stored as uint32");
_Static_assert(sizeof(enum mario_log_format) == sizeof(uint32), "enums are stored as uint32");
_Static_assert(sizeof(int) == sizeof(uint32), "a bool is an int and is stored as uint32");

static const char *const value_bools[] = {"off", "on", NULL};

static void value_store(const struct row *row, struct maritcp_conf *conf, uint32 value)
{
    memcpy((char *) conf + row->at, &value, sizeof value);
}

static uint32 value_load(const struct row *row, const struct maritcp_conf *conf)
{
    uint32 value;
    memcpy(&value, (const char *) conf + row->at, sizeof value);
    return value;
}

static const char *const *value_names(const struct row *row)
{
    return row->type == ROW_BOOL ? value_bools : row->names;
}

/* The factor of a size suffix, 0 if it is none. */
static uint32 value_factor(char suffix)
{
    switch (tolower((unsigned char) suffix)) {
    case 'k':
        return 1u << 10;
    case 'm':
        return 1u << 20;
    case 'g':
        return 1u << 30;
    default:
        return 0;
    }
}

/* The value of a digit; 16 if it is none. */
static uint32 value_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, tolower((unsigned char) c)) : NULL;
    return at != NULL ? (uint32) (at - digits) : 16;
}

/* Parse a whole number of row's type. NULL, or what is wrong. value stops growing once it is too large. */
static const char *value_number(const struct row *row, const char *text, uint32 *out)
{
    bool hex = row->type == ROW_HEX && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    uint32 base = hex ? 16 : row->type == ROW_OCTAL ? 8 : 10;
    uint64 value = 0;
    if (hex)
        text += 2;
    else if (*text == '-' && value_digit(text[1]) < 10)
        return "is negative";
    if (value_digit(*text) >= base)
        return "is not a number";
    for (; value_digit(*text) < base; text++) {
        if (value <= UINT32_MAX)
            value = value * base + value_digit(*text);
    }
    if (row->type == ROW_SIZE && value_factor(*text) != 0) {
        if (value <= UINT32_MAX)
            value *= value_factor(*text);
        text++;
    }
    if (*text != '\0')
        return "has something behind the number";
    if (value < row->min || value > row->max)
        return "is out of range";
    *out = (uint32) value;
    return NULL;
}

static const char *value_word(const struct row *row, const char *text, uint32 *out)
{
    for (uint32 i = 0; value_names(row)[i] != NULL; i++) {
        if (strcmp(value_names(row)[i], text) == 0) {
            *out = i;
            return NULL;
        }
    }
    return "is not one of the words";
}

/* A string must survive being printed into a file and read again. */
static const char *value_string(const struct row *row, const char *text)
{
    if (text_bad(text, strlen(text)) != NULL)
        return "is not plain UTF-8 text";
    if (strchr(text, ';') != NULL)
        return "has a ';', which starts a comment";
    if (row->type == ROW_LISTEN || row->type == ROW_DOORS)
        return strlen(text) >= CONF_LISTEN_SIZE ? "is too long a list" : NULL;
    if (row->type == ROW_LEVELS || row->type == ROW_SERVERS)
        return strlen(text) > row->max ? "is too long a list" : NULL;
    return strlen(text) < row->min || strlen(text) > row->max ? "has a length out of range" : NULL;
}

bool value_is_path(const char *target)
{
    return strcmp(target, "-") != 0 && strcmp(target, "syslog") != 0 && strncmp(target, "syslog:", 7) != 0;
}

/* Types whose value is text, and is stored as such. */
static bool value_is_text(const struct row *row)
{
    return row->type == ROW_STRING || row->type == ROW_LISTEN || row->type == ROW_LEVELS ||
           row->type == ROW_TARGET || row->type == ROW_USER || row->type == ROW_GROUP ||
           row->type == ROW_SERVERS || row->type == ROW_NAME || row->type == ROW_SECRET ||
           row->type == ROW_DOORS || row->type == ROW_HOSTS || row->type == ROW_TOKEN ||
           row->type == ROW_NETWORKS || row->type == ROW_FILE;
}

/* The same of the cluster's texts, each by itself. */
static sint32 value_ask_cluster(const struct row *row, const char *text, char why[WHY_SIZE])
{
    static const struct {
        const char *key;
        size_t at;
    } texts[] = {
        {"redis", offsetof(struct mario_cluster_options, redis)},
        {"nats", offsetof(struct mario_cluster_options, nats)},
        {"prefix", offsetof(struct mario_cluster_options, prefix)},
        {"node", offsetof(struct mario_cluster_options, node)},
        {"password_file", offsetof(struct mario_cluster_options, password_file)},
    };
    struct mario_cluster_options o;
    mario_cluster_options_init(&o);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(row->key, texts[i].key) == 0)
            memcpy((char *) &o + texts[i].at, &text, sizeof text);
    }
    if (mario_cluster_check(&o, why, WHY_SIZE) == 0)
        return 0;
    size_t named = strlen(row->key) + sizeof " = " - 1; /* which conf_fail() says already */
    memmove(why, why + named, strlen(why + named) + 1);
    return -1;
}

/* The same of what operators come by. */
static sint32 value_ask_admin(const struct row *row, const char *text, char why[WHY_SIZE])
{
    struct mario_options o;
    mario_options_init(&o);
    if (row->type == ROW_DOORS)
        o.admin_listen = text;
    else if (row->type == ROW_HOSTS)
        o.admin_hosts = text;
    else
        o.admin_token_file = text;
    return mario_admin_check(&o, why, WHY_SIZE);
}

/* What the library has to say about a text: 0, or -1 with what is wrong in why. */
static sint32 value_ask_library(const struct row *row, const char *text, bool again, char why[WHY_SIZE])
{
    switch (row->type) {
    case ROW_LISTEN:
        return mario_listen_check(text, why, WHY_SIZE);
    case ROW_LEVELS:
        return mario_log_levels_check(text, why, WHY_SIZE);
    case ROW_USER:
        return again ? 0 : mario_user_check(text, why, WHY_SIZE);
    case ROW_GROUP:
        return again ? 0 : mario_group_check(text, why, WHY_SIZE);
    case ROW_TARGET:
        return mario_log_target_check(text, why, WHY_SIZE);
    case ROW_SECRET:
        return again ? 0 : value_ask_cluster(row, text, why);
    case ROW_SERVERS:
    case ROW_NAME:
        return value_ask_cluster(row, text, why);
    case ROW_TOKEN:
        return again ? 0 : value_ask_admin(row, text, why);
    case ROW_DOORS:
    case ROW_HOSTS:
        return value_ask_admin(row, text, why);
    default:
        return 0;
    }
}

sint32 value_parse(const struct row *row, struct maritcp_conf *conf, const char *text, char why[WHY_SIZE])
{
    char quoted[QUOTE_SIZE];
    const char *wrong = NULL;
    uint32 value = 0;
    if (*text == '\0') {
        snprintf(why, WHY_SIZE, "no value");
        return -1;
    }
    if (value_is_text(row))
        wrong = value_string(row, text);
    else if (row->type == ROW_BOOL || row->type == ROW_ENUM)
        wrong = value_word(row, text, &value);
    else
        wrong = value_number(row, text, &value);
    if (wrong != NULL) {
        text_quote(quoted, text);
        snprintf(why, WHY_SIZE, "%s %s", quoted, wrong);
        return -1;
    }
    if (value_ask_library(row, text, conf->again, why) != 0)
        return -1;
    if (value_is_text(row))
        memcpy((char *) conf + row->at, text, strlen(text) + 1);
    else if (row->type == ROW_PORT)
        snprintf((char *) conf + row->at, CONF_LISTEN_SIZE, "0.0.0.0:%u", value);
    else
        value_store(row, conf, value);
    return 0;
}

void size_print(uint32 value, char *out, size_t size)
{
    static const char *const suffixes[] = {"", "k", "m", "g"};
    unsigned power = 0;
    while (power < 3 && value != 0 && value % 1024 == 0) {
        value /= 1024;
        power++;
    }
    snprintf(out, size, "%u%s", value, suffixes[power]);
}

void value_print(const struct row *row, const struct maritcp_conf *conf, char *out, size_t size)
{
    switch (row->type) {
    case ROW_NUMBER:
        snprintf(out, size, "%u", value_load(row, conf));
        break;
    case ROW_SIZE:
        size_print(value_load(row, conf), out, size);
        break;
    case ROW_HEX:
        snprintf(out, size, "0x%08x", value_load(row, conf));
        break;
    case ROW_OCTAL:
        snprintf(out, size, "0%03o", value_load(row, conf));
        break;
    case ROW_BOOL:
    case ROW_ENUM:
        snprintf(out, size, "%s", value_names(row)[value_load(row, conf)]);
        break;
    case ROW_STRING:
    case ROW_LISTEN:
    case ROW_USER:
    case ROW_GROUP:
    case ROW_LEVELS:
    case ROW_TARGET:
    case ROW_SERVERS:
    case ROW_NAME:
    case ROW_SECRET:
    case ROW_DOORS:
    case ROW_HOSTS:
    case ROW_TOKEN:
    case ROW_NETWORKS:
    case ROW_FILE:
    case ROW_PORT:
        snprintf(out, size, "%s", (const char *) conf + row->at);
        break;
    }
}

bool value_is_same(const struct row *row, const struct maritcp_conf *a, const struct maritcp_conf *b)
{
    if (value_is_text(row))
        return strcmp((const char *) a + row->at, (const char *) b + row->at) == 0;
    return value_load(row, a) == value_load(row, b);
}

void value_copy(const struct row *row, struct maritcp_conf *to, const struct maritcp_conf *from)
{
    const char *text = (const char *) from + row->at;
    if (value_is_text(row))
        memmove((char *) to + row->at, text, strlen(text) + 1);
    else
        value_store(row, to, value_load(row, from));
}

/* What a value of a type may be where that is the same for all rows; else NULL. */
static const char *fixed_range(enum row_type type)
{
    switch (type) {
    case ROW_USER:
        return "user, user:group or -; not root";
    case ROW_GROUP:
        return "group or -";
    case ROW_SERVERS:
        return "host:port, [v6]:port, separated by commas, up to 16; port 1 .. 65535";
    case ROW_DOORS:
        return "unix:/path, addr:port, [v6]:port, separated by commas, or -";
    case ROW_HOSTS:
        return "names, addresses, [v6], separated by commas, up to 16";
    case ROW_TOKEN:
    case ROW_SECRET:
        return "the path of a file that nobody else may read, or -";
    case ROW_NETWORKS:
    case ROW_FILE:
        return "the path of a file, or -";
    case ROW_LEVELS:
        return "err, warn, info, debug; behind it SUBSYSTEM=LEVEL for server, conn, app, watch, log";
    default:
        return NULL;
    }
}

void value_range(const struct row *row, char out[RANGE_SIZE])
{
    char low[16], high[16];
    size_t used = 0;
    switch (row->type) {
    case ROW_NUMBER:
    case ROW_PORT:
        snprintf(out, RANGE_SIZE, "%u .. %u", row->min, row->max);
        break;
    case ROW_SIZE:
        size_print(row->min, low, sizeof low);
        size_print(row->max, high, sizeof high);
        snprintf(out, RANGE_SIZE, "%s .. %s", low, high);
        break;
    case ROW_HEX:
        snprintf(out, RANGE_SIZE, "0x%x .. 0x%x", row->min, row->max);
        break;
    case ROW_OCTAL:
        snprintf(out, RANGE_SIZE, "0%03o .. 0%03o", row->min, row->max);
        break;
    case ROW_BOOL:
    case ROW_ENUM:
        for (uint32 i = 0; value_names(row)[i] != NULL && used < RANGE_SIZE; i++)
            used +=
                (size_t) snprintf(out + used, RANGE_SIZE - used, "%s%s", i ? ", " : "", value_names(row)[i]);
        break;
    case ROW_STRING:
        snprintf(out, RANGE_SIZE, "%u .. %u bytes", row->min, row->max);
        break;
    case ROW_TARGET:
        snprintf(out, RANGE_SIZE, "a path of %u .. %u bytes, -, syslog, syslog:FACILITY", row->min, row->max);
        break;
    case ROW_NAME:
        snprintf(out, RANGE_SIZE, "%u .. %u letters, digits, '-', '_', '.'", row->min, row->max);
        break;
    case ROW_LISTEN:
        snprintf(
            out, RANGE_SIZE,
            "addr:port, [v6]:port, unix:/path, options behind each by blanks, separated by commas; port %u .. "
            "%u",
            row->min, row->max);
        break;
    default:
        snprintf(out, RANGE_SIZE, "%s", fixed_range(row->type));
        break;
    }
}
