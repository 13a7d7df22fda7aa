/* What the load tools need of RTMP: writing messages, the first words of a client, and time.
 *
 * What a server answers is looked at only where a figure depends on it.  "RTMP" with a section number is Adobe's RTMP 1.0.
 */
#ifndef RTMP_H
#define RTMP_H

#include <stddef.h>
#include <stdint.h>

enum {
    MESSAGE_SET_CHUNK_SIZE = 1,
    MESSAGE_ACKNOWLEDGEMENT = 3,
    MESSAGE_AUDIO = 8,
    MESSAGE_VIDEO = 9,
    MESSAGE_DATA = 18,
    MESSAGE_COMMAND = 20,
};

enum {
    DEFAULT_CHUNK_SIZE = 128,                 /* RTMP §5.4.1 */
    HANDSHAKE_SIZE = 1536,                    /* C1, C2, S1, S2: RTMP §5.2.3 */
    HELLO_SIZE = 1 + HANDSHAKE_SIZE,          /* C0 and C1 */
    ANSWER_SIZE = 1 + 2 * HANDSHAKE_SIZE,     /* S0, S1 and S2 */
    LONGEST_WORDS = 4096,                     /* of a client before its media: three commands with short names */
};

/* A stamp is an H.264 NAL unit put before a frame's own: supplemental enhancement information, user data with a UUID
 * (ITU-T H.264 §D.1.6) and 8 bytes, when the frame was sent.  Decoders skip it; watchers find it by the UUID.  It
 * stands at the start of the message, so that no chunk boundary falls into it. */
enum { STAMP_MARK_SIZE = 16, STAMP_TIME_SIZE = 8, STAMP_SIZE = 4 + 3 + STAMP_MARK_SIZE + STAMP_TIME_SIZE + 1 };
extern const uint8_t STAMP_MARK[STAMP_MARK_SIZE];

/* Where a client goes. */
struct target {
    int port; /* on 127.0.0.1 */
    const char *app;
};

uint64_t now_ns(void); /* CLOCK_MONOTONIC: the same clock in all processes of a machine */

void sleep_until(uint64_t ns); /* on that clock */

void put_big_endian(uint8_t *out, uint64_t value, int bytes);

/* Writes one message with a type 0 header and type 3 chunks after it; returns its size on the wire. */
size_t put_message(uint8_t *out, int chunk_stream, int type, int message_stream, uint32_t timestamp_ms,
                   const uint8_t *payload, size_t size, size_t chunk_size);

/* Upper bound of what `put_message` writes. */
size_t message_space(size_t size, size_t chunk_size);

void put_hello(uint8_t out[HELLO_SIZE]);

/* What a client says, one after the other, since some servers take no command before they have answered the last one:
 * connect, createStream, and play or publish on message stream 1, which every server gives first.  They return what
 * they wrote, at most LONGEST_WORDS. A publisher's messages are in chunks of `chunk_size` from its connect on. */
size_t put_connect(uint8_t *out, const struct target *target);
size_t put_chunk_size(uint8_t *out, size_t chunk_size);
size_t put_create_stream(uint8_t *out, size_t chunk_size);
size_t put_play(uint8_t *out, const char *key);
size_t put_publish(uint8_t *out, const char *key, size_t chunk_size);

/* Writes a stamp of `time_ns`. */
void put_stamp(uint8_t out[STAMP_SIZE], uint64_t time_ns);

/* A TCP connection without Nagle's delay, connected; ends the program when there is none. */
int connect_to(const struct target *target);

/* The same for a client that publishes `key`, once the server lets it. */
int open_publisher(const struct target *target, const char *key, size_t chunk_size);

/* Prints the message and what errno says, and ends the program. */
_Noreturn void die(const char *what);

#endif
