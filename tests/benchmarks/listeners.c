/* Many clients of one kind in one process: event streams, WebSockets, or polls. It checks every event that comes, and
 * counts requests and bytes.
 *
 *   listeners PORT FILE      FILE: `sse`, `websocket` or `polling`; the target; the header fields of a browser, one a
 *                            line; an empty line; then a line for each client: the value of its Cookie field
 *
 * Client i belongs to user i. Commands come by stdin, one a line, each answered by one line of JSON when it is done:
 *
 *   open FIRST COUNT ABREAST    open streams or sockets; a client that polls fetches its position. At most so many wait
 *   poll INTERVAL WAIT          those that are open poll from now on, every INTERVAL ms, each at a time of its own. At
 *                               interval 0 each polls again as soon as it has its answer, for which it waits WAIT s
 *   await FIRST COUNT OWN ALL SECONDS    until each of them has so many events of its user and so many for everyone
 *   awake MS                    do not sleep for so long after something came; 0, as at first, is at once
 *   reset                       forget delays and counts
 *   figures                     delays in microseconds; events, requests, connections, bytes of TCP payload, the last
 *                               request's own bytes; polls skipped because the one before was not answered; seconds of
 *                               work, which are what of its core is used, as it does not sleep
 *   check FIRST COUNT OWN ALL   count what is missing where each has OWN events of its user and ALL for everyone
 *   faults                      everything that was wrong
 *
 * What an event is: events.h. In a poll's answer and in a WebSocket's message it is a string of JSON.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "events.h"

#define MOST 4096 /* bytes of a request */

/* The key, and its answer, of the example in RFC 6455, section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum way { SSE, WEBSOCKET, POLLING };
enum state { CLOSED, IDLE, HEAD, BODY, STREAM };

struct buffer {
    char *bytes; /* a zero follows them */
    size_t length, room;
};

struct client {
    int fd;
    enum state state;
    int opened, reused, closes, chunked;
    size_t left; /* bytes of the answer's body */
    struct buffer in, text;
    struct series own, all;
    uint64_t phase; /* when it polls, within an interval */
    char *cookie;
    char cursor[80];
};

static enum way way;
static char *target, *fields;
static struct client *clients;
static int port, total, epoll, opened, opening;
static uint64_t awake, came; /* nanoseconds to stay awake, and when something came */
static struct delays own_delays, all_delays;
static struct counts {
    long events, requests, connections, skipped;
    unsigned long long sent, received, head; /* head: bytes of the last request */
    uint64_t busy;                           /* nanoseconds of work */
} counts;

static struct {
    int on, wait, next; /* next: of the order */
    uint64_t began, interval, round;
    struct client **order; /* by phase */
} polls;

static struct {
    enum { NONE, OPEN, AWAIT } kind;
    int next, end, abreast;  /* OPEN */
    int first, count;        /* AWAIT */
    long own, all, due;      /* due: events still to come */
    uint64_t began, until;
} job;

static uint64_t random_below(uint64_t most)
{
    static uint64_t state = 88172645463325252ull; /* xorshift64: the same in each run */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % most;
}

static void append(struct buffer *b, const char *bytes, size_t length)
{
    if (b->length + length + 1 > b->room) {
        b->room = (b->length + length + 1) * 2;
        if (!(b->bytes = realloc(b->bytes, b->room)))
            fail("memory");
    }
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
    b->bytes[b->length] = 0;
}

static void drop(struct buffer *b, size_t length)
{
    b->length -= length;
    memmove(b->bytes, b->bytes + length, b->length + 1);
}

/* ------------------------------------------------------------------ events */

static long missing(const struct client *c)
{
    int number = (int)(c - clients);
    if (number < job.first || number >= job.first + job.count)
        return 0;
    long own = job.own - c->own.count, all = job.all - c->all.count;
    return (own > 0 ? own : 0) + (all > 0 ? all : 0);
}

static void event(struct client *c, long long t, long long n, long long u)
{
    uint64_t at = now();
    long before = missing(c);
    if (u != -1 && u != c - clients) {
        faults.misrouted++;
        return;
    }
    if (!is_new(u == -1 ? &c->all : &c->own, n))
        return;
    counts.events++;
    keep(u == -1 ? &all_delays : &own_delays, at > (uint64_t)t ? (double)(at - (uint64_t)t) / 1000 : 0);
    if (job.kind == AWAIT)
        job.due -= before - missing(c);
}

/* The number behind a name; *from moves behind it. In a string of JSON, quotation marks have a backslash. */
static long long number(const char **from, const char *name)
{
    const char *p = *from;
    char *end;
    for (; *name; name++, p++) {
        p += *p == '\\';
        if (*p != *name)
            return -9;
    }
    long long value = strtoll(p, &end, 10);
    *from = end;
    return value;
}

