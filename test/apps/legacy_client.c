/*
 * legacy_client.c: a client as those of MarioTCP 0.9.9 are: blocking sockets, no library, LOGIN on each of many
 * connections at once, and behind each packet the two bytes "\r\n", which are no packet. Main thread.
 *
 *     legacy_client ADDRESS PORT COUNT     0 when each LOGIN was answered by a bare head, else 1 and a line
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define MY_STX    0x8eb69af7u
#define CMD_LOGIN 0x6101

#pragma pack(1)
typedef struct {
    uint32_t stx;
    uint16_t pkglen;
    uint16_t cmd;
} HEAD;

typedef struct {
    HEAD head;
    uint16_t uid;
} LOGIN;
#pragma pack()

static int create_socket(const char *address, int port)
{
    struct sockaddr_in addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&addr, 0, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = inet_addr(address);
    addr.sin_port = htons((uint16_t) port);
    if (fd < 0 || connect(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0) {
        printf("connect failed, errno %d\n", errno);
        exit(1);
    }
    return fd;
}

static void send_login(int fd, uint16_t uid)
{
    LOGIN login = {{MY_STX, sizeof(LOGIN), CMD_LOGIN}, uid};
    if (send(fd, &login, sizeof(login), 0) != sizeof(login) || send(fd, "\r\n", 2, 0) != 2) {
        printf("send failed, errno %d\n", errno);
        exit(1);
    }
}

static void recv_answer(int fd)
{
    HEAD h;
    ssize_t len = recv(fd, &h, sizeof(h), MSG_WAITALL);
    if (len != sizeof(h) || h.stx != MY_STX || h.cmd != CMD_LOGIN || h.pkglen != sizeof(h)) {
        printf("wrong answer: %d bytes, errno %d\n", (int) len, errno);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    int fds[1000];
    int count = argc > 3 ? atoi(argv[3]) : 0;
    if (count < 1 || count > 1000)
        return 1;
    for (int i = 0; i < count; i++)
        fds[i] = create_socket(argv[1], atoi(argv[2]));
    for (int i = 0; i < count; i++)
        send_login(fds[i], (uint16_t) i);
    for (int i = 0; i < count; i++)
        recv_answer(fds[i]);
    printf("%d logged in\n", count);
    return 0; /* the connections end with the process */
}
