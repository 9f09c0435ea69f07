/*
 * unix_socket.c: the file of a listening unix socket. For the thread that makes the server, and the one that stops it.
 *
 * A file whose server is gone makes bind() fail for ever, so it has to be removed; but between the look and the removal
 * another server may have put its own there, and between bind() and listen() a socket looks like one whose server is
 * gone. So all of it, from the look to listen(), is done under a lock on the directory, which leaves nothing behind.
 */
#include "mario/net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mario/base/clock.h"

enum {
    LOCK_MS = 2000,    /* more than another server needs to listen */
    LOCK_LOOK_MS = 10, /* between two attempts */
    NO_LOCK = -2       /* the directory cannot be opened to read: who may write there knows what it does */
};

/* The directory's lock, to be closed; -1 with errno if it is not to be had in time. */
static int lock_directory(const char *path)
{
    char dir[sizeof((struct sockaddr_un *) NULL)->sun_path];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t) (slash - path);
    memcpy(dir, path, len);
    memcpy(dir + len, len == 0 ? "." : "", len == 0 ? 2 : 1);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? NO_LOCK : -1;
    for (uint64_t until = clock_ms() + LOCK_MS; flock(fd, LOCK_EX | LOCK_NB) != 0;) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            close(fd);
            return NO_LOCK; /* a file system without locks */
        }
        if (clock_ms() >= until) {
            close(fd);
            errno = EAGAIN;
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOCK_LOOK_MS * 1000000L}, NULL);
    }
    return fd;
}

static bool is_deserted(const struct sockaddr_un *where)
{
    struct stat st;
    if (lstat(where->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool deserted = connect(fd, (const struct sockaddr *) where, sizeof *where) != 0 && errno == ECONNREFUSED;
    close(fd);
    return deserted;
}

/* The mode is given by the umask, since then there is no moment with another one, nor a path that could lead elsewhere
 * by now. */
static bool bind_file(int fd, const struct sockaddr_un *where, mode_t mode, gid_t group,
                      struct unix_file *file)
{
    struct stat st;
    mode_t old = umask(0777 & ~mode);
    bool bound = bind(fd, (const struct sockaddr *) where, sizeof *where) == 0;
    umask(old);
    if (!bound || lstat(where->sun_path, &st) != 0)
        return false;
    *file = (struct unix_file){.dev = st.st_dev, .ino = st.st_ino};
    return group == (gid_t) -1 || lchown(where->sun_path, (uid_t) -1, group) == 0;
}

bool unix_socket_listen(int fd, const struct sockaddr_un *where, int backlog, mode_t mode, gid_t group,
                        struct unix_file *file)
{
    *file = (struct unix_file){0};
    int lock = lock_directory(where->sun_path);
    if (lock == -1)
        return false;
    if (is_deserted(where))
        unlink(where->sun_path);
    bool ok = bind_file(fd, where, mode, group, file) && listen(fd, backlog) == 0;
    int err = errno;
    if (!ok)
        unix_socket_remove(where, file);
    if (lock >= 0)
        close(lock);
    errno = err;
    return ok;
}

void unix_socket_remove(const struct sockaddr_un *where, const struct unix_file *file)
{
    struct stat st;
    if (lstat(where->sun_path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
        unlink(where->sun_path);
}
