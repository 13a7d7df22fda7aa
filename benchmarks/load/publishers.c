/* RTMP publishers that send an FLV file in real time, over and over, at chunk size 4096, with H.264 and AAC.
 *
 *     publishers PORT APP KEY PUBLISHERS SECONDS FILE.flv [stamp] [churn=RATE]
 *
 * With one publisher its key is KEY, else KEY0, KEY1, ...  Prints one JSON object a line: {"event": "start"} when all
 * may publish and media begins, {"event": "end", ...} after SECONDS.  `stamp` puts the time of sending into each video
 * frame (see rtmp.h).  With `churn` so many leave each second, one after the other, and come back a second later.
 * Each publisher is a few milliseconds behind the one before, as independent ones would be.  One that comes back
 * connects in a thread of its own: that the server takes its time with one keeps no other from sending.
 */
#define _GNU_SOURCE
#include "rtmp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_SIZE = 4096,
    FLV_HEADER = 13,       /* file header and the first PreviousTagSize */
    TAG_HEADER = 11,
    VIDEO_HEADER = 5,      /* before the NAL units of an AVC packet */
    CODEC_AVC = 7,
    NAL_UNITS = 1,
    STAGGER_MS = 7,        /* between one publisher and the next, */
    STAGGER_WITHIN_MS = 33, /* modulo a frame */
    TICK_NS = 1000000,     /* at least between two looks at what is due */
    LONGEST_PAUSE_MS = 20,
    ROUNDS_PER_DRAIN = 16,
    AWAY_MS = 1000, /* in which every server has noticed that a publisher left */
};

struct tag {
    int type;
    uint32_t timestamp; /* ms */
    const uint8_t *payload;
    size_t size;
    bool is_start; /* a header or metadata: sent once, not again when the file is repeated */
};

struct footage {
    struct tag *tags;
    size_t count;
    uint32_t duration; /* ms */
    size_t largest;
};

struct publisher {
    int fd;
    size_t next;      /* tag */
    uint32_t offset;  /* ms, of this round through the file */
    bool has_begun;   /* the first round, with headers, is over */
    double begin;     /* ms after the first one */
    double back;      /* when one that left comes back, ms; 0 for one that is here, or on its way */
    bool is_coming;   /* its thread connects */
    atomic_int arrived; /* what that has connected, until the loop takes it; else 0 */
};

static uint64_t sent_bytes;
static int closed;

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) < 0)
        die(path);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size);
    if (data == NULL || fread(data, 1, *size, file) != *size)
        die(path);
    fclose(file);
    return data;
}

static bool is_start(const struct tag *tag)
{
    bool has_header = tag->type == MESSAGE_VIDEO || tag->type == MESSAGE_AUDIO;
    return !has_header || tag->size < 2 || tag->payload[1] == 0; /* AVC or AAC sequence header */
}

static struct footage read_footage(const char *path)
{
    size_t size;
    uint8_t *data = read_file(path, &size);
    struct footage footage = {.tags = calloc(size / TAG_HEADER + 1, sizeof(struct tag))};
    uint32_t last_video = 0, frame = 0;
    for (size_t at = FLV_HEADER; at + TAG_HEADER < size;) {
        const uint8_t *p = data + at;
        struct tag tag = {.type = p[0] & 31, .size = (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]};
        tag.timestamp = (uint32_t)p[7] << 24 | (uint32_t)p[4] << 16 | (uint32_t)p[5] << 8 | p[6];
        tag.payload = p + TAG_HEADER;
        if (at + TAG_HEADER + tag.size > size)
            break;
        tag.is_start = is_start(&tag);
        if (tag.type == MESSAGE_VIDEO && !tag.is_start) {
            frame = tag.timestamp - last_video;
            last_video = tag.timestamp;
        }
        if (tag.size > footage.largest)
            footage.largest = tag.size;
        if (tag.size > 0)
            footage.tags[footage.count++] = tag;
        at += TAG_HEADER + tag.size + 4;
    }
    footage.duration = last_video + frame;
    return footage;
}

