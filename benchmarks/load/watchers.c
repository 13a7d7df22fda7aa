/* Many players on one epoll loop, which count what they get: of RTMP, or of HTTP-FLV.
 *
 *     watchers PORT APP KEY WATCHERS WARM_UP_SECONDS SECONDS [RATE [flv]]
 *
 * Opens WATCHERS connections (RATE a second, 2000 unless said otherwise) and plays KEY on each, with `flv` as
 * GET /APP/KEY.flv.  When all are open it
 * waits WARM_UP_SECONDS, then counts for SECONDS.  Prints one JSON object a line: {"event": "start"} when counting
 * begins, and {"event": "end", ...} with the figures.
 *
 * One in so many watchers, 100 at most, looks for stamps (see rtmp.h) in what it gets, and notes how long each stamped
 * frame was on the way.  The others let the kernel throw the bytes away: a load that is busy itself would be measured.
 */
#define _GNU_SOURCE
#include "rtmp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 1 << 18,
    EVENTS = 512,
    DEFAULT_RATE = 2000,
    ACKNOWLEDGE_BYTES = 1000000, /* below every server's window */
    TAIL_SIZE = STAMP_MARK_SIZE + STAMP_TIME_SIZE - 1, /* what a stamp may have left in the previous read */
    BUCKET_NS = 20000,           /* of the latency histogram */
    BUCKETS = 50000,             /* up to one second, longer ones count as that */
    MOST_LOOKING = 100,          /* watchers that look for stamps */
};

struct watcher {
    int fd;
    bool is_playing; /* the handshake is over and play has been sent */
    bool is_looking; /* for stamps */
    uint64_t total, acknowledged;
    uint64_t counted;   /* bytes of the counting window */
    uint64_t last_read; /* ns */
    uint64_t gap;       /* longest time between two reads in the window, ns */
    uint8_t tail[TAIL_SIZE];
    size_t tail_size;
};

struct load {
    struct target target;
    const char *key;
    int wanted, opened, rate;
    double warm_up, seconds;
    bool is_flv;
    struct watcher *watchers;
    int epoll;
    bool is_counting;
    uint64_t window_start;
    uint64_t histogram[BUCKETS];
    uint64_t slowest; /* ns */
};

static uint8_t buffer[TAIL_SIZE + READ_SIZE];

static void ask_for_flv(struct load *load, struct watcher *watcher)
{
    char request[512];
    int size = snprintf(request, sizeof request, "GET /%s/%s.flv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                        load->target.app, load->key);
    if (write(watcher->fd, request, (size_t)size) != size)
        die("the request did not fit into the socket");
    watcher->is_playing = true;
}

static void open_watcher(struct load *load)
{
    struct watcher *watcher = &load->watchers[load->opened];
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = watcher};
    uint8_t hello[HELLO_SIZE];
    int interval = (load->wanted + MOST_LOOKING - 1) / MOST_LOOKING;
    watcher->is_looking = load->opened % interval == 0;
    watcher->fd = connect_to(&load->target);
    fcntl(watcher->fd, F_SETFL, O_NONBLOCK);
    if (load->is_flv) {
        ask_for_flv(load, watcher);
    } else {
        put_hello(hello);
        if (write(watcher->fd, hello, sizeof hello) != sizeof hello)
            die("the handshake did not fit into the socket");
    }
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, watcher->fd, &interest) < 0)
        die("epoll_ctl");
    load->opened++;
}

static void close_watcher(struct watcher *watcher)
{
    close(watcher->fd);
    watcher->fd = -1;
}

/* C2, then all that a player has to say. */
static void play(struct load *load, struct watcher *watcher)
{
    uint8_t words[HANDSHAKE_SIZE + LONGEST_WORDS];
    memset(words, 7, HANDSHAKE_SIZE);
    size_t size = HANDSHAKE_SIZE + put_play(words + HANDSHAKE_SIZE, &load->target, load->key);
    if (write(watcher->fd, words, size) != (ssize_t)size)
        die("the commands did not fit into the socket");
    watcher->is_playing = true;
}

static void acknowledge(struct watcher *watcher)
{
    uint8_t total[4], message[32];
    put_big_endian(total, watcher->total, 4);
    size_t size = put_message(message, 2, MESSAGE_ACKNOWLEDGEMENT, 0, 0, total, 4, DEFAULT_CHUNK_SIZE);
    if (write(watcher->fd, message, size) == (ssize_t)size)
        watcher->acknowledged = watcher->total;
}

static void note_latency(struct load *load, uint64_t latency)
{
    uint64_t bucket = latency / BUCKET_NS;
    load->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (latency > load->slowest)
        load->slowest = latency;
}

/* Looks for stamps in the tail of the previous read and what came now, which stand one behind the other. */
static void find_stamps(struct load *load, struct watcher *watcher, size_t size, uint64_t now)
{
    uint8_t *from = buffer + TAIL_SIZE - watcher->tail_size, *end = buffer + TAIL_SIZE + size, *mark;
    memcpy(from, watcher->tail, watcher->tail_size);
    while ((mark = memmem(from, (size_t)(end - from), STAMP_MARK, STAMP_MARK_SIZE)) != NULL &&
           end - mark >= STAMP_MARK_SIZE + STAMP_TIME_SIZE) {
        uint64_t sent = 0;
        for (int i = 0; i < STAMP_TIME_SIZE; i++)
            sent = sent << 8 | mark[STAMP_MARK_SIZE + i];
        if (load->is_counting && sent <= now)
            note_latency(load, now - sent);
        from = mark + STAMP_MARK_SIZE + STAMP_TIME_SIZE;
    }
    size_t left = (size_t)(end - from);
    watcher->tail_size = left < TAIL_SIZE ? left : TAIL_SIZE;
    memcpy(watcher->tail, end - watcher->tail_size, watcher->tail_size);
}

