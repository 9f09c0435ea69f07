/*
 * common.c: what the conductors of all modes share. Main thread.
 */
#include "common.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "test/lib/clock.h"
#include "test/lib/secure.h"

volatile sig_atomic_t common_interrupted;

static void on_signal(int sig)
{
    (void) sig;
    common_interrupted = 1;
}

void common_catch_signals(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

int common_cannot(const char *what, const char *why)
{
    fprintf(stderr, "mario_load: %s: %s\n", what, why);
    return 2;
}

/* How to mend what faults of this kind have in common. */
static const char *cure_of(enum fault fault)
{
    switch (fault) {
    case FAULT_REFUSED:
        return "start the server, or check host and port";
    case FAULT_RESET:
    case FAULT_CLOSED:
        return "the server is full or refuses: raise its server.connnum and descriptor limit; its log says why";
    case FAULT_BAD_STX:
        return "no MarioTCP server, or one with another magic: check the port, or give -x";
    case FAULT_AWAY:
        return "the server drains: wait until it is back";
    case FAULT_TIMEOUT:
        return "lower the load or --ramp, raise server.backlog and net.core.somaxconn, give the machine more "
               "memory, or raise -D";
    case FAULT_TLS:
        return "check --ca and --sni, the server's certificate, and that its address speaks TLS";
    case FAULT_LOCAL:
        return "raise fs.file-max, fs.epoll.max_user_watches, net.ipv4.tcp_mem or the range of local ports";
    default:
        return "the server's answers are wrong, or it does not know what -a asks";
    }
}

/* What it is, in words. */
static const char *text_of(enum fault fault)
{
    const char *why = secure_first_why();
    return fault == FAULT_TLS && why[0] != '\0' ? why : fault_text(fault);
}

static enum fault most_of(const uint64_t *faults)
{
    int most = FAULT_NONE + 1;
    for (int f = most; f < FAULT_COUNT; f++)
        if (faults[f] > faults[most])
            most = f;
    return (enum fault) most;
}

void common_complain_faults(const uint64_t *faults)
{
    for (int f = FAULT_NONE + 1; f < FAULT_COUNT; f++)
        if (faults[f] > 0)
            fprintf(stderr, ", %" PRIu64 ": %s", faults[f], text_of((enum fault) f));
    fprintf(stderr, "; %s\n", cure_of(most_of(faults)));
}

int common_nobody(const char *what, int err, const uint64_t *faults)
{
    enum fault most = err != 0 ? fault_of_errno(err) : most_of(faults);
    fprintf(stderr, "mario_load: cannot %s: %s; %s\n", what, err != 0 ? secure_error(err) : text_of(most),
            cure_of(most));
    return 2;
}

int common_write(const char *path, common_writer write, const void *what)
{
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (f == NULL)
        return common_cannot(path, strerror(errno));
    write(what, f);
    int bad = fflush(f) != 0 || ferror(f) != 0;
    if (f != stdout && fclose(f) != 0)
        bad = 1;
    return bad ? common_cannot(path, strerror(errno)) : 0;
}

static int is_stdout(const char *path)
{
    return path != NULL && strcmp(path, "-") == 0;
}

FILE *common_summary(const struct load_options *o)
{
    return is_stdout(o->json) || is_stdout(o->histogram) ? stderr : stdout;
}

void common_tell_tls(FILE *out)
{
    struct secure_totals t;
    secure_totals(&t);
    if (t.handshakes > 0)
        fprintf(out, "TLS         %" PRIu64 " handshakes, %" PRIu64 " resumed; %s, %s\n", t.handshakes,
                t.resumed, t.version, t.cipher);
}

void common_json_tls(FILE *out)
{
    struct secure_totals t;
    secure_totals(&t);
    if (t.handshakes > 0)
        fprintf(out,
                ",\"tls\":{\"handshakes\":%" PRIu64 ",\"resumed\":%" PRIu64
                ",\"version\":\"%s\",\"cipher\":\"%s\"}",
                t.handshakes, t.resumed, t.version, t.cipher);
}

void common_json_text(FILE *out, const char *key, const char *text)
{
    fprintf(out, "\"%s\":\"", key);
    for (; *text != '\0'; text++) {
        if ((unsigned char) *text < ' ')
            fprintf(out, "\\u%04x", (unsigned) *text);
        else
            fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
    fputc('"', out);
}

void common_json_faults(FILE *out, const char *key, const uint64_t *faults)
{
    fprintf(out, "\"%s\":{", key);
    for (int f = 1; f < FAULT_COUNT; f++)
        fprintf(out, "%s\"%s\":%" PRIu64, f == 1 ? "" : ",", fault_name((enum fault) f), faults[f]);
    fputc('}', out);
}

void common_nap(uint64_t ns)
{
    if (ns >= NS_PER_S)
        ns = NS_PER_S - 1;
    nanosleep(&(struct timespec){.tv_nsec = (long) ns}, NULL);
}
