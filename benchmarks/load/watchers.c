/* Many players on one epoll loop, which count what they get: of RTMP, or of HTTP-FLV.
 *
 *     watchers PORT APP KEY WATCHERS WARM_UP_SECONDS SECONDS [RATE] [flv] [shares=N,N,...] [churn=RATE]
 *
 * Opens WATCHERS connections (RATE a second, 2000 unless said otherwise) and plays KEY on each, with `flv` as GET
 * /APP/KEY.flv.  With `shares` so many of them play KEY0, so many KEY1, and so on.  When all are open it waits
 * WARM_UP_SECONDS, then counts for SECONDS.  With `churn` so many leave and come back each second of that, one after
 * the other; that the server ends a connection is no loss then.  Prints one JSON object a line: {"event": "start"}
 * when counting begins, and {"event": "end", ...} with the figures.
 *
 * One in so many watchers, 100 at most, looks for stamps (see rtmp.h) in what it gets, and notes how long each stamped
 * frame was on the way, and how long after it came it got its first key frame.  The others let the kernel throw the
 * bytes away: a load that is busy itself would be measured.  A frame that was sent before a watcher had got any is no
 * late one: some servers begin with what they keep for newcomers, others with what comes next.
 */
#define _GNU_SOURCE
#include "rtmp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
    BEFORE_MARK = 12, /* from the first byte of a video message: its header, and what of the stamp is before the mark */
    TAIL_SIZE = BEFORE_MARK + STAMP_MARK_SIZE + STAMP_TIME_SIZE - 1, /* of a stamp, in the previous read */
    BUCKET_NS = 20000,           /* of the latency histogram */
    BUCKETS = 50000,             /* up to one second, longer ones count as that */
    MOST_LOOKING = 100,          /* watchers that look for stamps */
    MOST_KEYS = 1000,
    MOST_PICTURES = 10000,       /* first ones that are noted */
};

struct watcher {
    int fd;
    int key;         /* its number, or -1 for the one that there is */
    int said;        /* commands */
    bool is_playing; /* the handshake is over and play has been sent */
    bool has_picture;
    uint64_t came; /* ns */
    uint64_t began; /* when it got its first stamped frame, ns; 0 before */
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
    int shares[MOST_KEYS], keys; /* how many watch each key */
    double churn;                /* a second */
    uint64_t churned;
    double pictures[MOST_PICTURES]; /* ms from coming to the first one */
    int pictured;
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

/* Which key the watcher of that number plays. */
static int key_of(const struct load *load, int number)
{
    int key = load->keys - 1;
    while (key > 0 && number >= load->shares[key])
        number -= load->shares[key--];
    return key;
}

static void open_watcher(struct load *load, int number)
{
    struct watcher *watcher = &load->watchers[number];
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = watcher};
    uint8_t hello[HELLO_SIZE];
    int interval = (load->wanted + MOST_LOOKING - 1) / MOST_LOOKING;
    watcher->is_looking = number % interval == 0;
    watcher->key = load->keys ? key_of(load, number) : -1;
    watcher->said = 0;
    watcher->is_playing = watcher->has_picture = false;
    watcher->total = watcher->acknowledged = watcher->tail_size = 0;
    watcher->came = watcher->last_read = now_ns();
    watcher->began = 0;
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
}

static void close_watcher(struct watcher *watcher)
{
    close(watcher->fd);
    watcher->fd = -1;
}

