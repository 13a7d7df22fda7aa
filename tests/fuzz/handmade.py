"""Seeds made by hand: what no well-behaved program sends, so that short runs reach it, and long ones begin beyond it.

Each is at a limit or just over it, or in pieces of one byte where a header is long.
"""

from collections.abc import Mapping, Sequence

from mmids_trio.capture.records import Closed, Opened, Received, Record, Start
from mmids_trio.capture.tape import FIRST_LINE, encode
from mmids_trio.media.flv import TagType, flv_header, flv_tag
from mmids_trio.net.proxy_protocol import SIGNATURE
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect, message

IN_ONE, ONE_BY_ONE = b"\0", b"\1"
AFTER_HANDSHAKE, AFTER_CONNECT, AFTER_CREATE_STREAM = 1, 2, 3
ACCEPTING = 0
PLAYS, SHAKEN_HANDS = 1, 2
AGGREGATE, VIDEO, USER_CONTROL, WINDOW = 22, 9, 4, 5

LATE = 0x01020304
"""A timestamp that needs the extended form (RTMP 1.0 §5.3.1.3)."""


def _nested(depth: int) -> bytes:
    value: object = 1.0
    for _ in range(depth):
        value = {"a": value}
    return amf.encode_all([value]) if depth <= MAX_AMF_DEPTH else b"\x03\0\1a" * depth + b"\5" + b"\0\0\x09" * depth


def _referring(length: int, times: int) -> bytes:
    """An array of one text of `length` bytes, and so many references to it (AMF0 §2.9)."""
    text = b"\x02" + length.to_bytes(2, "big") + b"x" * length
    return b"\x0a\0\0\0\1" + text + b"\x07\0\0" * times


def _doubling(levels: int) -> bytes:
    """Arrays that refer to the one before twice: the last stands for a power of two of values."""
    first = b"\x0a\0\0\0\1\x05"
    return first + b"".join(b"\x0a\0\0\0\2" + (b"\x07" + n.to_bytes(2, "big")) * 2 for n in range(levels))


def _late(*, repeated: bool) -> bytes:
    """A message of three chunks with an extended timestamp, which later chunks repeat or not."""
    extended = LATE.to_bytes(4, "big")
    continuation = b"\xc4" + (extended if repeated else b"")
    head = b"\x04\xff\xff\xff\0\1\x2c\x09\1\0\0\0" + extended
    return head + continuation.join((b"\1" * 128, b"\1" * 128, b"\2" * 44))


_DELTA = b"\x04\0\0\1\0\0\2\x09\1\0\0\0ab" + b"\x44\xff\xff\xff\0\0\1\x09\0\0\1\0c" + b"\xc4\0\0\1\0d" + b"\x84\0\0\5e"
"""Types 0 to 3 on one chunk stream, with an extended delta."""

_FORMS = b"\0\0" + b"\0\0\1\0\0\1\x08\0\0\0\0x" + b"\1\0\1" + b"\0\0\1\0\0\1\x08\0\0\0\0y"
"""Basic headers of two and of three bytes."""

_ABORTED = b"\x04\0\0\0\0\1\0\x09\1\0\0\0" + bytes(128) + message(2, b"\0\0\0\4", chunk_stream=2) + b"\xc4" + bytes(128)

_TAGS = flv_tag(TagType.VIDEO, 0, b"\x17\1\0\0\0x") + flv_tag(TagType.AUDIO, LATE, b"\xaf\1y")
_PUBLISH = command("publish", 3, None, "key", "live", stream=1)
_PLAY = command("play", 4, None, "key", -2, stream=1)
_CLOSE = command("deleteStream", 5, None, 1)


def _session(after: int, *pieces: bytes, one_by_one: bool = False) -> bytes:
    return bytes((after | ACCEPTING << 3, one_by_one)) + b"".join(pieces)


_SERVER_SESSIONS = (
    _session(AFTER_HANDSHAKE, command("createStream", 1, None)),
    _session(AFTER_HANDSHAKE, connect(), connect()),
    _session(AFTER_CONNECT, *[command("createStream", 2, None)] * 17),
    *(
        _session(AFTER_CREATE_STREAM, _PUBLISH, message(AGGREGATE, tags, stream=1), _CLOSE)
        for tags in (_TAGS, _TAGS[:-4], _TAGS[:-6], _TAGS[:5], _TAGS * 600)
    ),
    _session(AFTER_CREATE_STREAM, _PUBLISH, message(VIDEO, b"\x17\0" * 400, stream=1, timestamp=LATE), one_by_one=True),
    _session(AFTER_CREATE_STREAM, message(VIDEO, b"early", stream=1), _PUBLISH, _PUBLISH, _CLOSE),
    _session(AFTER_CREATE_STREAM, _PLAY, command("pause", 0, None, True, 0, stream=1), _PLAY, _CLOSE),
    _session(
        AFTER_CREATE_STREAM, message(WINDOW, b"\0\0\0\1"), message(USER_CONTROL, b"\0\6\0\0\0\1"), one_by_one=True
    ),
    _session(
        AFTER_CREATE_STREAM, command("x", 1, None, amf3=True), message(USER_CONTROL, b"\0"), message(WINDOW, b"\0")
    ),
)

