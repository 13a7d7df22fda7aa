"""The slate's state machine: when it is shown, what it shows, and how the live stream comes back."""

from collections.abc import Iterable
from itertools import pairwise
from math import inf

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.continuity.slate import MAX_BEHIND_SECONDS, USUAL_STEP_MS, Slate, SlateLoop, SlateState, make_loop
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import is_after
from mmids_trio.testing.media import generate_stream
from tests.support.effort import some_of

ID = StreamId("s")
LIVE = generate_stream("s", seconds=6)
FRAMES = [packet for packet in LIVE if not packet.is_sequence_header]


def loop() -> SlateLoop:
    made = make_loop(generate_stream("slate", seconds=1, fps=25, gop=25))
    assert made is not None
    return made


def is_live(packet: MediaPacket) -> bool:
    return any(packet.data == live.data for live in FRAMES)


def packets(events: Iterable[MediaEvent]) -> list[MediaPacket]:
    return [event for event in events if isinstance(event, MediaPacket) and not event.is_sequence_header]


def playing(after: float = 1.0, longest: float = inf, until: float = 2.0) -> Slate:
    """A slate that has had `until` seconds of the live stream, each frame when it was due, from time 100 on."""
    slate = Slate(ID, after, longest, loop())
    for packet in LIVE:
        if packet.timestamp < until * 1000:
            slate.take(packet, 100 + packet.timestamp / 1000)
    return slate


def run(slate: Slate, start: float, end: float) -> list[tuple[float, MediaEvent]]:
    """What is sent although nothing comes, each with its time."""
    sent: list[tuple[float, MediaEvent]] = []
    while (now := max(slate.next_at(), start)) <= end:
        sent += [(now, event) for event in slate.due(now)]
    return sent


def test_a_live_stream_passes_as_it_is() -> None:
    slate = Slate(ID, 1.0, loop=loop())
    sent = [event for packet in LIVE for event in slate.take(packet, packet.timestamp / 1000)]
    assert [event for event in sent if event in FRAMES] == FRAMES
    assert slate.due(5.9) == []


def test_nothing_is_filled_before_the_slate_is_ready_and_then_at_once() -> None:
    slate = playing()
    ready, slate.loop = slate.loop, None
    assert slate.next_at() == inf
    assert slate.due(110) == []
    slate.loop = ready
    assert slate.due(110)
    assert slate.state is SlateState.SLATE


def test_a_gap_is_filled_after_the_time_and_in_real_time() -> None:
    slate = playing(after=1.0)
    assert slate.next_at() == pytest.approx(102.96)
    assert slate.due(102.95) == []
    sent = run(slate, 102, 110)
    assert sent[0][0] == pytest.approx(102.96)
    frames = [(now, event) for now, event in sent if event in packets([event])]
    newest_live = max(packet.timestamp for packet in FRAMES if packet.timestamp < 2000)
    for now, frame in frames:
        assert isinstance(frame, MediaPacket)
        assert abs((now - 100) * 1000 - frame.timestamp) <= 41, "the timeline goes on in real time"
    video = [frame.timestamp for _, frame in frames if isinstance(frame, MediaPacket) and frame.kind is MediaKind.VIDEO]
    assert {b - a for a, b in pairwise(video)} == {40}
    assert video[0] - newest_live <= 1000 + 40


def test_the_slate_begins_with_its_headers_and_a_key_frame() -> None:
    first = playing().due(103)
    kinds = [event.is_sequence_header for event in first if isinstance(event, MediaPacket)]
    assert kinds[:3] == [True, True, False]
    frame = packets(first)[0]
    assert frame.is_key_frame
    assert frame.stream_id == ID


def test_live_comes_back_with_its_next_key_frame_and_its_headers() -> None:
    slate = playing()
    run(slate, 102, 104)
    late = [packet for packet in LIVE if packet.timestamp >= 3040 or packet.is_sequence_header]
    sent = [event for packet in late for event in slate.take(packet, 101 + packet.timestamp / 1000)]
    frames = packets(sent)
    assert frames[0].is_key_frame
    assert frames[0].timestamp == pytest.approx(5000, abs=50), "the source's clock stood still for a second"
    assert [packet.data for packet in frames] == [packet.data for packet in FRAMES if packet.timestamp >= 4000]
    offsets = {(ours.timestamp - theirs.timestamp) for ours, theirs in zip(frames, FRAMES[-len(frames) :], strict=True)}
    assert len(offsets) == 1, "audio and video stay in step"


