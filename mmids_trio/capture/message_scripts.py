"""What of each RTMP message goes to a tape: one script for each kind of message.

Apart from the walk over chunks because these know messages, which chunks cut anywhere.  Whatever a script does not
understand is blanked.  AMF0 §2; RTMP 1.0 §7.1, §7.2.
"""

from collections.abc import Callable, Generator

from attrs import define, field

from mmids_trio.capture.patching import REST, Change, Op, Script, blank, keep
from mmids_trio.capture.pseudonyms import Pseudonyms
from mmids_trio.errors import ProtocolError
from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import StreamId
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH

KEPT_MEDIA = 16
"""Bytes that are kept of a blanked audio or video message: its tag header, extensions of Enhanced RTMP included."""

MAX_STRINGS = 32
"""Strings of one message that get pseudonyms of their own; no client sends more, and each takes time."""

_OPEN = frozenset(
    {
        "app",
        "type",
        "flashver",
        "fpad",
        "capabilities",
        "audiocodecs",
        "videocodecs",
        "videofunction",
        "capsex",
        "objectencoding",
        "fourcclist",
        "videofourccinfomap",
        "audiofourccinfomap",
    }
)
"""Properties of `connect` that say nothing secret; of `app`, what stands before a `?`."""

_PUBLISH_TYPES = 2  # where `publish` says live, record or append; the first argument is number 0
_AGGREGATE_HEADER, _BACK_POINTER = 11, 4
_SKIPPED = {0x00: 8, 0x01: 1, 0x05: 0, 0x06: 0, 0x07: 2, 0x0B: 10, 0x0D: 0}
_STRINGS = {0x02: 2, 0x0C: 4, 0x0F: 4}
_ECMA_ARRAY, _STRICT_ARRAY, _TYPED_OBJECT, _OBJECT_END = 0x08, 0x0A, 0x10, b"\x09"
_OBJECTS = (0x03, _ECMA_ARRAY, _TYPED_OBJECT)

Policy = Callable[[str], Change | None]
"""What is done to a string of a property of that (lower-case) name; `None`: it is kept."""


def media(type_id: int) -> Script:
    """Audio or video: a sequence header stays whole, of everything else the beginning."""
    head = bytearray()
    while len(head) < KEPT_MEDIA:
        head += yield 1, None
    yield REST, keep if _is_header(type_id, bytes(head)) else blank


def aggregate() -> Script:
    """Several messages in one (RTMP 1.0 §7.1.6): each as it would be by itself."""
    while True:
        header = yield _AGGREGATE_HEADER, None
        size = int.from_bytes(header[1:4], "big")
        kept = min(size, KEPT_MEDIA)
        head = yield kept, None
        whole = header[0] in (types.AUDIO, types.VIDEO) and _is_header(header[0], head)
        yield size - kept, keep if whole else blank
        yield _BACK_POINTER, None


def _is_header(type_id: int, head: bytes) -> bool:
    return (parse_video if type_id == types.VIDEO else parse_audio)(StreamId(""), 0, head).is_sequence_header


def everything() -> Script:
    """Keep it."""
    yield REST, keep


def nothing() -> Script:
    """Blank it."""
    yield REST, blank


@define
class Strings:
    """Masks the strings of one command or data message; numbers, names of properties and lengths stay."""

    pseudonyms: Pseudonyms
    _count: int = field(default=0, init=False)

    def command(self, type_id: int) -> Script:
        """A command: all strings but its name and what is known to be harmless."""
        yield from _amf3_prefix(type_id)
        name = yield from _name()
        yield from self._value(lambda _: None, 0)
        argument = 0
        while True:
            yield from self._value(self._policy(name, argument), 0)
            argument += 1

    def data(self, type_id: int) -> Script:
        """A data message (`onMetaData`, cue points): all strings but its name."""
        yield from _amf3_prefix(type_id)
        if (yield from _name()) == b"@setDataFrame":
            yield from _name()
        while True:
            yield from self._value(lambda _: self._mask(), 0)

    def _policy(self, command: bytes, argument: int) -> Policy:
        if command == b"connect" and argument == 0:
            return self._of_connect
        if command == b"publish" and argument == _PUBLISH_TYPES:
            return lambda _: None
        return lambda _: self._mask()

    def _of_connect(self, name: str) -> Change | None:
        if name == "app":
            return _Query(self._mask())
        return None if name in _OPEN else self._mask()

    def _mask(self) -> Change:
        self._count += 1
        return self.pseudonyms.begin().feed if self._count <= MAX_STRINGS else _cross_out

    def _value(self, policy: Policy, depth: int, name: str = "") -> Script:
        marker = yield 1, None
        yield from self._behind(marker[0], policy, depth, name)

    def _behind(self, marker: int, policy: Policy, depth: int, name: str) -> Script:
        """What follows the marker of a value of the property `name`."""
        if depth > MAX_AMF_DEPTH:
            raise ProtocolError("a value nested too deep")
        if marker in _SKIPPED:
            yield _SKIPPED[marker], None
        elif marker in _STRINGS:
            size = yield _STRINGS[marker], None
            yield int.from_bytes(size, "big"), policy(name) or keep
        elif marker == _STRICT_ARRAY:
            count = yield 4, None
            for _ in range(int.from_bytes(count, "big")):
                yield from self._value(policy, depth + 1, name)
        elif marker in _OBJECTS:
            yield from _before_properties(marker)
            yield from self._properties(policy, depth, name)
        else:
            raise ProtocolError("no AMF0")

    def _properties(self, policy: Policy, depth: int, within: str) -> Script:
        while True:
            size = yield 2, None
            name = yield int.from_bytes(size, "big"), None
            marker = yield 1, None
            if not name and marker == _OBJECT_END:
                return
            yield from self._behind(marker[0], policy, depth + 1, within or name.decode("utf-8", "replace").lower())


@define
class _Query:
    """Changes what stands behind the first `?`."""

    _change: Change
    _has_begun: bool = False

    def __call__(self, data: bytes) -> bytes:
        if self._has_begun:
            return self._change(data)
        bare, question, query = data.partition(b"?")
        self._has_begun = bool(question)
        return bare + question + self._change(query)


def _cross_out(data: bytes) -> bytes:
    return b"x" * len(data)


def _amf3_prefix(type_id: int) -> Script:
    """The AMF3 types carry AMF0 behind a zero byte."""
    if type_id in (types.COMMAND_AMF3, types.DATA_AMF3):
        yield 1, None


def _name() -> Generator[Op, bytes, bytes]:
    """The string with which a command or data message begins."""
    marker = yield 1, None
    if marker != b"\x02":
        raise ProtocolError("expected a name")
    size = yield 2, None
    name = yield int.from_bytes(size, "big"), None
    return name


def _before_properties(marker: int) -> Script:
    """What stands between the marker of an object and its first property."""
    if marker == _ECMA_ARRAY:
        yield 4, None
    elif marker == _TYPED_OBJECT:
        size = yield 2, None
        yield int.from_bytes(size, "big"), keep
