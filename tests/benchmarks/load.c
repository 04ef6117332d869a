/* Many event streams in one process, which checks every event that comes.
 *
 *   load PORT REQUESTS      REQUESTS is a file; line i is the target of stream i, a space, and a header field or nothing
 *
 * A target that begins with /ws is a WebSocket's. It answers pings and does not resume.
 *
 * Stream i belongs to user i. Commands come by stdin, one a line, each answered by one line of JSON when it is done:
 *
 *   open FIRST COUNT ABREAST        open streams, at most so many waiting for their answer; one that has an id resumes
 *   leave FIRST COUNT               cut them
 *   broadcast PORT TARGET COUNT RATE    POST events for everyone, so many a second; at rate 0 each when all have the last
 *   await FIRST COUNT EACH SECONDS  until each of the streams has so many events of its user
 *   watch FIRST COUNT               the user events whose delay is kept
 *   awake MS                        do not sleep for so long after something came; 0, as at first, is at once
 *   reset                           forget delays, silences and events
 *   figures                         delays in microseconds; events, and the seconds from the reset to the last of them
 *   silence FIRST COUNT             seconds that the most silent of them had no byte
 *   check FIRST COUNT EACH ALL      count what is missing where each has EACH events of its user and ALL for everyone
 *   faults                          everything that was wrong
 *
 * What an event is: events.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define PATIENCE 30000000000ull /* nanoseconds without progress after which a command gives up */
#define LINE 160
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
                "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"

enum state { CLOSED, HEAD, SIZE, DATA, AFTER, FRAME, PAYLOAD };

struct stream {
    int fd;
    enum state state;
    int chunked, accepted, has_event, is_text, length;
    unsigned long left; /* bytes of the chunk still to come */
    uint64_t heard, silence;
    long long t, n, u;
    struct series own, all;
    char *target, *header;
    char id[64], line[LINE + 1];
};

static struct stream *streams;
static int port, total, epoll, open_streams, opening;
static uint64_t awake, came; /* nanoseconds to stay awake, and when something came */
static struct delays own_delays, all_delays;
static int watch_first, watch_count = 1 << 30;
static uint64_t reset_at, last_event;
static long events;

static struct {
    enum { NONE, OPEN, AWAIT, BROADCAST } kind;
    int next, end, abreast;           /* OPEN */
    int first, count, each;           /* AWAIT */
    long due;                         /* events still to come */
    uint64_t began, moved, until;     /* moved: the last progress */
    long sent, wanted;                /* BROADCAST */
    double interval;                  /* nanoseconds */
    int fd, answered;
    char target[200], host[32];
    uint64_t *at, *last;              /* of each event: when it was due, and came to its last stream */
    long from;                        /* the first event's number */
} job = {.fd = -1};
static long published; /* events for everyone, in all */

/* ------------------------------------------------------------------ events */

static void event(struct stream *s)
{
    int number = (int)(s - streams), everyone = s->u == -1;
    uint64_t at = now();
    double us = at > (uint64_t)s->t ? (double)(at - (uint64_t)s->t) / 1000 : 0;
    if (!everyone && s->u != number) {
        faults.misrouted++;
        return;
    }
    if (!is_new(everyone ? &s->all : &s->own, s->n))
        return;
    events++;
    last_event = at;
    if (everyone) {
        keep(&all_delays, us);
        if (job.kind == BROADCAST) {
            job.due--;
            job.moved = at;
            if (s->n >= job.from && s->n < job.from + job.wanted)
                job.last[s->n - job.from] = at;
        }
        return;
    }
    if (number >= watch_first && number - watch_first < watch_count)
        keep(&own_delays, us);
    if (job.kind == AWAIT && number >= job.first && number < job.first + job.count && (int)s->own.count <= job.each)
        job.due--;
}

static void line(struct stream *s)
{
    char *text = s->line, *end;
    if (s->length && text[s->length - 1] == '\r')
        s->length--;
    text[s->length] = 0;
    if (!s->length) {
        if (s->has_event)
            event(s);
        s->has_event = 0;
    } else if (!strncmp(text, "data: {\"t\":", 11)) {
        s->t = strtoll(text + 11, &end, 10);
        s->n = !strncmp(end, ",\"n\":", 5) ? strtoll(end + 5, &end, 10) : -1;
        s->u = !strncmp(end, ",\"u\":", 5) ? strtoll(end + 5, &end, 10) : -2;
        s->has_event = s->n >= 0;
    } else if (!strncmp(text, "id: ", 4)) {
        snprintf(s->id, sizeof s->id, "%.63s", text + 4);
    } else if (!strcmp(text, "event: stream.gap")) {
        faults.gaps++;
    }
}

/* ----------------------------------------------------------------- streams */