_STATUS = {"level": "status", "code": "NetStream.Publish.Start", "description": ""}
_SUCCESS = {"level": "status", "code": "NetConnection.Connect.Success"}
_CONNECTED = command("_result", 1, {"fmsVer": "x"}, _SUCCESS) + command("_result", 4, None, 1)
_CLIENT_SESSIONS = tuple(
    bytes((SHAKEN_HANDS | plays, size)) + _CONNECTED + command("_result", 2, None, stream) + rest
    for plays in (0, PLAYS)
    for size in (0, 1)
    for stream in (1.0, -1.0, float("nan"), 1e300, None)
    for rest in (command("onStatus", 0, None, _STATUS, stream=1), message(AGGREGATE, _TAGS, stream=1))
)

_RECORDS: tuple[Record, ...] = (
    *(Start(0, "0.1", "full", "keep", 1, b"settings {\n}\n"), Opened(1, 1, 1935, "::1", 2)),
    *(Received(2, 1, bytes(1000) + b"x"), Received(3, 1, b""), Closed(4, 1, "end")),
)
_TAPE = FIRST_LINE + b"".join(map(encode, _RECORDS))

HANDMADE: Mapping[str, Sequence[bytes]] = {
    "amf0": (
        *(_nested(depth) for depth in (MAX_AMF_DEPTH, MAX_AMF_DEPTH + 1, 5000)),
        *(_referring(60_000, times) for times in (3, 17, 5000)),
        *(_doubling(levels) for levels in (5, 12, 60)),
        b"\x0a\xff\xff\xff\xff\x05",
        b"\x08\xff\xff\xff\xff\0\1a\5",
        b"\x03\0\1a\x07\0\0\0\0\x09",
        b"\x10\0\1C\0\0\x09" + b"\x07\0\0" + b"\x0b" + bytes(10) + b"\x0f\0\0\0\1x" + b"\x0d",
        b"\x02\0\2\xed\xa0" + b"\x0c\0\1\0\0" + bytes(65536) + b"\x00\x7f\xf8\0\0\0\0\0\1",
    ),
    "chunks": tuple(
        size + wire
        for size in (IN_ONE, ONE_BY_ONE, b"\x7f")
        for wire in (_late(repeated=True), _late(repeated=False), _DELTA, _FORMS, _ABORTED, message(1, b"\0\0\0\1") * 3)
    ),
    "flv": tuple(
        size + flv_header(audio=True, video=True) + tags
        for size in (IN_ONE, ONE_BY_ONE)
        for tags in (_TAGS, _TAGS[:-5], flv_tag(TagType.VIDEO, 0, b"") * 3, b"\x20" + _TAGS[1:])
    ),
    "handshake": (
        b"\0\1\x16\3\1",
        b"\0\0GET / HTTP/1.1",
        b"\0\1" + PLAIN_HANDSHAKE + b"behind",
        b"\1\7\3" + bytes(3080),
    ),
    "configuration": (
        b"}\n" * 1100,
        b"workflow a {\n s " + b"a=b " * 100 + b"\n}\n",
        b'"' * 70_000,
        b"\xef\xbb\xbf\xff\n",
    ),
    "proxy_header": tuple(
        size + SIGNATURE + header
        for size in (IN_ONE, ONE_BY_ONE)
        for header in (
            b"\x21\x11\0\x0c" + bytes(range(12)) + b"behind",
            b"\x21\x21\0\x28" + bytes(10) + b"\xff\xff" + bytes(28),
            *(b"\x20\0\0\0", b"\x21\x11\0\4abcd", b"\x21\x31\0\0", b"\x21\x11\xff\xff", b"\x22\x11\0\0"),
        )
    ),
    "tape": (
        *(IN_ONE + _TAPE, ONE_BY_ONE + _TAPE, b"\x61" + _TAPE[:-9], IN_ONE + FIRST_LINE + b"[" * 100_000 + b"\n"),
        *(IN_ONE + b"mmtape 9\n", IN_ONE + FIRST_LINE + b'{"kind":"x","size":2}\nab\n{"size":1e9}\n'),
        IN_ONE + FIRST_LINE + b'{"kind":"received","time":1,"connection":1,"size":3,"packed":9}\nabc\n',
    ),
    "server_session": _SERVER_SESSIONS,
    "client_session": _CLIENT_SESSIONS,
    "state_file": (
        b"\1# mmids-state version 1\n# mmids-state deleted a " + b"0" * 32,
        b"\1# mmids-state version 1\n# mmids-state reactors " + b"0" * 32 + b"\nreactor r executor=x {\n url a\n}\n",
    ),
}
