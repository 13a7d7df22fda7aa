"""A second way to write chunks, for tests of the reader: it chooses among all header types and interleaves.

It is written from RTMP 1.0 §5.3 alone and shares no code with the package, so that an error of the
reader's is not mirrored here.  Fixtures have session scope because properties use them.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from attrs import define, evolve, field
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from mmids_trio.rtmp.protocol.message import Message

WRAP = 2**32
MARK = 0xFFFFFF


def basic_header(kind: int, chunk_stream_id: int) -> bytes:
    """RTMP 1.0 §5.3.1.1."""
    if chunk_stream_id < 64:
        return bytes([kind * 64 + chunk_stream_id])
    if chunk_stream_id < 320:
        return bytes([kind * 64, chunk_stream_id - 64])
    return bytes([kind * 64 + 1, (chunk_stream_id - 64) % 256, (chunk_stream_id - 64) // 256])


@define
class Lane:
    """What the reference writer remembers of one chunk stream."""

    last: Message | None = None
    delta: int = 0
    extended: bytes = b""
    unsent: bytes = b""

    def kinds(self, message: Message) -> list[int]:
        """The header types that can say `message`."""
        last = self.last
        if last is None or last.stream_id != message.stream_id:
            return [0]
        if (last.type_id, len(last.payload)) != (message.type_id, len(message.payload)):
            return [0, 1]
        repeats = (last.timestamp + self.delta) % WRAP == message.timestamp
        return [0, 1, 2, 3] if repeats else [0, 1, 2]


@define
class ReferenceWriter:
    """Writes one chunk at a time; `repeats` says whether type 3 repeats an extended timestamp."""

    repeats: bool = True
    chunk_size: int = 128
    lanes: dict[int, Lane] = field(factory=dict)

    def kinds(self, message: Message) -> list[int]:
        """The header types that can say `message` to a reader that cannot know whether a timestamp is repeated.

        Of an empty message there is nothing behind the header that could be told from a repeated timestamp.
        """
        lane = self.lane(message.chunk_stream_id)
        is_told_apart = self.repeats or not lane.extended or message.payload
        return [kind for kind in lane.kinds(message) if kind != 3 or is_told_apart]

    def lane(self, chunk_stream_id: int) -> Lane:
        return self.lanes.setdefault(chunk_stream_id, Lane())

    def begin(self, message: Message, kind: int) -> bytes:
        """The first chunk of `message` with a header of type `kind`."""
        lane = self.lane(message.chunk_stream_id)
        time = message.timestamp
        if kind in (1, 2) and lane.last is not None:
            time = (time - lane.last.timestamp) % WRAP
        if kind != 3:
            lane.delta = 0 if kind == 0 else time
            lane.extended = time.to_bytes(4, "big") if time >= MARK else b""
        fields = [
            min(time, MARK).to_bytes(3, "big"),
            len(message.payload).to_bytes(3, "big") + bytes([message.type_id]),
            message.stream_id.to_bytes(4, "little"),
        ][: 3 - kind]
        extended = lane.extended if kind != 3 or self.repeats else b""
        lane.last, lane.unsent = message, message.payload
        return basic_header(kind, message.chunk_stream_id) + b"".join(fields) + extended + self._slice(lane)

    def go_on(self, chunk_stream_id: int) -> bytes:
        """The next chunk of the unfinished message on that chunk stream."""
        lane = self.lane(chunk_stream_id)
        extended = lane.extended if self.repeats else b""
        return basic_header(3, chunk_stream_id) + extended + self._slice(lane)

    def whole(self, message: Message, kind: int = 0) -> bytes:
        """All chunks of `message`."""
        chunks = self.begin(message, kind)
        while self.lane(message.chunk_stream_id).unsent:
            chunks += self.go_on(message.chunk_stream_id)
        return chunks

    def _slice(self, lane: Lane) -> bytes:
        piece, lane.unsent = lane.unsent[: self.chunk_size], lane.unsent[self.chunk_size :]
        return piece


@st.composite
def messages_on(draw: DrawFn, chunk_stream_id: int) -> list[Message]:
    """Messages of one chunk stream, often like the one before; bytes and times that never look alike.

    Payload bytes have the top bit set and timestamps have not, so that a payload is never taken for an
    extended timestamp, which a reader could not tell apart.
    """
    message = Message(9, 1, draw(st.integers(0, 2**31 - 1)), b"", chunk_stream_id)
    result = []
    for _ in range(draw(st.integers(0, 4))):
        step = draw(st.sampled_from([0, 0, 33, 33, 40, MARK - 1, MARK, 2**25]))
        size = draw(st.sampled_from([len(message.payload), 0, 1, 127, 128, 129, 300]))
        message = evolve(
            message,
            type_id=draw(st.sampled_from([message.type_id, 8, 9, 22])),
            stream_id=draw(st.sampled_from([message.stream_id, 1, 0x01020304])),
            timestamp=(message.timestamp + step) % 2**31,
            payload=bytes(128 + (size + index) % 128 for index in range(size)),
        )
        result.append(message)
    return result


@st.composite
def interleaved(draw: DrawFn) -> tuple[list[Message], bytes]:
    """Messages in the order of their ends, and chunks that say them."""
    writer = ReferenceWriter(repeats=draw(st.booleans()))
    lanes = draw(st.lists(st.sampled_from([3, 4, 63, 64, 319, 320, 65599]), unique=True, max_size=3))
    waiting = {lane: draw(messages_on(lane)) for lane in lanes}
    done: list[Message] = []
    wire = b""
    while lanes := [lane for lane in lanes if waiting[lane] or writer.lane(lane).unsent]:
        if draw(st.integers(0, 5)) == 0:
            size = draw(st.sampled_from([1, 2, 7, 128, 4096]))
            done.append(Message(1, 0, 0, size.to_bytes(4, "big"), 2))
            wire += writer.whole(done[-1])
            writer.chunk_size = size
        lane = draw(st.sampled_from(lanes))
        if writer.lane(lane).unsent:
            wire += writer.go_on(lane)
        else:
            message = waiting[lane].pop(0)
            wire += writer.begin(message, draw(st.sampled_from(writer.kinds(message))))
        state = writer.lane(lane)
        if not state.unsent and state.last is not None:
            done.append(state.last)
    return done, wire


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` in pieces, cut at `places` (taken modulo its length plus one)."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@pytest.fixture(scope="session")
def reference_writer() -> Callable[..., ReferenceWriter]:
    """Makes a writer that can be told which header types to use."""
    return ReferenceWriter


@pytest.fixture(scope="session")
def conversations() -> SearchStrategy[tuple[list[Message], bytes]]:
    """Messages and chunks that say them, over all header types, chunk sizes and ways to interleave."""
    return interleaved()


@pytest.fixture(scope="session")
def pieces() -> Callable[[bytes, Iterable[int]], list[bytes]]:
    """Cuts bytes at places."""
    return cut