/* C2 and connect, createStream, play: the next of them whenever the server has said something. */
static void say_next(struct load *load, struct watcher *watcher)
{
    uint8_t words[HANDSHAKE_SIZE + LONGEST_WORDS];
    size_t size;
    if (watcher->said == 0) {
        memset(words, 7, HANDSHAKE_SIZE);
        size = HANDSHAKE_SIZE + put_connect(words + HANDSHAKE_SIZE, &load->target);
    } else if (watcher->said == 1) {
        size = put_create_stream(words, DEFAULT_CHUNK_SIZE);
    } else {
        char key[256];
        snprintf(key, sizeof key, watcher->key < 0 ? "%s" : "%s%d", load->key, watcher->key);
        size = put_play(words, key);
        watcher->is_playing = true;
    }
    watcher->said++;
    if (write(watcher->fd, words, size) != (ssize_t)size)
        close_watcher(watcher); /* the server left */
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

/* Whether a key frame was stamped, where its first byte is still there: FLV's frame type and codec. */
static void note_picture(struct load *load, struct watcher *watcher, const uint8_t *from, const uint8_t *mark,
                         uint64_t now)
{
    if (watcher->has_picture || mark - from < BEFORE_MARK || mark[-BEFORE_MARK] >> 4 != 1)
        return;
    watcher->has_picture = true;
    if (load->pictured < MOST_PICTURES)
        load->pictures[load->pictured++] = (double)(now - watcher->came) / 1e6;
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
        note_picture(load, watcher, from, mark, now);
        if (watcher->began == 0)
            watcher->began = now;
        if (load->is_counting && sent <= now && sent >= watcher->began) /* not what it gets because it has just come */
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
            say_next(load, watcher);
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
    printf(", \"churned\": %llu, \"first_pictures_ms\": [", (unsigned long long)load->churned);
    for (int i = 0; i < load->pictured; i++)
        printf(i ? ", %.3f" : "%.3f", load->pictures[i]);
    printf("]}\n");
    fflush(stdout);
}

static void start_counting(struct load *load, uint64_t now)
{
    load->is_counting = true;
    load->window_start = now;
    printf("{\"event\": \"start\"}\n");
    fflush(stdout);
}

/* Those whose turn it is leave and come back. */
static void churn(struct load *load, uint64_t now)
{
    while ((double)load->churned < (double)(now - load->window_start) / 1e9 * load->churn) {
        int number = (int)(load->churned++ % (uint64_t)load->wanted);
        if (load->watchers[number].fd >= 0)
            close_watcher(&load->watchers[number]);
        open_watcher(load, number);
    }
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS];
    uint64_t begin = now_ns(), all_open = 0;
    for (;;) {
        uint64_t now = now_ns();
        while (load->opened < load->wanted &&
               load->opened <= (double)(now - begin) / 1e9 * load->rate)
            open_watcher(load, load->opened++);
        if (load->opened == load->wanted && all_open == 0)
            all_open = now;
        if (!load->is_counting && all_open != 0 && (double)(now - all_open) / 1e9 >= load->warm_up)
            start_counting(load, now);
        if (load->is_counting && (double)(now - load->window_start) / 1e9 >= load->seconds) {
            report(load, now);
            return;
        }
        if (load->is_counting && load->churn > 0)
            churn(load, now);
        int ready = epoll_wait(load->epoll, events, EVENTS, load->opened < load->wanted ? 1 : 20);
        for (int i = 0; i < ready; i++)
            read_from(load, events[i].data.ptr);
    }
}

/* Reads what stands behind the numbers that there always are. */
static void read_options(struct load *load, int count, char **options)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(options[i], "flv") == 0) {
            load->is_flv = true;
        } else if (strncmp(options[i], "churn=", 6) == 0) {
            load->churn = atof(options[i] + 6);
        } else if (strncmp(options[i], "shares=", 7) == 0) {
            for (char *share = strtok(options[i] + 7, ","); share && load->keys < MOST_KEYS; share = strtok(NULL, ","))
                load->shares[load->keys++] = atoi(share);
        } else {
            load->rate = atoi(options[i]);
        }
    }
}

int main(int count_of_arguments, char **arguments)
{
    if (count_of_arguments < 7) {
        fprintf(stderr, "usage: watchers PORT APP KEY WATCHERS WARM_UP_SECONDS SECONDS "
                        "[RATE] [flv] [shares=N,N,...] [churn=RATE]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    static struct load load;
    load.target = (struct target){.port = atoi(arguments[1]), .app = arguments[2]};
    load.key = arguments[3];
    load.wanted = atoi(arguments[4]);
    load.warm_up = atof(arguments[5]);
    load.seconds = atof(arguments[6]);
    load.rate = DEFAULT_RATE;
    read_options(&load, count_of_arguments - 7, arguments + 7);
    load.watchers = calloc((size_t)load.wanted, sizeof *load.watchers);
    load.epoll = epoll_create1(0);
    if (load.watchers == NULL || load.epoll < 0)
        die("no memory or no epoll");
    run(&load);
    return 0;
}
