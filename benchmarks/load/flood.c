/* A publisher that floods: frames of 10 kB in chunks of 128 bytes, at a rate, or as fast as they are taken if that is less.
 *
 *     flood PORT APP KEY MBIT_PER_SECOND SECONDS
 *
 * Prints one JSON object a line: {"event": "start"} when it may publish, {"event": "end", ...} with what was sent.
 */
#define _GNU_SOURCE
#include "rtmp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FRAME_SIZE = 10000,
    FRAMES_PER_GROUP = 60,
    CHUNK_STREAM = 6,
    KEY_FRAME = 0x17, /* FLV: frame type and codec */
    OTHER_FRAME = 0x27,
    NAL_UNITS = 1,
    TICK_NS = 1000000,
};

static uint8_t message[2 * FRAME_SIZE];

static size_t put_frame(uint64_t number, uint64_t elapsed_ns)
{
    static uint8_t frame[FRAME_SIZE] = {[1] = NAL_UNITS};
    frame[0] = number % FRAMES_PER_GROUP == 0 ? KEY_FRAME : OTHER_FRAME;
    uint32_t timestamp = (uint32_t)(elapsed_ns / 1000000);
    return put_message(message, CHUNK_STREAM, MESSAGE_VIDEO, 1, timestamp, frame, sizeof frame, DEFAULT_CHUNK_SIZE);
}

static void write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, data, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            die("the server takes nothing more");
        data += wrote;
        size -= (size_t)wrote;
    }
}

int main(int count_of_arguments, char **arguments)
{
    if (count_of_arguments < 6) {
        fprintf(stderr, "usage: flood PORT APP KEY MBIT_PER_SECOND SECONDS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct target target = {.port = atoi(arguments[1]), .app = arguments[2]};
    double bytes_per_ns = atof(arguments[4]) / 8e3, seconds = atof(arguments[5]);
    int fd = open_publisher(&target, arguments[3], DEFAULT_CHUNK_SIZE);
    printf("{\"event\": \"start\"}\n");
    fflush(stdout);
    uint64_t begin = now_ns(), now = begin, sent = 0, frames = 0;
    for (; (double)(now - begin) / 1e9 < seconds; now = now_ns()) {
        if ((double)sent > (double)(now - begin) * bytes_per_ns) {
            sleep_until(now + TICK_NS);
            continue;
        }
        size_t size = put_frame(frames++, now - begin);
        write_all(fd, message, size);
        sent += size;
    }
    printf("{\"event\": \"end\", \"seconds\": %.6f, \"bytes\": %llu, \"frames\": %llu}\n", (double)(now - begin) / 1e9,
           (unsigned long long)sent, (unsigned long long)frames);
    return 0;
}
