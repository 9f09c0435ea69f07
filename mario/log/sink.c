/*
 * sink.c: writing to the log's target: collecting lines into one write, counting what is lost, coming
 * back by itself when the disk does, rotation. The log thread alone.
 */
#include "mario/log/sink.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/log/format.h"

enum {
    REOPEN_EVERY = 1,  /* seconds between two attempts to make a file that is gone */
    ROTATE_EVERY = 60, /* and to rotate one that could not be */
    ROTATED_SIZE = LOG_PATH_SIZE + 16
};

_Static_assert(PATH_MAX == (int) LOG_PATH_SIZE, "what realpath() gives has to fit");

static void note(struct log_sink *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct log_sink *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->note, sizeof s->note, fmt, ap);
    va_end(ap);
}

/* ---- The file ---- */

/* Learn what is behind the descriptor. False with errno if it is a file that nobody can find any more. */
static bool look_at_file(struct log_sink *s)
{
    struct stat st;
    s->regular = false;
    if (s->target.kind != LOG_TARGET_FILE)
        return true;
    if (fstat(s->target.fd, &st) != 0)
        return false;
    s->regular = S_ISREG(st.st_mode);
    s->size = (uint64_t) st.st_size;
    errno = ENOENT;
    return !s->regular || st.st_nlink > 0;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Go on with another descriptor. */
static void adopt(struct log_sink *s, int fd)
{
    struct stat old, now;
    bool same = s->target.fd >= 0 && fstat(s->target.fd, &old) == 0 && fstat(fd, &now) == 0 &&
                is_same_file(&old, &now);
    s->torn = s->torn && same;
    if (s->target.fd >= 0)
        close(s->target.fd);
    s->target.fd = fd;
    s->rotate_at = 0;
    s->day = 0;
    look_at_file(s);
    if (s->regular && s->size > 0 && fstat(fd, &now) == 0)
        s->day = log_format_day(now.st_mtime);
}

void log_sink_take(struct log_sink *s, const struct log_target *t)
{
    int old = s->target.fd;
    s->target = *t;
    s->target.fd = old; /* for adopt() to close */
    s->error = 0;
    s->reopen_at = 0;
    adopt(s, t->fd);
}

static bool open_again(struct log_sink *s)
{
    int old = s->target.fd;
    if (!log_target_open(&s->target)) /* leaves the descriptor as it was */
        return false;
    int fd = s->target.fd;
    s->target.fd = old;
    adopt(s, fd);
    return true;
}

bool log_sink_reopen(struct log_sink *s)
{
    if (open_again(s))
        return true;
    note(s, "log: the log file cannot be opened again: %s; going on with the old one", strerror(errno));
    return false;
}

/* Before lines are written: is there somebody to read them later? A file that was removed, or one that does not
 * take lines any more, is opened anew; if that does not help, at most once a second. False with errno. */
static bool file_ready(struct log_sink *s)
{
    bool there = look_at_file(s);
    if (there && (s->error == 0 || !s->regular))
        return true;
    int err = s->error != 0 ? s->error : errno; /* why it could not be made the last time */
    if (clock_seconds() >= s->reopen_at) {
        bool opened = open_again(s);
        err = there || opened ? err : errno;
        s->reopen_at = opened && !there ? 0 : clock_seconds() + REOPEN_EVERY;
        if (opened)
            return true;
    }
    errno = err;
    return there;
}

/* ---- Rotation ---- */

static bool rotate_due(struct log_sink *s, const struct log_record *r, size_t len)
{
    uint64_t have = s->size + (s->out.to_log ? s->out.used : 0);
    if (!s->regular || have == 0 || (s->rotate_at != 0 && clock_seconds() < s->rotate_at))
        return false;
    if (s->set.rotate_size != 0 && have + len > s->set.rotate_size)
        return true;
    return s->set.rotate_daily && log_format_day((time_t) (r->when / 1000000000u)) > s->day && s->day != 0;
}

static void rotated_name(const char *file, uint32_t number, char name[ROTATED_SIZE])
{
    snprintf(name, ROTATED_SIZE, "%s.%u", file, number);
}

/* FILE.1 to FILE.2 and so on, up to the first number that is free, at most `keep`. What is behind that goes. */
static bool shift(const char *file, uint32_t keep)
{
    char from[ROTATED_SIZE], to[ROTATED_SIZE];
    uint32_t last = keep;
    do {
        rotated_name(file, ++last, to);
    } while (unlink(to) == 0); /* there are some if fewer are kept than before */
    last = 1;
    for (rotated_name(file, last, to); last < keep && access(to, F_OK) == 0; rotated_name(file, last, to))
        last++;
    for (uint32_t i = last; i > 1; i--) {
        rotated_name(file, i - 1, from);
        rotated_name(file, i, to);
        if (rename(from, to) != 0)
            return false;
    }
    rotated_name(file, 1, to);
    return rename(file, to) == 0;
}

/* Whether the path still leads to our file: another program may have moved it and made one of its own. */
static bool is_ours(const struct log_sink *s)
{
    struct stat by_name, by_fd;
    return stat(s->target.path, &by_name) == 0 && fstat(s->target.fd, &by_fd) == 0 &&
           is_same_file(&by_name, &by_fd);
}

/* A symbolic link stays: what it leads to is rotated, where that is, and made anew through the link. */
static void rotate(struct log_sink *s)
{
    char file[PATH_MAX], first[ROTATED_SIZE];
    bool ours = is_ours(s);
    if (realpath(s->target.path, file) == NULL)
        memcpy(file, s->target.path, sizeof s->target.path);
    if ((!ours || shift(file, s->set.keep)) && open_again(s)) {
        s->rotate_at = 0;
        return;
    }
    int err = errno;
    rotated_name(file, 1, first);
    if (ours && !is_ours(s) && access(file, F_OK) != 0)
        (void) !rename(first, file); /* no new file to be had: the old one goes on, by its name */
    bool said = s->rotate_at != 0;
    s->rotate_at = clock_seconds() + ROTATE_EVERY;
    if (!said)
        note(s, "log: the log file cannot be rotated: %s; it grows on", strerror(err));
}

/* ---- Writing ---- */

/* How many bytes of p[0 .. n-1] were taken; if not all, errno says why. */
static size_t write_all(int fd, const char *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t k = write(fd, p + done, n - done);
        if (k > 0)
            done += (size_t) k;
        else if (k < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 1000);
        else if (k == 0 || errno != EINTR)
            break;
    }
    return done;
}