static void ended(struct stream *s)
{
    struct linger at_once = {1, 0};
    if (s->state == HEAD) {
        opening--;
        faults.refused++;
    } else {
        open_streams--;
    }
    s->state = CLOSED;
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(s->fd);
}

/* Moves a line from *from into the stream; 1 when it is whole. A longer line is cut. */
static int take_line(struct stream *s, const char **from, const char *end)
{
    const char *newline = memchr(*from, '\n', (size_t)(end - *from));
    size_t part = (size_t)((newline ? newline : end) - *from), room = (size_t)(LINE - s->length);
    memcpy(s->line + s->length, *from, part < room ? part : room);
    s->length += (int)(part < room ? part : room);
    *from = newline ? newline + 1 : end;
    return newline != NULL;
}

static int is_socket(const struct stream *s)
{
    return !strncmp(s->target, "/ws", 3);
}

static void head_line(struct stream *s)
{
    s->line[s->length] = 0;
    if (!strncmp(s->line, is_socket(s) ? "HTTP/1.1 101" : "HTTP/1.1 200", 12))
        s->accepted = 1;
    else if (!strncasecmp(s->line, "transfer-encoding: chunked", 26))
        s->chunked = 1;
    else if (s->length <= 1) {
        if (!s->accepted) {
            ended(s);
            return;
        }
        opening--;
        open_streams++;
        s->state = is_socket(s) ? FRAME : s->chunked ? SIZE : DATA;
    }
}

static void body(struct stream *s, const char *p, const char *end)
{
    while (p < end)
        if (take_line(s, &p, end)) {
            line(s);
            s->length = 0;
        }
}

/* Takes the header of a WebSocket frame byte by byte (RFC 6455, section 5.2): a server's is 2, 4 or 10 bytes long. */
static void frame_header(struct stream *s, unsigned char byte)
{
    unsigned char *head = (unsigned char *)s->line;
    head[s->length++] = byte;
    int size = s->length < 2 || head[1] < 126 ? 2 : head[1] == 126 ? 4 : 10;
    if (s->length < size)
        return;
    s->left = size == 2 ? head[1] : 0;
    for (int i = 2; i < size; i++)
        s->left = s->left << 8 | head[i];
    s->length = 0;
    s->is_text = (head[0] & 15) == 1;
    if ((head[0] & 15) == 9 && send(s->fd, "\x8a\x80\0\0\0", 6, MSG_NOSIGNAL) != 6)
        faults.cut++;
    s->state = s->left ? PAYLOAD : FRAME;
}

/* Looks at the beginning of a message, where the data of an event stand as a string of JSON. */
static void message(struct stream *s)
{
    char *at, *end;
    s->line[s->length] = 0;
    s->length = 0;
    if (!s->is_text)
        return;
    if (!strncmp(s->line, "{\"event\":\"stream.gap\"", 21))
        faults.gaps++;
    if (!(at = strstr(s->line, "\"data\":\"{\\\"t\\\":")))
        return;
    s->t = strtoll(at + 15, &end, 10);
    s->n = !strncmp(end, ",\\\"n\\\":", 7) ? strtoll(end + 7, &end, 10) : -1;
    s->u = !strncmp(end, ",\\\"u\\\":", 7) ? strtoll(end + 7, &end, 10) : -2;
    if (s->n >= 0)
        event(s);
}

static void data(struct stream *s, const char *p, const char *end)
{
    while (p < end && s->state != CLOSED) {
        size_t part = (size_t)(end - p);
        switch (s->state) {
        case HEAD:
            if (take_line(s, &p, end)) {
                head_line(s);
                s->length = 0;
            }
            break;
        case SIZE:
            if (isxdigit((unsigned char)*p))
                s->left = s->left * 16 + (unsigned long)(isdigit((unsigned char)*p) ? *p - '0' : (*p | 32) - 'a' + 10);
            else if (*p == '\n')
                s->state = s->left ? DATA : AFTER;
            p++;
            break;
        case DATA:
            if (s->chunked && part > s->left)
                part = s->left;
            body(s, p, p + part);
            p += part;
            if (s->chunked && !(s->left -= part))
                s->state = AFTER;
            break;
        case FRAME:
            frame_header(s, (unsigned char)*p++);
            break;
        case PAYLOAD:
            part = part < s->left ? part : s->left;
            for (size_t i = 0; i < part && s->length < LINE; i++)
                s->line[s->length++] = p[i];
            p += part;
            if (!(s->left -= part)) {
                message(s);
                s->state = FRAME;
            }
            break;
        default: /* AFTER */
            if (*p++ == '\n')
                s->state = SIZE;
        }
    }
}

