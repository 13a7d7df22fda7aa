"""The ledger of a link: what it lets through, what it remembers, and how it joins a new feed to an old timeline."""

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamId, StreamMetadata
from mmids_trio.media.timeline import MODULUS, is_after
from mmids_trio.workflow.replay import KEY_FRAME_PATIENCE_MS, LatestTimestamps, Ledger, Splice
from tests.support.numbered_events import STREAM, Footage, legality

KINDS = st.sampled_from(MediaKind)


def packets(streams: st.SearchStrategy[StreamId]) -> st.SearchStrategy[MediaPacket]:
    return st.builds(
        MediaPacket,
        streams,
        KINDS,
        st.integers(0, MODULUS - 1),
        st.just(b""),
        st.none(),
        st.booleans(),
        st.booleans(),
    )


STREAMS = st.sampled_from([StreamId("x"), StreamId("y")])
EVENTS = st.one_of(
    STREAMS.map(lambda stream_id: Footage(stream_id).start()[0]),
    st.builds(StreamMetadata, STREAMS, st.just({})),
    packets(STREAMS),
    st.builds(StreamEnded, STREAMS),
)


def video(timestamp: int, *, key: bool = False, header: bool = False) -> MediaPacket:
    return MediaPacket(STREAM, MediaKind.VIDEO, timestamp, b"", None, key, header)


def audio(timestamp: int) -> MediaPacket:
    return MediaPacket(STREAM, MediaKind.AUDIO, timestamp, b"")


def admitted(splice: Splice, *packets: MediaPacket) -> list[int | None]:
    """Timestamps of the packets as they pass, `None` for those that do not."""
    passed = [splice.admit(packet) for packet in packets]
    return [None if packet is None else packet.timestamp for packet in passed]


@given(st.lists(st.lists(EVENTS, max_size=5), max_size=12))
def test_only_legal_sequences_pass_whatever_comes(batches: list[list[MediaEvent]]) -> None:
    ledger = Ledger()
    passed = [event for batch in batches for event in ledger.admit(batch)]
    assert legality(passed) is None
    assert ledger.refused == sum(map(len, batches)) - len(passed)


@given(st.lists(EVENTS, max_size=30))
def test_a_legal_sequence_passes_whole(events: list[MediaEvent]) -> None:
    legal = Ledger().admit(events)
    assert Ledger().admit(legal) == legal


def test_a_newcomer_is_told_of_live_streams_only_and_of_their_latest_headers() -> None:
    ledger, gone, live = Ledger(), Footage(StreamId("gone")), Footage()
    newer = MediaPacket(STREAM, MediaKind.VIDEO, 9, b"newer", is_sequence_header=True)
    ledger.admit([*gone.start(), *live.start(), *live.frames(7), newer, gone.end()])
    assert list(ledger.streams) == [STREAM]
    started, metadata, _, sound = live.start()
    assert ledger.streams[STREAM].replay() == [started, metadata, newer, sound]


def test_a_splice_waits_for_a_key_frame_and_then_goes_on_without_going_back() -> None:
    splice = Splice({MediaKind.VIDEO: 1000, MediaKind.AUDIO: 1010})
    passed = admitted(splice, video(7), audio(8), video(9, key=True), audio(10), video(49))
    assert passed == [None, None, 1011, 1012, 1051]


def test_a_splice_leaves_timestamps_alone_that_go_forward_anyway() -> None:
    splice = Splice({MediaKind.VIDEO: 1000})
    packet = video(1040, key=True)
    assert splice.admit(packet) is packet


def test_audio_alone_need_not_wait() -> None:
    assert admitted(Splice({MediaKind.AUDIO: 50}), audio(3), audio(26)) == [51, 74]


def test_video_that_joins_audio_alone_still_waits_for_its_key_frame() -> None:
    splice = Splice({MediaKind.AUDIO: 50})
    assert admitted(splice, audio(3), video(5), video(9, key=True), video(12)) == [51, None, 57, 60]


def test_audio_waits_only_so_long_for_a_key_frame() -> None:
    splice = Splice({MediaKind.VIDEO: 0, MediaKind.AUDIO: 0})
    late = KEY_FRAME_PATIENCE_MS + 1
    assert admitted(splice, audio(100), audio(100 + late - 1), audio(100 + late)) == [None, None, 100 + late]


def test_headers_pass_a_waiting_splice_at_the_place_where_the_old_feed_stopped() -> None:
    splice = Splice({MediaKind.VIDEO: 1000})
    assert admitted(splice, video(0, header=True), video(3), video(5, key=True)) == [1000, None, 1001]


def test_a_splice_over_the_wrap() -> None:
    splice = Splice({MediaKind.VIDEO: MODULUS - 10})
    assert admitted(splice, video(MODULUS - 500, key=True), video(MODULUS - 460)) == [MODULUS - 9, 31]


@given(
    st.dictionaries(st.sampled_from([MediaKind.VIDEO, MediaKind.AUDIO]), st.integers(0, 5000), min_size=1),
    st.integers(0, MODULUS - 1),
    st.integers(0, MODULUS - 1),
    st.lists(st.tuples(KINDS, st.integers(-60, 200), st.booleans(), st.booleans()), max_size=30),
)
def test_timestamps_never_go_back_within_a_kind(
    offsets: LatestTimestamps, old: int, new: int, steps: list[tuple[MediaKind, int, bool, bool]]
) -> None:
    last = {kind: (old + offset) % MODULUS for kind, offset in offsets.items()}
    splice, has_key_frame = Splice(dict(last)), False
    for kind, step, is_key, is_header in steps:
        new = (new + step) % MODULUS
        packet = splice.admit(MediaPacket(STREAM, kind, new, b"", None, is_key, is_header))
        if packet is None or is_header:
            continue
        has_key_frame = has_key_frame or (kind is MediaKind.VIDEO and is_key)
        assert has_key_frame or kind is not MediaKind.VIDEO
        assert kind not in last or not is_after(last[kind], packet.timestamp)
        last[kind] = packet.timestamp


def test_a_shift_moves_timestamps_from_the_very_next_frame_on_and_can_be_lifted() -> None:
    ledger, footage = Ledger(), Footage()
    ledger.admit(footage.start())
    ledger.shift(STREAM, 1000, {})
    assert [event.timestamp for event in ledger.admit([video(1), video(2)]) if isinstance(event, MediaPacket)] == [
        1001,
        1002,
    ]
    ledger.shift(STREAM, 0, {})
    assert ledger.streams[STREAM].splice is None