static void scan(struct client *c, const char *text, size_t length)
{
    const char *mark = way == SSE ? "{\"t\":" : "{\\\"t\\\":", *end = text + length, *p = text;
    while ((p = memmem(p, (size_t)(end - p), mark, strlen(mark)))) {
        long long t = number(&p, "{\"t\":"), n = number(&p, ",\"n\":"), u = number(&p, ",\"u\":");
        if (n < 0 || u < -1)
            faults.misrouted++;
        else
            event(c, t, n, u);
    }
    if (way != POLLING && memmem(text, length, "stream.gap", 10))
        faults.gaps++;
}

/* ------------------------------------------------------------- connections */

static void transmit(struct client *c, const char *bytes, size_t length)
{
    if (send(c->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length)
        counts.sent += length;
    else
        faults.refused++;
}

static void request(struct client *c, int wait)
{
    char text[MOST], query[160] = "";
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)(c - clients)};
    c->reused = c->state == IDLE;
    if (!c->reused) {
        c->state = CLOSED;
        if ((c->fd = connected(port)) < 0) {
            faults.refused++;
            opening -= !c->opened;
            return;
        }
        counts.connections++;
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
    }
    if (way == POLLING)
        snprintf(query, sizeof query, "?wait=%d%s%s", wait, *c->cursor ? "&lastEventId=" : "", c->cursor);
    int n = snprintf(text, sizeof text, "GET %s%s HTTP/1.1\r\n%sCookie: %s\r\n\r\n", target, query, fields, c->cookie);
    c->in.length = c->text.length = 0;
    c->state = HEAD;
    counts.requests++;
    counts.head = (unsigned long long)n;
    transmit(c, text, (size_t)n);
}

static void disconnect(struct client *c)
{
    close(c->fd);
    c->state = CLOSED;
}

static void refused(struct client *c)
{
    faults.refused++;
    opening -= !c->opened;
    disconnect(c);
}

static void is_open(struct client *c)
{
    if (!c->opened) {
        c->opened = 1;
        opened++;
        opening--;
    }
}

static void answered(struct client *c)
{
    char *body = c->in.bytes, *found = NULL, end = body[c->left];
    body[c->left] = 0;
    scan(c, body, c->left);
    faults.gaps += !strstr(body, "\"gap\":null");
    for (char *p = body; (p = strstr(p, "\"cursor\":\"")); p = found)
        found = p + 10; /* the last: an event has none */
    if (found)
        snprintf(c->cursor, sizeof c->cursor, "%.*s", (int)strcspn(found, "\""), found);
    int more = strstr(body, "\"more\":true") != NULL;
    body[c->left] = end;
    if (c->closes)
        disconnect(c);
    else
        c->state = IDLE;
    is_open(c);
    if (more || (polls.on && !polls.interval))
        request(c, polls.wait);
}

