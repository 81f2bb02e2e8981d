/* An HTTP/2 server in cleartext whose answers cost next to nothing: it reads what there is and answers all of it in one
 * write, with the head and the body that nginx sends for `return 200 "hello world\n"`. It checks nothing: for clients
 * that are known to behave, on loopback. Usage: server PORT */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 9, PREFACE = 24, DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, CLIENTS = 1024, ROOM = 1 << 17 };

/* :status 200, server, date, content-type and content-length 12; literals in Huffman's code, as nginx encodes them. */
static const unsigned char HEAD[] = {
    0x88, 0x76, 0x89, 0xaa, 0x63, 0x55, 0xe5, 0x80, 0xae, 0x21, 0x2e, 0x1f, 0x61, 0x96, 0xdf, 0x3d,
    0xbf, 0x4a, 0x09, 0xc5, 0x34, 0x9f, 0xba, 0x82, 0x00, 0x9c, 0x50, 0x20, 0xb8, 0x01, 0x5c, 0x64,
    0x2a, 0x62, 0xd1, 0xbf, 0x5f, 0x90, 0x1d, 0x75, 0xd0, 0x62, 0x0d, 0x26, 0x3d, 0x4c, 0x1c, 0x89,
    0x2a, 0x56, 0x42, 0x6c, 0x28, 0xe9, 0x5c, 0x02, 0x31, 0x32,
};
static const unsigned char BODY[] = "hello world\n";

struct client {
    int greeted;
    int held;
    unsigned char bytes[ROOM];
};

static struct client *clients[CLIENTS];
static unsigned char answers[8 * ROOM];

static int put(int at, int kind, int flags, const unsigned char *stream, const void *payload, int length) {
    unsigned char *frame = answers + at;
    frame[0] = length >> 16, frame[1] = length >> 8, frame[2] = length, frame[3] = kind, frame[4] = flags;
    memcpy(frame + 5, stream, 4);
    memcpy(frame + HEADER, payload, length);
    return at + HEADER + length;
}

static int answer(struct client *client) {
    int taken = 0, put_so_far = 0;
    if (!client->greeted) {
        if (client->held < PREFACE) return 0;
        taken = PREFACE, client->greeted = 1;
        put_so_far = put(0, SETTINGS, 0, (unsigned char[4]){0}, "\0\3\0\0\0\200", 6);
    }
    while (client->held - taken >= HEADER) {
        unsigned char *frame = client->bytes + taken;
        int length = frame[0] << 16 | frame[1] << 8 | frame[2], acknowledged = frame[4] & 1;
        if (client->held - taken < HEADER + length) break;
        if (frame[3] == HEADERS) {
            put_so_far = put(put_so_far, HEADERS, 4, frame + 5, HEAD, sizeof HEAD);
            put_so_far = put(put_so_far, DATA, 1, frame + 5, BODY, sizeof BODY - 1);
        } else if (frame[3] == SETTINGS && !acknowledged) {
            put_so_far = put(put_so_far, SETTINGS, 1, frame + 5, "", 0);
        } else if (frame[3] == PING && !acknowledged) {
            put_so_far = put(put_so_far, PING, 1, frame + 5, frame + HEADER, length);
        }
        taken += HEADER + length;
    }
    client->held -= taken;
    memmove(client->bytes, client->bytes + taken, client->held);
    return put_so_far;
}

int main(int count, char **arguments) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = {AF_INET, htons(count > 1 ? atoi(arguments[1]) : 0), {htonl(INADDR_LOOPBACK)}};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 128)) return perror("server"), 1;
    struct epoll_event event = {EPOLLIN, {.fd = listener}}, events[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int fresh = accept(listener, 0, 0);
                if (fresh < 0 || fresh >= CLIENTS) return 1;
                setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                if (!clients[fresh]) clients[fresh] = malloc(sizeof(struct client));
                clients[fresh]->greeted = clients[fresh]->held = 0;
                event.data.fd = fresh;
                epoll_ctl(poll, EPOLL_CTL_ADD, fresh, &event);
                continue;
            }
            struct client *client = clients[fd];
            ssize_t bytes = read(fd, client->bytes + client->held, ROOM - client->held);
            if (bytes <= 0) {
                close(fd);
                continue;
            }
            client->held += bytes;
            int length = answer(client);
            if (length && write(fd, answers, length) != length) return 1;
        }
    }
}
