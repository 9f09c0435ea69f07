/*
 * far.c: two network namespaces and a veth pair between them. Main thread of a test.
 *
 * Asked of the kernel directly, not through ip(8): an ordinary user may do it in a user namespace, and would lose
 * the right to with an exec.
 */
#include "far.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FAR_ADDRESS "10.77.0.2"
#define NEAR_LINK   "near0"
#define FAR_LINK    "far0"

struct link_request {
    struct nlmsghdr head;
    struct ifinfomsg info;
    char attributes[256];
};

/* Append an attribute; len is grown by those that are nested in it afterwards. */
static struct rtattr *append(struct link_request *r, unsigned short type, const void *data, size_t n)
{
    struct rtattr *a = (struct rtattr *) (void *) ((char *) r + NLMSG_ALIGN(r->head.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (unsigned short) RTA_LENGTH(n);
    if (n > 0)
        memcpy(RTA_DATA(a), data, n);
    r->head.nlmsg_len = (uint32_t) (NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
    return a;
}

/* All that was appended since belongs into a. */
static void nest(struct link_request *r, struct rtattr *a)
{
    a->rta_len = (unsigned short) ((char *) r + r->head.nlmsg_len - (char *) a);
}

/* A veth pair, its other end in the namespace far_ns. 0, or the errno. */
static int make_pair(int far_ns)
{
    struct ifinfomsg peer_info = {.ifi_family = AF_UNSPEC};
    struct {
        struct nlmsghdr head;
        struct nlmsgerr body;
    } answer;
    struct link_request r = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof r.info),
                                      .nlmsg_type = RTM_NEWLINK,
                                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK}};
    append(&r, IFLA_IFNAME, NEAR_LINK, sizeof NEAR_LINK);
    struct rtattr *link = append(&r, IFLA_LINKINFO, NULL, 0);
    append(&r, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = append(&r, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *peer = append(&r, VETH_INFO_PEER, &peer_info, sizeof peer_info);
    append(&r, IFLA_IFNAME, FAR_LINK, sizeof FAR_LINK);
    append(&r, IFLA_NET_NS_FD, &(uint32_t){(uint32_t) far_ns}, sizeof(uint32_t));
    nest(&r, peer);
    nest(&r, data);
    nest(&r, link);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return errno;
    bool told = send(fd, &r, r.head.nlmsg_len, 0) == (ssize_t) r.head.nlmsg_len &&
                recv(fd, &answer, sizeof answer, 0) >= (ssize_t) sizeof answer;
    int err = !told ? errno : answer.head.nlmsg_type == NLMSG_ERROR ? -answer.body.error : EPROTO;
    close(fd);
    return err;
}

/* Set an interface of this namespace up or down, with an address if there is one. */
static bool set_link(const char *name, const char *address, bool up)
{
    struct ifreq r = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0;
    memcpy(r.ifr_name, name, strlen(name) + 1);
    if (ok && address != NULL) {
        inet_pton(AF_INET, address, &in.sin_addr);
        memcpy(&r.ifr_addr, &in, sizeof in);
        ok = ioctl(fd, SIOCSIFADDR, &r) == 0;
    }
    r.ifr_flags = up ? IFF_UP : 0;
    ok = ok && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void enter(int ns)
{
    ck_assert_msg(setns(ns, CLONE_NEWNET) == 0, "setns: %s", strerror(errno));
}

/* A new network namespace, which the test is in then. Its descriptor, or -1 with errno. */
static int new_namespace(void)
{
    return unshare(CLONE_NEWNET) == 0 ? open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* For who is not root: a user namespace, in which ids are what they were. */
static bool become_free(void)
{
    char users[32], groups[32];
    snprintf(users, sizeof users, "%u %u 1", geteuid(), geteuid());
    snprintf(groups, sizeof groups, "%u %u 1", getegid(), getegid());
    return unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/gid_map", groups) && write_file("/proc/self/uid_map", users);
}

bool far_make(struct far *f)
{
    f->far_ns = -1;
    f->near_ns = new_namespace();
    if (f->near_ns < 0 && errno == EPERM && become_free())
        f->near_ns = new_namespace();
    if (f->near_ns < 0 || !set_link("lo", NULL, true))
        return false;
    f->far_ns = new_namespace();
    if (f->far_ns < 0)
        return false;
    enter(f->near_ns);
    errno = make_pair(f->far_ns);
    if (errno != 0 || !set_link(NEAR_LINK, FAR_NEAR_ADDRESS, true))
        return false;
    enter(f->far_ns);
    bool ok = set_link(FAR_LINK, FAR_ADDRESS, true);
    int err = errno;
    enter(f->near_ns);
    errno = err;
    return ok;
}

int far_open(const struct far *f, const struct net_target *t)
{
    enter(f->far_ns);
    int fd = client_open_at(t);
    enter(f->near_ns);
    return fd;
}

void far_cut(const struct far *f)
{
    enter(f->far_ns);
    ck_assert_msg(set_link(FAR_LINK, NULL, false), "cannot cut the link: %s", strerror(errno));
    enter(f->near_ns);
}