static void readable(struct stream *s)
{
    static char buffer[65536];
    ssize_t n = recv(s->fd, buffer, sizeof buffer, 0);
    uint64_t at = now();
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        faults.cut += s->state != HEAD;
        ended(s);
        return;
    }
    if (at - s->heard > s->silence)
        s->silence = at - s->heard;
    s->heard = at;
    data(s, buffer, buffer + n);
}

static void watch_fd(int fd, uint64_t tag)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = tag};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        fail("epoll_ctl");
}

static void open_stream(struct stream *s)
{
    char text[2048];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s%s%s%s%s\r\n", s->target,
                     is_socket(s) ? UPGRADE : "Accept: text/event-stream\r\n", s->header, *s->header ? "\r\n" : "", *s->id ? "Last-Event-ID: " : "", s->id,
                     *s->id ? "\r\n" : "");
    s->fd = connected(port);
    if (s->fd < 0 || send(s->fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
        faults.refused++;
        return;
    }
    s->state = HEAD;
    s->chunked = s->accepted = s->has_event = s->length = 0;
    s->left = s->silence = 0;
    s->heard = now();
    opening++;
    watch_fd(s->fd, (uint64_t)(s - streams));
}

/* ---------------------------------------------------------------- commands */

static int is_in(int number)
{
    return number >= 0 && number < total;
}