def test_sound_alone_does_not_count_as_live_where_there_was_a_picture() -> None:
    slate = playing()
    for packet in FRAMES:
        if packet.kind is MediaKind.AUDIO and 2000 <= packet.timestamp < 2990:
            slate.take(packet, 100 + packet.timestamp / 1000)
    assert slate.due(103)
    sound = next(packet for packet in FRAMES if packet.kind is MediaKind.AUDIO and packet.timestamp > 3000)
    assert slate.take(sound, 103.1) == []


def test_a_stream_of_sound_alone_is_filled_as_well() -> None:
    slate = Slate(ID, 1.0, loop=make_loop(generate_stream("slate", seconds=1, video=False)))
    sound = generate_stream("s", seconds=2, video=False)
    for packet in sound:
        slate.take(packet, packet.timestamp / 1000)
    assert slate.due(3.1)
    back = evolve(sound[-1], timestamp=sound[-1].timestamp + 23)
    assert packets(slate.take(back, 3.2))
    assert slate.state is SlateState.LIVE


def test_after_the_longest_time_it_is_silent_until_live_is_back() -> None:
    slate = playing(after=1.0, longest=2.0)
    sent = run(slate, 102, 200)
    assert slate.state is SlateState.SILENT
    assert sent[-1][0] == pytest.approx(104.96, abs=0.05)
    assert slate.next_at() == inf
    key_frame = next(packet for packet in FRAMES if packet.is_key_frame and packet.timestamp >= 3000)
    assert packets(slate.take(key_frame, 150))[0].timestamp == pytest.approx(50_000, abs=50)


def test_a_machine_that_stood_still_does_not_make_it_catch_up() -> None:
    slate = playing()
    slate.due(103)
    assert len(packets(slate.due(103 + 60))) < 5
    assert len(packets(slate.due(103 + 60 + MAX_BEHIND_SECONDS))) < 100


def test_a_loop_has_its_frames_in_the_order_of_their_times_and_goes_on_at_its_own_pace() -> None:
    pictures = [packet for packet in FRAMES if packet.kind is MediaKind.VIDEO]
    key, *others = [evolve(picture, timestamp=place * 50) for place, picture in enumerate(pictures[:4])]
    made = make_loop([key, *reversed(others)])
    assert made is not None
    assert ([frame.timestamp for frame in made.frames], made.duration_ms) == ([0, 50, 100, 150], 200)


def test_a_loop_of_one_picture_has_the_usual_length() -> None:
    made = make_loop(FRAMES[:1])
    assert made is not None
    assert made.duration_ms == USUAL_STEP_MS


def test_without_a_key_frame_there_is_no_loop() -> None:
    assert make_loop(LIVE[:2]) is None
    assert make_loop([]) is None


@settings(max_examples=some_of(60), deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(0, 140), st.floats(0, 5), st.integers(0, 2**32 - 1)), min_size=1, max_size=6)
)
def test_whatever_comes_and_goes_the_timeline_never_goes_back_and_pictures_can_be_decoded(
    gaps: list[tuple[int, float, int]],
) -> None:
    """Each source sends some frames and vanishes; the next one counts from anywhere."""
    slate, now, sent = Slate(ID, 0.5, loop=loop()), 50.0, list[MediaEvent]()
    for count, pause, origin in gaps:
        for packet in LIVE[: count + 2]:
            moved = evolve(packet, timestamp=(packet.timestamp + origin) % 2**32)
            sent += slate.take(moved, now + packet.timestamp / 1000)
        now += LIVE[count + 1].timestamp / 1000
        sent += [event for _, event in run(slate, now, now + pause)]
        now += pause
        slate.state = SlateState.STARTING if slate.state is SlateState.LIVE else slate.state  # as a restart upstream
    last: dict[MediaKind, int] = {}
    for frame in packets(sent):
        assert frame.kind not in last or not is_after(last[frame.kind], frame.timestamp)
        last[frame.kind] = frame.timestamp
    video = [frame for frame in packets(sent) if frame.kind is MediaKind.VIDEO]
    for before, frame in pairwise(video):
        assert frame.is_key_frame or is_live(before) == is_live(frame), "a switch is at a key frame"