static int head(struct client *c)
{
    char *end = memmem(c->in.bytes, c->in.length, "\r\n\r\n", 4), *line = c->in.bytes;
    int accepted = 0;
    if (!end)
        return 0;
    end[2] = 0;
    c->closes = c->chunked = 0;
    c->left = 0;
    if (strncmp(line, way == WEBSOCKET ? "HTTP/1.1 101" : "HTTP/1.1 200", 12)) {
        refused(c);
        return 0;
    }
    for (; line < end; line = strchr(line, '\n') + 1) {
        if (!strncasecmp(line, "content-length:", 15))
            c->left = strtoul(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding: chunked", 26))
            c->chunked = 1;
        else if (!strncasecmp(line, "connection: close", 17))
            c->closes = 1;
        else if (!strncasecmp(line, "sec-websocket-accept: " ACCEPT, 22 + sizeof ACCEPT - 1))
            accepted = 1;
    }
    if (way == WEBSOCKET ? !accepted : way == POLLING ? !c->left : 0) {
        refused(c);
        return 0;
    }
    c->state = way == POLLING ? BODY : STREAM;
    drop(&c->in, (size_t)(end + 4 - c->in.bytes));
    if (way != POLLING)
        is_open(c);
    return 1;
}

static int chunk(struct client *c)
{
    char *end = c->chunked ? memchr(c->in.bytes, '\n', c->in.length) : NULL;
    size_t size, start;
    if (c->chunked) {
        if (!end)
            return 0;
        size = strtoul(c->in.bytes, NULL, 16);
        start = (size_t)(end + 1 - c->in.bytes);
        if (c->in.length < start + size + 2)
            return 0;
    } else {
        size = c->in.length;
        start = 0;
    }
    append(&c->text, c->in.bytes + start, size);
    drop(&c->in, start + size + (c->chunked ? 2 : 0));
    while ((end = memmem(c->text.bytes, c->text.length, "\n\n", 2))) {
        size_t block = (size_t)(end + 2 - c->text.bytes);
        scan(c, c->text.bytes, block);
        drop(&c->text, block);
    }
    return c->in.length > 0;
}

static void pong(struct client *c, const unsigned char *ping, size_t length)
{
    unsigned char frame[6 + 125] = {0x8a, (unsigned char)(0x80 | length), 0x12, 0x34, 0x56, 0x78};
    for (size_t i = 0; i < length; i++)
        frame[6 + i] = ping[i] ^ frame[2 + i % 4];
    transmit(c, (char *)frame, 6 + length);
}

static int frame(struct client *c)
{
    unsigned char *b = (unsigned char *)c->in.bytes;
    size_t have = c->in.length, start = 2, length;
    if (have < 2)
        return 0;
    length = b[1] & 127;
    if (length >= 126) {
        size_t more = length == 126 ? 2 : 8;
        if (have < start + more)
            return 0;
        length = 0;
        for (size_t i = 0; i < more; i++)
            length = length << 8 | b[start++];
    }
    if (have < start + length)
        return 0;
    if (b[0] == 0x89 && length <= 125 && !(b[1] & 128)) {
        pong(c, b + start, length);
    } else if (b[0] == 0x81 && !(b[1] & 128)) {
        scan(c, c->in.bytes + start, length);
    } else { /* a close, or nothing that a server of ours should send */
        faults.cut++;
        disconnect(c);
        return 0;
    }
    drop(&c->in, start + length);
    return c->in.length > 0;
}

static void readable(struct client *c)
{
    static char buffer[65536];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        enum state was = c->state;
        disconnect(c);
        if (was == HEAD && c->reused && !c->in.length)
            request(c, polls.wait); /* the server closed an idle connection meanwhile: browsers ask again too */
        else if (was == HEAD && !c->opened)
            refused(c);
        else if (was != IDLE)
            faults.cut++;
        return;
    }
    counts.received += (size_t)n;
    append(&c->in, buffer, (size_t)n);
    if (c->state == HEAD && !head(c))
        return;
    if (c->state == BODY && c->in.length >= c->left)
        answered(c);
    else if (c->state == STREAM && c->in.length)
        while (way == SSE ? chunk(c) : frame(c))
            ;
}

/* ---------------------------------------------------------------- commands */

static int by_phase(const void *a, const void *b)
{
    uint64_t x = (*(struct client *const *)a)->phase, y = (*(struct client *const *)b)->phase;
    return (x > y) - (x < y);
}

static void start_polls(int interval, int wait)
{
    int count = 0;
    polls.on = 1;
    polls.wait = wait;
    polls.interval = (uint64_t)interval * 1000000;
    polls.began = now();
    polls.round = polls.next = 0;
    polls.order = calloc((size_t)total, sizeof *polls.order);
    for (struct client *c = clients; c < clients + total; c++) {
        if (!c->opened)
            continue;
        if (!interval) {
            /* The first waits are of any length: the clients did not begin at the same moment. */
            request(c, 1 + (int)random_below((uint64_t)wait));
            continue;
        }
        c->phase = random_below(polls.interval);
        polls.order[count++] = c;
    }
    qsort(polls.order, (size_t)count, sizeof *polls.order, by_phase);
    puts("{}");
}

/* Sends the polls that are due; gives the milliseconds until the next. */
static int poll_due(uint64_t at)
{
    if (!polls.on || !polls.interval || !opened)
        return -1;
    for (;;) {
        struct client *c = polls.order[polls.next];
        uint64_t due = polls.began + polls.round * polls.interval + c->phase;
        if (due > at)
            return (int)((due - at) / 1000000) + 1;
        if (c->state == IDLE || c->state == CLOSED)
            request(c, polls.wait);
        else
            counts.skipped++; /* its last poll is not answered yet */
        if (++polls.next == opened)
            polls.next = 0, polls.round++;
    }
}

