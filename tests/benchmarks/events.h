/* What the load generators have in common: they check the events that come, keep delays, and connect.
 *
 * An event is {"t":NANOSECONDS,"n":NUMBER,"u":USER,...}: t of CLOCK_MONOTONIC, n from 0 for each user, and for everyone,
 * whose u is -1.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct series { /* the numbers seen: their count, one more than the highest, and a bit for each of the last 64 */
    uint32_t count, top;
    uint64_t recent;
};

struct delays {
    double *us;
    size_t count, room;
};

static struct {
    long lost, stray, doubled, disordered, misrouted, gaps, refused, cut, unpublished;
} faults;

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void keep(struct delays *d, double us)
{
    if (d->count == d->room) {
        d->room = d->room ? d->room * 2 : 4096;
        if (!(d->us = realloc(d->us, d->room * sizeof *d->us)))
            fail("memory");
    }
    d->us[d->count++] = us;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_delays(const char *name, struct delays *d)
{
    size_t n = d->count;
    qsort(d->us, n, sizeof *d->us, by_value);
    printf("\"%s\":{\"count\":%zu,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, n, n ? d->us[n / 2] : 0,
           n ? d->us[n * 99 / 100] : 0, n ? d->us[n - 1] : 0);
}

static int is_new(struct series *s, long long n)
{
    if (n >= s->top) {
        uint64_t step = (uint64_t)n + 1 - s->top;
        s->recent = step > 63 ? 1 : s->recent << step | 1;
        s->top = (uint32_t)n + 1;
    } else {
        uint64_t back = s->top - 1 - (uint64_t)n;
        if (back > 63 || s->recent >> back & 1) {
            faults.doubled++;
            return 0;
        }
        s->recent |= 1ull << back;
        faults.disordered++;
    }
    s->count++;
    return 1;
}

static int connected(int to)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Each program has its own commands, a line each on stdin. */
static void command(char *text);

static void commands(void)
{
    static char text[512];
    static size_t length;
    ssize_t n = read(0, text + length, sizeof text - 1 - length);
    char *end;
    if (n <= 0)
        exit(0);
    length += (size_t)n;
    text[length] = 0;
    while ((end = strchr(text, '\n'))) {
        *end = 0;
        command(text);
        length -= (size_t)(end + 1 - text);
        memmove(text, end + 1, length + 1);
    }
}

/* Each connection is a file. */
static void raise_limit(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

#endif
