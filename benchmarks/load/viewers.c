/* Many viewers over HTTP on one epoll loop, each with one connection that it keeps, which count what they get.
 *
 *     viewers follow PORT APP KEY VIEWERS WARM_UP_SECONDS SECONDS [INDEX]
 *     viewers fetch PORT INTERVAL_MS VIEWERS WARM_UP_SECONDS SECONDS PATH...
 *
 * `follow` plays Low-Latency HLS as players do: the first playlist, then by turns the part that was hinted and the
 * playlist with it (blocking reload), of the last rendition of the first one.  INDEX is its name; `index.m3u8` unless
 * given.  `fetch` asks for the paths, all of them every INTERVAL_MS, or one after another
 * without a pause where that is 0: of whatever server has them.
 *
 * One in so many followers, 100 at most, looks for stamps (see rtmp.h).  The first stamp of a part tells when the part
 * before it was closed, since that is when it began; how long that part was on the way from there to its last byte is
 * noted.  Prints one JSON object a line, as `watchers` does.
 */
#define _GNU_SOURCE
#include "rtmp.h"

#include <ctype.h>
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
    BUFFER_SIZE = 1 << 20, /* of an answer that is looked into */
    PATH_SIZE = 1024,
    EVENTS = 512,
    RATE = 500, /* viewers that come in a second */
    BUCKET_NS = 20000,
    BUCKETS = 50000,
    MOST_LOOKING = 100,
    MOST_PATHS = 8,
};

enum stage { INDEX, PLAYLIST, PART, FILES };

struct viewer {
    int fd;
    enum stage stage;
    bool is_looking;
    int path;            /* of FILES: which is asked for */
    char *answer;        /* head, and the body where that is looked into */
    size_t size;         /* of what is in it */
    size_t left;         /* of the body, once the head is there */
    bool has_head, is_chunked;
    char playlist[PATH_SIZE]; /* as it is asked for first */
    char part[PATH_SIZE], next[PATH_SIZE]; /* what is asked for now, and after it */
    uint64_t requests, bytes, counted_requests, counted_bytes;
    uint64_t part_came;  /* ns */
    uint64_t due;        /* of the next round of FILES, ns */
    bool waits;          /* for that */
};

struct load {
    struct target target;
    const char *key, *index;
    bool follows;
    char *paths[MOST_PATHS];
    int path_count;
    uint64_t interval;
    int wanted, opened;
    double warm_up, seconds;
    struct viewer *viewers;
    int epoll;
    bool is_counting;
    uint64_t window_start;
    uint64_t histogram[BUCKETS], slowest;
    uint64_t refused;
};

static void ask(struct load *load, struct viewer *viewer, const char *path)
{
    char request[PATH_SIZE + 128];
    int size = load->follows ? snprintf(request, sizeof request, "GET /%s/%s/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                                        load->target.app, load->key, path)
                             : snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    if (write(viewer->fd, request, (size_t)size) != size)
        die("the request did not fit into the socket");
    viewer->size = viewer->left = 0;
    viewer->has_head = viewer->is_chunked = false;
}

static void open_viewer(struct load *load)
{
    struct viewer *viewer = &load->viewers[load->opened];
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = viewer};
    viewer->is_looking = load->opened % ((load->wanted + MOST_LOOKING - 1) / MOST_LOOKING) == 0;
    viewer->answer = malloc(BUFFER_SIZE);
    viewer->fd = connect_to(&load->target);
    fcntl(viewer->fd, F_SETFL, O_NONBLOCK);
    if (viewer->answer == NULL || epoll_ctl(load->epoll, EPOLL_CTL_ADD, viewer->fd, &interest) < 0)
        die("epoll_ctl");
    viewer->stage = load->follows ? INDEX : FILES;
    viewer->due = now_ns();
    ask(load, viewer, load->follows ? load->index : load->paths[0]);
    load->opened++;
}

