/*
 * target.c: what a log target's name means, opening it, and talking to syslogd. Parsing and opening are for
 * any thread, sending to syslogd for the log thread.
 *
 * syslogd is spoken to directly and not through syslog(3), which does not say what was lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "mario/base/util.h"
#include "mario/log/format.h"
#include "mario/log/sink.h"

enum { SYSLOG_WAIT_MS = 1000 }; /* for a syslogd that does not read */

const char *log_syslog_path = "/dev/log";

static const struct {
    const char *name;
    int facility;
} facilities[] = {
    {"daemon", LOG_DAEMON}, {"user", LOG_USER},     {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV},
    {"cron", LOG_CRON},     {"ftp", LOG_FTP},       {"lpr", LOG_LPR},       {"mail", LOG_MAIL},
    {"news", LOG_NEWS},     {"syslog", LOG_SYSLOG}, {"uucp", LOG_UUCP},     {"local0", LOG_LOCAL0},
    {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},
    {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
};

static bool parse_syslog(struct log_target *t, const char *name, char *why, size_t size)
{
    t->kind = LOG_TARGET_SYSLOG;
    for (size_t i = 0; i < sizeof facilities / sizeof facilities[0]; i++) {
        if (strcmp(facilities[i].name, name) == 0) {
            t->facility = facilities[i].facility;
            return true;
        }
    }
    snprintf(why, size, "'%.32s' is not a facility of syslog", name);
    return false;
}

bool log_target_parse(struct log_target *t, const char *text, char *why, size_t size)
{
    size_t len = strlen(text);
    t->fd = -1;
    t->facility = 0;
    t->kind = strcmp(text, "-") == 0 ? LOG_TARGET_STDOUT : LOG_TARGET_FILE;
    if (len == 0 || len >= sizeof t->path) {
        snprintf(why, size, "%s", len == 0 ? "the path is empty" : "the path is too long");
        return false;
    }
    memcpy(t->path, text, len + 1);
    if (strcmp(text, "syslog") == 0)
        return parse_syslog(t, "daemon", why, size);
    if (strncmp(text, "syslog:", 7) == 0)
        return parse_syslog(t, text + 7, why, size);
    return true;
}

/* O_NONBLOCK, since opening a pipe that nobody reads would wait for ever; writing may wait, that is the log
 * thread's. */
static int open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

static int open_syslog(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = SYSLOG_WAIT_MS / 1000};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", log_syslog_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0 ||
                    connect(fd, (struct sockaddr *) &to, sizeof to) != 0)) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

bool log_target_open(struct log_target *t)
{
    util_fill_standard();
    int fd = t->kind == LOG_TARGET_STDOUT ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
             : t->kind == LOG_TARGET_FILE ? open_file(t->path)
                                          : open_syslog();
    if (fd < 0)
        return false;
    t->fd = fd;
    return true;
}

/* Whether the one who listened at the other end is gone, or never was: another may be there by now. */
static bool is_gone(int err)
{
    return err == EBADF || err == ECONNREFUSED || err == ENOTCONN || err == ECONNRESET || err == EPIPE ||
           err == ENOENT;
}

static int send_datagram(int fd, const char *text, size_t len)
{
    ssize_t n;
    do {
        n = send(fd, text, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? 0 : errno;
}

int log_target_syslog(struct log_target *t, const struct log_record *r, const char *text, size_t len)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    char datagram[LOG_LINE_SIZE + 128], stamp[32];
    time_t second = (time_t) (r->when / 1000000000u);
    struct tm tm;
    localtime_r(&second, &tm);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &tm);
    while (len > 0 && text[len - 1] == '\n')
        len--;
    int n = snprintf(datagram, sizeof datagram, "<%d>%s %.32s[%d]: %.*s", t->facility | priorities[r->level],
                     stamp, program_invocation_short_name, (int) getpid(), (int) len, text);
    int err = send_datagram(t->fd, datagram, (size_t) n);
    if (!is_gone(err))
        return err;
    int old = t->fd;
    if (!log_target_open(t))
        return old >= 0 ? err : errno;
    if (old >= 0)
        close(old);
    return send_datagram(t->fd, datagram, (size_t) n);
}