static void publish(uint64_t due)
{
    char text[1024], payload[129];
    int n = snprintf(payload, sizeof payload, "{\"t\":%llu,\"n\":%ld,\"u\":-1,\"pad\":\"", (unsigned long long)due, published++);
    memset(payload + n, 'x', (size_t)(126 - n));
    memcpy(payload + 126, "\"}", 3);
    n = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 128\r\n\r\n%s", job.target, payload);
    job.at[job.sent++] = due;
    job.due += open_streams;
    job.answered = 0;
    if (send(job.fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        faults.unpublished++;
}

static void published_answer(void)
{
    char buffer[4096];
    ssize_t n = recv(job.fd, buffer, sizeof buffer, 0);
    if (n <= 0) {
        faults.unpublished++;
        epoll_ctl(epoll, EPOLL_CTL_DEL, job.fd, NULL);
    } else if (!strncmp(buffer, "HTTP/1.1 ", 9)) {
        faults.unpublished += buffer[9] != '2';
    }
    job.answered = 1;
}

static void broadcast_figures(void)
{
    struct delays last = {0};
    for (long i = 0; i < job.sent; i++)
        if (job.last[i])
            keep(&last, (double)(job.last[i] - job.at[i]) / 1000);
    printf("{\"streams\":%d,\"sent\":%ld,", open_streams, job.sent);
    print_delays("last", &last);
    puts("}");
    free(last.us);
    free(job.at);
    free(job.last);
    close(job.fd);
    job.fd = -1;
}

/* Goes on with the command in hand; gives the milliseconds until it must be looked at again. */
static int work(void)
{
    uint64_t at = now();
    switch (job.kind) {
    case OPEN:
        while (job.next < job.end && opening < job.abreast)
            open_stream(&streams[job.next++]);
        if (opening && at < job.until)
            return 1000;
        printf("{\"open\":%d,\"seconds\":%.4f}\n", open_streams, (double)(at - job.began) / 1e9);
        break;
    case AWAIT:
        if (job.due > 0 && at < job.until)
            return 50;
        printf("{\"missing\":%ld,\"seconds\":%.4f}\n", job.due, (double)(at - job.began) / 1e9);
        break;
    case BROADCAST:
        if (job.sent < job.wanted && job.answered) {
            uint64_t due = job.interval ? job.began + (uint64_t)(job.interval * (double)job.sent) : at;
            if (job.interval ? at >= due : !job.due)
                publish(due);
            else if (job.interval)
                return (int)((due - at) / 1000000) + 1;
        }
        if ((job.sent < job.wanted || job.due || !job.answered) && at - job.moved < PATIENCE)
            return job.interval ? 1 : 1000;
        broadcast_figures();
        break;
    default:
        return -1;
    }
    job.kind = NONE;
    fflush(stdout);
    return -1;
}

static void print_figures(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    putchar('{');
    print_delays("own", &own_delays);
    putchar(',');
    print_delays("all", &all_delays);
    /* Not from the first event: a burst may come in one read. */
    printf(",\"events\":%ld,\"seconds\":%.9f,\"cpu_seconds\":%.3f}\n", events,
           (double)((events ? last_event : now()) - reset_at) / 1e9,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

static void check(int first, int count, long each, long all)
{
    for (int i = first; i < first + count && is_in(i); i++) {
        long own = each - streams[i].own.count, every = all - streams[i].all.count;
        faults.lost += (own > 0 ? own : 0) + (every > 0 ? every : 0);
        faults.stray += (own < 0 ? -own : 0) + (every < 0 ? -every : 0);
    }
    puts("{}");
}

static void reset(void)
{
    own_delays.count = all_delays.count = 0;
    reset_at = last_event = now();
    events = 0;
    for (int i = 0; i < total; i++)
        streams[i].silence = 0, streams[i].heard = now();
    puts("{}");
}

static void command(char *text)
{
    int a, b, c;
    double x;
    uint64_t at = now();
    job.began = job.moved = at;
    if (sscanf(text, "open %d %d %d", &a, &b, &c) == 3) {
        job.kind = OPEN;
        job.next = a;
        job.end = a + b;
        job.abreast = c;
        job.until = at + 4 * PATIENCE;
    } else if (sscanf(text, "leave %d %d", &a, &b) == 2) {
        for (int i = a; i < a + b && is_in(i); i++)
            if (streams[i].state != CLOSED)
                ended(&streams[i]);
        puts("{}");
    } else if (sscanf(text, "await %d %d %d %lf", &a, &b, &c, &x) == 4) {
        job.kind = AWAIT;
        job.first = a;
        job.count = b;
        job.each = c;
        job.until = at + (uint64_t)(x * 1e9);
        job.due = 0;
        for (int i = a; i < a + b && is_in(i); i++)
            job.due += (int)streams[i].own.count < c ? c - (int)streams[i].own.count : 0;
    } else if (sscanf(text, "broadcast %d %199s %d %lf", &a, job.target, &b, &x) == 4) {
        if ((job.fd = connected(a)) < 0)
            fail("connect to publish");
        job.kind = BROADCAST;
        job.wanted = b;
        job.interval = x > 0 ? 1e9 / x : 0;
        job.sent = job.due = 0;
        job.answered = 1;
        job.from = published;
        job.at = calloc((size_t)b, sizeof *job.at);
        job.last = calloc((size_t)b, sizeof *job.last);
        watch_fd(job.fd, UINT64_MAX);
    } else if (sscanf(text, "watch %d %d", &watch_first, &watch_count) == 2) {
        puts("{}");
    } else if (sscanf(text, "check %d %d %d %lf", &a, &b, &c, &x) == 4) {
        check(a, b, c, (long)x);
    } else if (sscanf(text, "silence %d %d", &a, &b) == 2) {
        uint64_t most = 0;
        for (int i = a; i < a + b && is_in(i); i++) {
            uint64_t since = at - streams[i].heard, longest = since > streams[i].silence ? since : streams[i].silence;
            most = longest > most ? longest : most;
        }
        printf("{\"seconds\":%.3f}\n", (double)most / 1e9);
    } else if (sscanf(text, "awake %d", &a) == 1) {
        awake = (uint64_t)a * 1000000;
        puts("{}");
    } else if (!strcmp(text, "reset")) {
        reset();
    } else if (!strcmp(text, "figures")) {
        print_figures();
    } else if (!strcmp(text, "faults")) {
        printf("{\"lost\":%ld,\"stray\":%ld,\"doubled\":%ld,\"disordered\":%ld,\"misrouted\":%ld,\"gaps\":%ld,\"refused\":%ld,"
               "\"cut\":%ld,\"unpublished\":%ld}\n", faults.lost, faults.stray, faults.doubled, faults.disordered,
               faults.misrouted, faults.gaps, faults.refused, faults.cut, faults.unpublished);
    } else {
        fprintf(stderr, "no command: %s\n", text);
        exit(2);
    }
    fflush(stdout);
}

static void read_requests(const char *file)
{
    char *text = NULL, *space;
    size_t room = 0;
    FILE *f = fopen(file, "r");
    if (!f)
        fail(file);
    for (ssize_t n; (n = getline(&text, &room, f)) > 0; total++) {
        if (!(streams = realloc(streams, (size_t)(total + 1) * sizeof *streams)))
            fail("memory");
        struct stream *s = memset(&streams[total], 0, sizeof *s);
        text[n - 1] = 0;
        if (!(space = strchr(text, ' ')))
            fail("a request without a space");
        *space = 0;
        s->target = strdup(text);
        s->header = strdup(space + 1);
    }
    fclose(f);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: load PORT REQUESTS\n", stderr);
        return 2;
    }
    raise_limit();
    port = atoi(argv[1]);
    read_requests(argv[2]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch_fd(0, UINT64_MAX - 1);
    for (;;) {
        struct epoll_event ready[512];
        int timeout = work();
        int n = epoll_wait(epoll, ready, 512, awake && now() - came < awake ? 0 : timeout);
        if (awake && n)
            came = now();
        for (int i = 0; i < n; i++) {
            uint64_t tag = ready[i].data.u64;
            if (tag == UINT64_MAX - 1)
                commands();
            else if (tag == UINT64_MAX)
                published_answer();
            else if (streams[tag].state != CLOSED)
                readable(&streams[tag]);
        }
    }
}