/* Waits for the server: one that takes nothing slows the load down, which shows in `longest_pause_ms`. */
static void write_all(struct publisher *publisher, const uint8_t *data, size_t size)
{
    while (size > 0 && publisher->fd >= 0) {
        ssize_t wrote = write(publisher->fd, data, size);
        if (wrote < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = publisher->fd, .events = POLLOUT};
            poll(&writable, 1, 100);
        } else if (wrote < 0) {
            close(publisher->fd);
            publisher->fd = -1;
            closed++;
        } else {
            data += wrote;
            size -= (size_t)wrote;
            sent_bytes += (uint64_t)wrote;
        }
    }
}

/* The payload with a stamp before its first NAL unit, in `scratch`; other tags as they are. */
static const uint8_t *stamped(const struct tag *tag, uint8_t *scratch, size_t *size)
{
    *size = tag->size;
    bool is_frame = tag->type == MESSAGE_VIDEO && tag->size > VIDEO_HEADER && tag->payload[1] == NAL_UNITS;
    if (!is_frame || (tag->payload[0] & 15) != CODEC_AVC)
        return tag->payload;
    memcpy(scratch, tag->payload, VIDEO_HEADER);
    put_stamp(scratch + VIDEO_HEADER, now_ns());
    memcpy(scratch + VIDEO_HEADER + STAMP_SIZE, tag->payload + VIDEO_HEADER, tag->size - VIDEO_HEADER);
    *size += STAMP_SIZE;
    return scratch;
}

struct scratch {
    uint8_t *payload, *message;
};

static void send_tag(struct publisher *publisher, const struct tag *tag, bool with_stamp, struct scratch *scratch)
{
    size_t size = tag->size;
    const uint8_t *payload = with_stamp ? stamped(tag, scratch->payload, &size) : tag->payload;
    int chunk_stream = tag->type == MESSAGE_VIDEO ? 6 : tag->type == MESSAGE_AUDIO ? 4 : 5;
    uint32_t timestamp = tag->timestamp + publisher->offset;
    size = put_message(scratch->message, chunk_stream, tag->type, 1, timestamp, payload, size, CHUNK_SIZE);
    write_all(publisher, scratch->message, size);
}

/* Sends all that is due `elapsed` milliseconds after the start of this publisher; returns when the next is. */
static double send_due(struct publisher *publisher, const struct footage *footage, double elapsed, bool with_stamp,
                     struct scratch *scratch)
{
    for (;;) {
        const struct tag *tag = &footage->tags[publisher->next];
        double due = (double)tag->timestamp + publisher->offset;
        if (due > elapsed)
            return due;
        if (!publisher->has_begun || !tag->is_start)
            send_tag(publisher, tag, with_stamp, scratch);
        if (++publisher->next == footage->count) {
            publisher->next = 0;
            publisher->offset += footage->duration;
            publisher->has_begun = true;
        }
    }
}

/* Throws away what the server says, acknowledgements and pings. */
static void drain(struct publisher *publisher)
{
    uint8_t junk[16384];
    if (publisher->fd >= 0 && read(publisher->fd, junk, sizeof junk) == 0) {
        close(publisher->fd);
        publisher->fd = -1;
        closed++;
    }
}

struct churn {
    const struct target *target;
    const char *key;
    double rate; /* a second */
    unsigned long left;
};