static void count(struct load *load, struct watcher *watcher, size_t size)
{
    uint64_t now = now_ns();
    if (load->is_counting) {
        uint64_t since = watcher->last_read > load->window_start ? watcher->last_read : load->window_start;
        if (now - since > watcher->gap)
            watcher->gap = now - since;
        watcher->counted += size;
    }
    watcher->last_read = now;
    if (watcher->is_looking)
        find_stamps(load, watcher, size, now);
}

static void read_from(struct load *load, struct watcher *watcher)
{
    /* tcp(7): MSG_TRUNC takes bytes without copying them. */
    int flags = watcher->is_playing && !watcher->is_looking ? MSG_TRUNC : 0;
    ssize_t size = recv(watcher->fd, buffer + TAIL_SIZE, READ_SIZE, flags);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        close_watcher(watcher);
        return;
    }
    watcher->total += (uint64_t)size;
    if (!watcher->is_playing) {
        if (watcher->total >= ANSWER_SIZE)
            play(load, watcher);
        return;
    }
    count(load, watcher, (size_t)size);
    if (!load->is_flv && watcher->total - watcher->acknowledged > ACKNOWLEDGE_BYTES)
        acknowledge(watcher);
}

static void print_histogram(const struct load *load)
{
    const char *comma = "";
    printf("\"latency_bucket_us\": %d, \"latency_max_us\": %.1f, \"latency\": [", BUCKET_NS / 1000,
           (double)load->slowest / 1e3);
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        if (load->histogram[bucket] > 0) {
            printf("%s[%d, %llu]", comma, bucket, (unsigned long long)load->histogram[bucket]);
            comma = ", ";
        }
    }
    printf("]");
}

static void report(struct load *load, uint64_t end)
{
    uint64_t bytes = 0, least = UINT64_MAX, most = 0, gap = 0;
    int alive = 0, silent = 0;
    for (int i = 0; i < load->wanted; i++) {
        struct watcher *watcher = &load->watchers[i];
        uint64_t since = watcher->last_read > load->window_start ? watcher->last_read : load->window_start;
        uint64_t last_gap = end > since ? end - since : 0; /* the one that the end of the window cut off */
        uint64_t longest = last_gap > watcher->gap ? last_gap : watcher->gap;
        alive += watcher->fd >= 0;
        silent += watcher->counted == 0;
        bytes += watcher->counted;
        least = watcher->counted < least ? watcher->counted : least;
        most = watcher->counted > most ? watcher->counted : most;
        gap = longest > gap ? longest : gap;
    }
    printf("{\"event\": \"end\", \"watchers\": %d, \"alive\": %d, \"silent\": %d, \"seconds\": %.6f, \"bytes\": %llu, "
           "\"least_bytes\": %llu, \"most_bytes\": %llu, \"longest_gap_ms\": %.3f, ",
           load->wanted, alive, silent, (double)(end - load->window_start) / 1e9, (unsigned long long)bytes,
           (unsigned long long)least, (unsigned long long)most, (double)gap / 1e6);
    print_histogram(load);
    printf("}\n");
    fflush(stdout);
}

static void start_counting(struct load *load, uint64_t now)
{
    load->is_counting = true;
    load->window_start = now;
    printf("{\"event\": \"start\"}\n");
    fflush(stdout);
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS];
    uint64_t begin = now_ns(), all_open = 0;
    for (;;) {
        uint64_t now = now_ns();
        while (load->opened < load->wanted &&
               load->opened <= (double)(now - begin) / 1e9 * load->rate)
            open_watcher(load);
        if (load->opened == load->wanted && all_open == 0)
            all_open = now;
        if (!load->is_counting && all_open != 0 && (double)(now - all_open) / 1e9 >= load->warm_up)
            start_counting(load, now);
        if (load->is_counting && (double)(now - load->window_start) / 1e9 >= load->seconds) {
            report(load, now);
            return;
        }
        int ready = epoll_wait(load->epoll, events, EVENTS, load->opened < load->wanted ? 1 : 20);
        for (int i = 0; i < ready; i++)
            read_from(load, events[i].data.ptr);
    }
}

int main(int count_of_arguments, char **arguments)
{
    if (count_of_arguments < 7) {
        fprintf(stderr, "usage: watchers PORT APP KEY WATCHERS WARM_UP_SECONDS SECONDS [RATE [flv]]\n");
        return 2;
    }
    static struct load load;
    load.target = (struct target){.port = atoi(arguments[1]), .app = arguments[2]};
    load.key = arguments[3];
    load.wanted = atoi(arguments[4]);
    load.warm_up = atof(arguments[5]);
    load.seconds = atof(arguments[6]);
    load.rate = count_of_arguments > 7 ? atoi(arguments[7]) : DEFAULT_RATE;
    load.is_flv = count_of_arguments > 8 && strcmp(arguments[8], "flv") == 0;
    load.watchers = calloc((size_t)load.wanted, sizeof *load.watchers);
    load.epoll = epoll_create1(0);
    if (load.watchers == NULL || load.epoll < 0)
        die("no memory or no epoll");
    run(&load);
    return 0;
}