/* The log itself cannot say it. Standard error can, unless it hangs too. */
static void say_trouble(const struct log_sink *s, int err)
{
    char line[LOG_NOTE_SIZE];
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    int n = snprintf(line, sizeof line,
                     "mario: the log %.120s cannot be written: %s; lines are dropped and counted\n",
                     s->target.path, strerror(err));
    if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
        (void) !write(STDERR_FILENO, line, (size_t) n);
}

static void failed(struct log_sink *s, int err, uint64_t weight)
{
    err = err != 0 ? err : EIO;
    s->lost += weight;
    if (s->error == 0)
        say_trouble(s, err);
    s->error = err;
}

/* Records in lines that are not whole in the first `done` bytes. */
static uint64_t weight_beyond(const struct log_out *o, size_t done)
{
    uint64_t weight = 0;
    for (uint32_t i = 0; i < o->count; i++) {
        if (o->lines[i].end > done)
            weight += o->lines[i].weight;
    }
    return weight;
}

/* Bytes behind the last line that is whole in the first `done`. */
static size_t fragment(const struct log_out *o, size_t done)
{
    size_t whole = 0;
    for (uint32_t i = 0; i < o->count && o->lines[i].end <= done; i++)
        whole = o->lines[i].end;
    return done - whole;
}

/* Take back the last n bytes of the file. False if it cannot be, or somebody else has appended to it. */
static bool take_back(struct log_sink *s, size_t n)
{
    struct stat st;
    uint64_t size = s->size - n;
    if (!s->regular || fstat(s->target.fd, &st) != 0 || (uint64_t) st.st_size != s->size ||
        ftruncate(s->target.fd, (off_t) size) != 0)
        return false;
    s->size = size;
    return true;
}

static bool write_log(struct log_sink *s)
{
    struct log_out *o = &s->out;
    size_t done = 0;
    bool ready = s->target.kind == LOG_TARGET_STDOUT || file_ready(s);
    if (ready && s->torn && write_all(s->target.fd, "\n", 1) == 1)
        s->torn = false;
    if (ready && !s->torn) {
        done = write_all(s->target.fd, o->text, o->used);
        s->size += done;
    }
    if (done == o->used) {
        s->error = 0;
        return true;
    }
    int err = errno;
    size_t part = fragment(o, done);
    s->torn = s->torn || (part > 0 && !take_back(s, part));
    failed(s, err, weight_beyond(o, done));
    return false;
}

static bool write_raw(struct log_sink *s)
{
    size_t done = write_all(s->out.fd, s->out.text, s->out.used);
    s->lost += weight_beyond(&s->out, done);
    return done == s->out.used;
}

bool log_sink_flush(struct log_sink *s)
{
    bool ok = s->out.used == 0 || (s->out.to_log ? write_log(s) : write_raw(s));
    s->out.used = s->out.count = 0;
    return ok;
}

/* ---- Adding ---- */

static void out_add(struct log_sink *s, int fd, bool to_log, const char *text, size_t len, uint32_t weight)
{
    struct log_out *o = &s->out;
    if (o->count > 0 && /* raw text may be empty: lines without a byte */
        (o->to_log != to_log || o->fd != fd || o->used + len > sizeof o->text || o->count == LOG_OUT_LINES))
        log_sink_flush(s);
    o->fd = fd;
    o->to_log = to_log;
    memcpy(o->text + o->used, text, len);
    o->used += len;
    o->lines[o->count].end = (uint32_t) o->used;
    o->lines[o->count++].weight = weight;
}

void log_sink_line(struct log_sink *s, const struct log_record *r, const char *line, size_t len,
                   uint32_t weight)
{
    if (s->target.kind == LOG_TARGET_SYSLOG) {
        int err = log_target_syslog(&s->target, r, line, len);
        if (err != 0)
            failed(s, err, weight);
        else
            s->error = 0;
        return;
    }
    if (rotate_due(s, r, len)) {
        log_sink_flush(s);
        if (rotate_due(s, r, len)) /* what could not be written does not count: no empty file is rotated */
            rotate(s);
    }
    out_add(s, -1, true, line, len, weight);
    if (s->day == 0)
        s->day = log_format_day((time_t) (r->when / 1000000000u));
}

void log_sink_raw(struct log_sink *s, int fd, const char *text, size_t len)
{
    out_add(s, fd, false, text, len, 1);
}