/* The rest of the line behind the last place of `mark`, up to `end`; false where there is none. */
static bool behind(const char *text, const char *mark, char end, char *out)
{
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, mark)) != NULL; at += strlen(mark))
        found = at + strlen(mark);
    const char *stop = found == NULL ? NULL : strchr(found, end);
    if (stop == NULL || stop - found >= PATH_SIZE)
        return false;
    memcpy(out, found, (size_t)(stop - found));
    out[stop - found] = 0;
    return true;
}

/* The last line that is an address. */
static bool last_address(char *text, char *out)
{
    const char *found = NULL;
    for (char *rest = text, *line; (line = strsep(&rest, "\r\n")) != NULL;)
        if (*line != 0 && *line != '#')
            found = line;
    return found != NULL && snprintf(out, PATH_SIZE, "%s", found) < PATH_SIZE;
}

/* The playlist that will have the part that this one hints at: segments are counted, and parts behind the last whole one
   (RFC 8216bis §4.4.4.9: what follows a segment's parts is the segment). */
static void playlist_with_hint(const char *text, const char *playlist, char *out)
{
    unsigned long number = 0, place = 0;
    const char *first = strstr(text, "#EXT-X-MEDIA-SEQUENCE:"), *behind_segment = text;
    if (first == NULL || sscanf(first, "#EXT-X-MEDIA-SEQUENCE:%lu", &number) != 1)
        die("a playlist has no number");
    for (const char *at = text; (at = strstr(at, "\n#EXTINF:")) != NULL; behind_segment = ++at)
        number++;
    for (const char *at = behind_segment; (at = strstr(at, "\n#EXT-X-PART:")) != NULL; at++)
        place++;
    snprintf(out, PATH_SIZE, "%.900s&_HLS_msn=%lu&_HLS_part=%lu", playlist, number, place);
}

static void note_stamp(struct load *load, struct viewer *viewer, uint64_t now)
{
    const uint8_t *mark = memmem(viewer->answer, viewer->size, STAMP_MARK, STAMP_MARK_SIZE);
    uint64_t sent = 0;
    for (int i = 0; mark != NULL && i < STAMP_TIME_SIZE; i++)
        sent = sent << 8 | mark[STAMP_MARK_SIZE + i];
    uint64_t came = viewer->part_came;
    viewer->part_came = now;
    if (sent == 0 || came < sent || !load->is_counting)
        return;
    uint64_t latency = came - sent, bucket = latency / BUCKET_NS;
    load->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (latency > load->slowest)
        load->slowest = latency;
}

/* A whole answer is there: what is asked for next? */
static void go_on(struct load *load, struct viewer *viewer, uint64_t now)
{
    viewer->requests++;
    viewer->counted_requests += load->is_counting;
    viewer->answer[viewer->size < BUFFER_SIZE ? viewer->size : BUFFER_SIZE - 1] = 0;
    switch (viewer->stage) {
    case INDEX:
        if (!last_address(strstr(viewer->answer, "\r\n\r\n"), viewer->playlist))
            die("there is no media playlist");
        viewer->stage = PLAYLIST;
        ask(load, viewer, viewer->playlist);
        return;
    case PLAYLIST:
        if (!behind(viewer->answer, "TYPE=PART,URI=\"", '"', viewer->part))
            die("there is no hint");
        playlist_with_hint(viewer->answer, viewer->playlist, viewer->next);
        viewer->stage = PART;
        ask(load, viewer, viewer->part);
        return;
    case PART:
        if (viewer->is_looking)
            note_stamp(load, viewer, now);
        viewer->stage = PLAYLIST;
        ask(load, viewer, viewer->next);
        return;
    case FILES:
        if (++viewer->path < load->path_count) {
            ask(load, viewer, load->paths[viewer->path]);
            return;
        }
        viewer->path = 0;
        viewer->due += load->interval;
        viewer->waits = load->interval > 0 && viewer->due > now;
        if (!viewer->waits)
            ask(load, viewer, load->paths[0]);
    }
}