/* Goes on with the command in hand; gives the milliseconds until it must be looked at again. */
static int work(uint64_t at)
{
    switch (job.kind) {
    case OPEN:
        while (job.next < job.end && opening < job.abreast) {
            opening++;
            request(&clients[job.next++], 0);
        }
        if (opening && at < job.until)
            return 1000;
        printf("{\"open\":%d,\"seconds\":%.4f}\n", opened, (double)(at - job.began) / 1e9);
        break;
    case AWAIT:
        if (job.due > 0 && at < job.until)
            return 50;
        printf("{\"missing\":%ld,\"seconds\":%.4f}\n", job.due, (double)(at - job.began) / 1e9);
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
    putchar('{');
    print_delays("own", &own_delays);
    putchar(',');
    print_delays("all", &all_delays);
    printf(",\"events\":%ld,\"requests\":%ld,\"connections\":%ld,\"skipped\":%ld,\"sent\":%llu,\"received\":%llu,"
           "\"head\":%llu,\"work\":%.6f}\n", counts.events, counts.requests, counts.connections, counts.skipped,
           counts.sent, counts.received, counts.head, (double)counts.busy / 1e9);
}

static void check(int first, int count, long own, long all)
{
    for (struct client *c = clients + first; c < clients + first + count && c < clients + total; c++) {
        long of_user = own - c->own.count, of_all = all - c->all.count;
        faults.lost += (of_user > 0 ? of_user : 0) + (of_all > 0 ? of_all : 0);
        faults.stray += (of_user < 0 ? -of_user : 0) + (of_all < 0 ? -of_all : 0);
    }
    puts("{}");
}

static void command(char *text)
{
    int a, b, c, d;
    double x;
    uint64_t at = now();
    job.began = at;
    if (sscanf(text, "open %d %d %d", &a, &b, &c) == 3) {
        job.kind = OPEN;
        job.next = a;
        job.end = a + b;
        job.abreast = c;
        job.until = at + 120000000000ull;
    } else if (sscanf(text, "poll %d %d", &a, &b) == 2) {
        start_polls(a, b);
    } else if (sscanf(text, "await %d %d %d %d %lf", &a, &b, &c, &d, &x) == 5) {
        job.kind = AWAIT;
        job.first = a;
        job.count = b;
        job.own = c;
        job.all = d;
        job.until = at + (uint64_t)(x * 1e9);
        job.due = 0;
        for (int i = a; i < a + b && i < total; i++)
            job.due += missing(&clients[i]);
    } else if (sscanf(text, "check %d %d %d %d", &a, &b, &c, &d) == 4) {
        check(a, b, c, d);
    } else if (sscanf(text, "awake %d", &a) == 1) {
        awake = (uint64_t)a * 1000000;
        puts("{}");
    } else if (!strcmp(text, "reset")) {
        own_delays.count = all_delays.count = 0;
        counts = (struct counts){.head = counts.head};
        puts("{}");
    } else if (!strcmp(text, "figures")) {
        print_figures();
    } else if (!strcmp(text, "faults")) {
        printf("{\"lost\":%ld,\"stray\":%ld,\"doubled\":%ld,\"disordered\":%ld,\"misrouted\":%ld,\"gaps\":%ld,"
               "\"refused\":%ld,\"cut\":%ld}\n", faults.lost, faults.stray, faults.doubled, faults.disordered,
               faults.misrouted, faults.gaps, faults.refused, faults.cut);
    } else {
        fprintf(stderr, "no command: %s\n", text);
        exit(2);
    }
    fflush(stdout);
}

static void read_file(const char *name)
{
    char *text = NULL;
    size_t room = 0;
    struct buffer all = {0};
    int number = 0, in_fields = 1;
    FILE *f = fopen(name, "r");
    if (!f)
        fail(name);
    append(&all, "", 0);
    for (ssize_t n; (n = getline(&text, &room, f)) > 0; number++) {
        text[n - 1] = 0;
        if (number == 0) {
            way = !strcmp(text, "sse") ? SSE : !strcmp(text, "websocket") ? WEBSOCKET : POLLING;
        } else if (number == 1) {
            target = strdup(text);
        } else if (in_fields && *text) {
            append(&all, text, (size_t)n - 1);
            append(&all, "\r\n", 2);
        } else if (in_fields) {
            in_fields = 0;
        } else {
            if (!(clients = realloc(clients, (size_t)(total + 1) * sizeof *clients)))
                fail("memory");
            memset(&clients[total], 0, sizeof *clients);
            clients[total++].cookie = strdup(text);
        }
    }
    if (way == WEBSOCKET)
        append(&all, "Sec-WebSocket-Key: " KEY "\r\n", 19 + sizeof KEY - 1 + 2);
    fields = all.bytes;
    fclose(f);
    free(text);
}

int main(int argc, char **argv)
{
    struct epoll_event in = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (argc != 3) {
        fputs("usage: listeners PORT FILE\n", stderr);
        return 2;
    }
    raise_limit();
    port = atoi(argv[1]);
    read_file(argv[2]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &in);
    for (;;) {
        struct epoll_event ready[512];
        uint64_t at = now();
        long asked = counts.requests;
        int polling = poll_due(at), working = work(at);
        int timeout = polling < 0 || (working >= 0 && working < polling) ? working : polling;
        if (counts.requests > asked)
            counts.busy += now() - at;
        int n = epoll_wait(epoll, ready, 512, awake && at - came < awake ? 0 : timeout);
        if (n <= 0)
            continue;
        came = at = now();
        for (int i = 0; i < n; i++) {
            if (ready[i].data.u64 == UINT64_MAX)
                commands();
            else if (clients[ready[i].data.u64].state != CLOSED)
                readable(&clients[ready[i].data.u64]);
        }
        counts.busy += now() - at;
    }
}