/* Connects, and waits until it may publish. */
static int come(const struct target *target, const char *name, int number)
{
    char key[256];
    snprintf(key, sizeof key, number < 0 ? "%s" : "%s%d", name, number);
    int fd = open_publisher(target, key, CHUNK_SIZE);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* One that comes back: what its thread has to know. */
struct arrival {
    const struct target *target;
    const char *key;
    int number;
    struct publisher *publisher;
};

static void *arrive(void *argument)
{
    struct arrival *arrival = argument;
    atomic_store(&arrival->publisher->arrived, come(arrival->target, arrival->key, arrival->number));
    free(arrival);
    return NULL;
}

static void begin_to_come(const struct churn *churn, struct publisher *publisher, int number)
{
    struct arrival *arrival = malloc(sizeof *arrival);
    pthread_t thread;
    if (arrival == NULL)
        die("no memory");
    *arrival = (struct arrival){churn->target, churn->key, number, publisher};
    publisher->is_coming = true;
    publisher->back = 0;
    if (pthread_create(&thread, NULL, arrive, arrival) != 0 || pthread_detach(thread) != 0)
        die("no thread");
}

/* One that has come back begins anew, `elapsed` milliseconds after the first one. */
static void take(struct publisher *publisher, int fd, double elapsed)
{
    publisher->fd = fd;
    publisher->is_coming = publisher->has_begun = false;
    publisher->next = 0;
    publisher->offset = 0;
    publisher->begin = elapsed;
}

/* Who left a while ago comes back, and those whose turn it is leave. */
static void churn(struct churn *churn, struct publisher *publishers, int count, double elapsed)
{
    for (int i = 0; i < count; i++) {
        struct publisher *publisher = &publishers[i];
        int fd = publisher->is_coming ? atomic_exchange(&publisher->arrived, 0) : 0;
        if (fd > 0)
            take(publisher, fd, elapsed);
        else if (publisher->back > 0 && elapsed >= publisher->back)
            begin_to_come(churn, publisher, i);
    }
    while ((double)churn->left < elapsed / 1e3 * churn->rate) {
        struct publisher *publisher = &publishers[churn->left++ % (unsigned long)count];
        if (publisher->is_coming)
            continue;
        if (publisher->fd >= 0)
            close(publisher->fd);
        publisher->fd = -1;
        publisher->back = elapsed + AWAY_MS;
    }
}

static void run(struct publisher *publishers, int count, double seconds, const struct footage *footage, bool with_stamp,
                struct churn *churning)
{
    size_t largest = footage->largest + STAMP_SIZE;
    struct scratch scratch = {malloc(largest), malloc(message_space(largest, CHUNK_SIZE))};
    uint64_t begin = now_ns(), tick = begin, last = begin, sent_before = sent_bytes;
    double latest = 0;
    printf("{\"event\": \"start\"}\n");
    fflush(stdout);
    for (int round = 0; (double)(tick - begin) / 1e9 < seconds; round++) {
        uint64_t now = now_ns();
        double elapsed = (double)(now - begin) / 1e6, pause = LONGEST_PAUSE_MS;
        latest = (double)(now - last) / 1e9 > latest ? (double)(now - last) / 1e9 : latest;
        last = now;
        if (churning->rate > 0)
            churn(churning, publishers, count, elapsed);
        for (int i = 0; i < count; i++) {
            if (publishers[i].fd < 0)
                continue;
            double own = elapsed - publishers[i].begin - i * STAGGER_MS % STAGGER_WITHIN_MS;
            double until_next = send_due(&publishers[i], footage, own, with_stamp, &scratch) - own;
            pause = until_next < pause ? until_next : pause;
            if (round % ROUNDS_PER_DRAIN == 0)
                drain(&publishers[i]);
        }
        /* Not until something is due: each time that it wakes up costs its core, and those who would wake that. */
        tick = now + (uint64_t)(pause * 1e6);
        tick = tick < now_ns() + TICK_NS ? now_ns() + TICK_NS : tick;
        sleep_until(tick);
    }
    printf("{\"event\": \"end\", \"publishers\": %d, \"closed\": %d, \"seconds\": %.6f, \"bytes\": %llu, "
           "\"longest_pause_ms\": %.3f}\n",
           count, closed, (double)(now_ns() - begin) / 1e9, (unsigned long long)(sent_bytes - sent_before), latest * 1e3);
    fflush(stdout);
}

int main(int count_of_arguments, char **arguments)
{
    if (count_of_arguments < 7) {
        fprintf(stderr, "usage: publishers PORT APP KEY PUBLISHERS SECONDS FILE.flv [stamp] [churn=RATE]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct target target = {.port = atoi(arguments[1]), .app = arguments[2]};
    int count = atoi(arguments[4]);
    struct footage footage = read_footage(arguments[6]);
    struct publisher *publishers = calloc((size_t)count, sizeof *publishers);
    if (publishers == NULL || footage.count == 0)
        die("no publishers or no media");
    for (int i = 0; i < count; i++) {
        publishers[i].fd = come(&target, arguments[3], count == 1 ? -1 : i);
    }
    struct churn churning = {.target = &target, .key = arguments[3]};
    bool with_stamp = false;
    for (int i = 7; i < count_of_arguments; i++) {
        with_stamp |= strcmp(arguments[i], "stamp") == 0;
        if (strncmp(arguments[i], "churn=", 6) == 0)
            churning.rate = atof(arguments[i] + 6);
    }
    run(publishers, count, atof(arguments[5]), &footage, with_stamp, &churning);
    return 0;
}