static void read_head(struct load *load, struct viewer *viewer)
{
    viewer->answer[viewer->size] = 0;
    char *end = strstr(viewer->answer, "\r\n\r\n"), *length = strcasestr(viewer->answer, "\r\nContent-Length:");
    if (end == NULL)
        return;
    char *chunked = strcasestr(viewer->answer, "\r\nTransfer-Encoding: chunked\r\n");
    if (chunked != NULL && chunked < end && strncmp(viewer->answer, "HTTP/1.1 200", 12) == 0) {
        viewer->has_head = viewer->is_chunked = true;
        return;
    }
    if (length == NULL || length > end || strncmp(viewer->answer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "%.*s\n", (int)(end - viewer->answer), viewer->answer);
        load->refused++;
        die("an answer is no 200 with a length");
    }
    size_t head = (size_t)(end + 4 - viewer->answer), whole = strtoul(length + 17, NULL, 10);
    viewer->has_head = true;
    viewer->left = whole - (viewer->size - head);
}

/* Whether the last chunk is there (RFC 9112 §7.1). Media that ends a read in the same way is next to impossible. */
static bool ends_chunks(const struct viewer *viewer)
{
    static const char last[] = "\r\n0\r\n\r\n";
    size_t size = sizeof last - 1;
    return viewer->size >= size && memcmp(viewer->answer + viewer->size - size, last, size) == 0;
}

/* Put the chunks of a whole answer together, in place. */
static void join_chunks(struct viewer *viewer)
{
    viewer->answer[viewer->size] = 0;
    char *out = strstr(viewer->answer, "\r\n\r\n") + 4, *at = out, *end = viewer->answer + viewer->size;
    for (;;) {
        char *data = NULL;
        size_t size = strtoul(at, &data, 16);
        if (size == 0 || data + 2 + size > end)
            break;
        memmove(out, data + 2, size);
        out += size;
        at = data + 2 + size + 2;
    }
    viewer->size = (size_t)(out - viewer->answer);
}

static void read_from(struct load *load, struct viewer *viewer)
{
    for (;;) {
        bool is_kept = !viewer->has_head || viewer->is_chunked || viewer->stage == PLAYLIST || viewer->stage == INDEX ||
                       viewer->is_looking;
        size_t room = BUFFER_SIZE - 1 - viewer->size;
        if (!is_kept || room == 0)
            room = viewer->left;
        /* tcp(7): MSG_TRUNC takes bytes without copying them. */
        ssize_t size = recv(viewer->fd, is_kept ? viewer->answer + viewer->size : NULL, is_kept ? room : 1 << 20,
                            is_kept ? 0 : MSG_TRUNC);
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0) {
            close(viewer->fd);
            viewer->fd = -1;
            return;
        }
        viewer->bytes += (uint64_t)size;
        viewer->counted_bytes += load->is_counting ? (uint64_t)size : 0;
        if (is_kept)
            viewer->size += (size_t)size;
        if (!viewer->has_head)
            read_head(load, viewer);
        else
            viewer->left -= (size_t)size < viewer->left ? (size_t)size : viewer->left;
        bool is_whole = viewer->is_chunked ? ends_chunks(viewer) : viewer->has_head && viewer->left == 0;
        if (is_whole && viewer->is_chunked)
            join_chunks(viewer);
        if (is_whole)
            go_on(load, viewer, now_ns());
    }
}

