/* See rtmp.h. */
#define _GNU_SOURCE
#include "rtmp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const uint8_t STAMP_MARK[STAMP_MARK_SIZE] = {0x8e, 0x5b, 0x1d, 0xc3, 0x77, 0x42, 0x4f, 0x9a,
                                             0xb1, 0x6d, 0xe2, 0x39, 0x5c, 0xa8, 0xf4, 0x13};

enum { CONTROL_CHUNK_STREAM = 2, COMMAND_CHUNK_STREAM = 3, STREAM_CHUNK_STREAM = 8 };
enum { ANSWER_SECONDS = 10 };
enum { AMF_NUMBER = 0, AMF_STRING = 2, AMF_OBJECT = 3, AMF_NULL = 5, AMF_OBJECT_END = 9 };

void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void sleep_until(uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

void put_big_endian(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

size_t message_space(size_t size, size_t chunk_size)
{
    return 12 + size + size / chunk_size + 1;
}

size_t put_message(uint8_t *out, int chunk_stream, int type, int message_stream, uint32_t timestamp_ms,
                   const uint8_t *payload, size_t size, size_t chunk_size)
{
    uint8_t *p = out;
    *p++ = (uint8_t)chunk_stream;
    put_big_endian(p, timestamp_ms, 3);
    put_big_endian(p + 3, size, 3);
    p[6] = (uint8_t)type;
    p[7] = (uint8_t)message_stream; /* little-endian */
    p[8] = p[9] = p[10] = 0;
    p += 11;
    for (size_t done = 0; done < size;) {
        size_t part = size - done < chunk_size ? size - done : chunk_size;
        if (done > 0)
            *p++ = (uint8_t)(0xc0 | chunk_stream);
        memcpy(p, payload + done, part);
        p += part;
        done += part;
    }
    return (size_t)(p - out);
}

void put_hello(uint8_t out[HELLO_SIZE])
{
    memset(out, 7, HELLO_SIZE); /* instead of random bytes */
    out[0] = 3;
    memset(out + 1, 0, 8); /* time, and the version 0 of the plain handshake */
}

/* AMF0, as far as the commands need it. */

static uint8_t *put_text(uint8_t *p, const char *text)
{
    size_t size = strlen(text);
    put_big_endian(p, size, 2);
    memcpy(p + 2, text, size);
    return p + 2 + size;
}

static uint8_t *put_string(uint8_t *p, const char *text)
{
    *p++ = AMF_STRING;
    return put_text(p, text);
}

static uint8_t *put_number(uint8_t *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    *p++ = AMF_NUMBER;
    put_big_endian(p, bits, 8);
    return p + 8;
}

static uint8_t *put_property(uint8_t *p, const char *name, const char *value)
{
    return put_string(put_text(p, name), value);
}

static size_t put_command(uint8_t *out, int chunk_stream, int message_stream, const uint8_t *body, const uint8_t *end,
                          size_t chunk_size)
{
    return put_message(out, chunk_stream, MESSAGE_COMMAND, message_stream, 0, body, (size_t)(end - body), chunk_size);
}

size_t put_connect(uint8_t *out, const struct target *target)
{
    uint8_t body[1024], *p = body;
    char url[512];
    snprintf(url, sizeof url, "rtmp://127.0.0.1:%d/%s", target->port, target->app);
    p = put_number(put_string(p, "connect"), 1);
    *p++ = AMF_OBJECT;
    p = put_property(p, "app", target->app);
    p = put_property(p, "type", "nonprivate");
    p = put_property(p, "flashVer", "LNX 9,0,124,2");
    p = put_property(p, "tcUrl", url);
    p = put_text(p, "");
    *p++ = AMF_OBJECT_END;
    return put_command(out, COMMAND_CHUNK_STREAM, 0, body, p, DEFAULT_CHUNK_SIZE);
}

size_t put_create_stream(uint8_t *out, size_t chunk_size)
{
    uint8_t body[64], *p = put_number(put_string(body, "createStream"), 2);
    *p++ = AMF_NULL;
    return put_command(out, COMMAND_CHUNK_STREAM, 0, body, p, chunk_size);
}

size_t put_play(uint8_t *out, const char *key)
{
    uint8_t body[512], *p = put_number(put_string(body, "play"), 3);
    *p++ = AMF_NULL;
    p = put_string(p, key);
    return put_command(out, STREAM_CHUNK_STREAM, 1, body, p, DEFAULT_CHUNK_SIZE);
}

size_t put_chunk_size(uint8_t *out, size_t chunk_size)
{
    uint8_t announced[4];
    put_big_endian(announced, chunk_size, 4);
    return put_message(out, CONTROL_CHUNK_STREAM, MESSAGE_SET_CHUNK_SIZE, 0, 0, announced, 4, DEFAULT_CHUNK_SIZE);
}

size_t put_publish(uint8_t *out, const char *key, size_t chunk_size)
{
    uint8_t body[512], *p = put_number(put_string(body, "publish"), 3);
    *p++ = AMF_NULL;
    p = put_string(put_string(p, key), "live");
    return put_command(out, STREAM_CHUNK_STREAM, 1, body, p, chunk_size);
}

void put_stamp(uint8_t out[STAMP_SIZE], uint64_t time_ns)
{
    put_big_endian(out, STAMP_SIZE - 4, 4); /* length of the NAL unit */
    out[4] = 6;                             /* nal_unit_type: SEI */
    out[5] = 5;                             /* payloadType: user data, unregistered */
    out[6] = STAMP_MARK_SIZE + STAMP_TIME_SIZE;
    memcpy(out + 7, STAMP_MARK, STAMP_MARK_SIZE);
    put_big_endian(out + 7 + STAMP_MARK_SIZE, time_ns, STAMP_TIME_SIZE);
    out[STAMP_SIZE - 1] = 0x80; /* trailing bits */
}

int connect_to(const struct target *target)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)target->port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        die("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void await_bytes(int fd, uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t got = read(fd, out, size);
        if (got <= 0)
            die("the server left during the handshake");
        out += got;
        size -= (size_t)got;
    }
}

/* Reads until the server has said `word`. */
static void await_word(int fd, const char *word)
{
    uint8_t answer[16384];
    size_t size = 0;
    while (size < sizeof answer) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        if (poll(&readable, 1, ANSWER_SECONDS * 1000) <= 0)
            break;
        ssize_t got = read(fd, answer + size, sizeof answer - size);
        if (got <= 0)
            break;
        size += (size_t)got;
        if (memmem(answer, size, word, strlen(word)) != NULL)
            return;
    }
    die(word);
}

static void say(int fd, const uint8_t *words, size_t size)
{
    if (write(fd, words, size) != (ssize_t)size)
        die("the commands did not fit into the socket");
}

int open_publisher(const struct target *target, const char *key, size_t chunk_size)
{
    uint8_t hello[HELLO_SIZE], answer[ANSWER_SIZE], words[LONGEST_WORDS];
    int fd = connect_to(target);
    put_hello(hello);
    say(fd, hello, sizeof hello);
    await_bytes(fd, answer, sizeof answer);
    say(fd, answer + 1, HANDSHAKE_SIZE);
    size_t size = put_connect(words, target);
    say(fd, words, size + put_chunk_size(words + size, chunk_size));
    await_word(fd, "NetConnection.Connect.Success");
    say(fd, words, put_create_stream(words, chunk_size));
    await_word(fd, "_result");
    say(fd, words, put_publish(words, key, chunk_size));
    await_word(fd, "NetStream.Publish.Start");
    return fd;
}