static void report(const struct load *load, uint64_t end)
{
    uint64_t requests = 0, bytes = 0, least = UINT64_MAX;
    int alive = 0, silent = 0;
    const char *comma = "";
    for (int i = 0; i < load->wanted; i++) {
        const struct viewer *viewer = &load->viewers[i];
        alive += viewer->fd >= 0;
        silent += viewer->counted_bytes == 0;
        requests += viewer->counted_requests;
        bytes += viewer->counted_bytes;
        least = viewer->counted_bytes < least ? viewer->counted_bytes : least;
    }
    printf("{\"event\": \"end\", \"watchers\": %d, \"alive\": %d, \"silent\": %d, \"seconds\": %.6f, \"bytes\": %llu, "
           "\"least_bytes\": %llu, \"requests\": %llu, \"longest_gap_ms\": 0, \"latency_bucket_us\": %d, "
           "\"latency_max_us\": %.1f, \"latency\": [",
           load->wanted, alive, silent, (double)(end - load->window_start) / 1e9, (unsigned long long)bytes,
           (unsigned long long)least, (unsigned long long)requests, BUCKET_NS / 1000, (double)load->slowest / 1e3);
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        if (load->histogram[bucket] > 0) {
            printf("%s[%d, %llu]", comma, bucket, (unsigned long long)load->histogram[bucket]);
            comma = ", ";
        }
    }
    printf("]}\n");
    fflush(stdout);
}

static void begin_rounds(struct load *load, uint64_t now)
{
    for (int i = 0; i < load->opened; i++) {
        struct viewer *viewer = &load->viewers[i];
        if (viewer->waits && viewer->due <= now) {
            viewer->waits = false;
            ask(load, viewer, load->paths[0]);
        }
    }
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS];
    uint64_t begin = now_ns(), all_open = 0;
    for (;;) {
        uint64_t now = now_ns();
        while (load->opened < load->wanted && load->opened <= (double)(now - begin) / 1e9 * RATE)
            open_viewer(load);
        if (load->opened == load->wanted && all_open == 0)
            all_open = now;
        if (!load->is_counting && all_open != 0 && (double)(now - all_open) / 1e9 >= load->warm_up) {
            load->is_counting = true;
            load->window_start = now;
            printf("{\"event\": \"start\"}\n");
            fflush(stdout);
        }
        if (load->is_counting && (double)(now - load->window_start) / 1e9 >= load->seconds) {
            report(load, now);
            return;
        }
        if (load->interval > 0)
            begin_rounds(load, now);
        bool is_hurried = load->opened < load->wanted || load->interval > 0;
        int ready = epoll_wait(load->epoll, events, EVENTS, is_hurried ? 1 : 20);
        for (int i = 0; i < ready; i++)
            read_from(load, events[i].data.ptr);
    }
}

int main(int count, char **arguments)
{
    static struct load load;
    load.follows = (count == 8 || count == 9) && strcmp(arguments[1], "follow") == 0;
    if (!load.follows && (count < 8 || count > 7 + MOST_PATHS || strcmp(arguments[1], "fetch") != 0)) {
        fprintf(stderr, "usage: viewers follow PORT APP KEY VIEWERS WARM_UP_SECONDS SECONDS [INDEX]\n"
                        "       viewers fetch PORT INTERVAL_MS VIEWERS WARM_UP_SECONDS SECONDS PATH...\n");
        return 2;
    }
    load.target = (struct target){.port = atoi(arguments[2]), .app = arguments[3]};
    if (load.follows) {
        load.key = arguments[4];
        load.index = count == 9 ? arguments[8] : "index.m3u8";
        arguments++;
    } else {
        load.interval = strtoull(arguments[3], NULL, 10) * 1000000;
        load.path_count = count - 7;
        memcpy(load.paths, arguments + 7, (size_t)load.path_count * sizeof *load.paths);
    }
    load.wanted = atoi(arguments[4]);
    load.warm_up = atof(arguments[5]);
    load.seconds = atof(arguments[6]);
    load.viewers = calloc((size_t)load.wanted, sizeof *load.viewers);
    load.epoll = epoll_create1(0);
    if (load.viewers == NULL || load.epoll < 0)
        die("no memory or no epoll");
    run(&load);
    return 0;
}
