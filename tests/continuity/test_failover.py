"""The failover's state machine: who is sent, when that changes, and that it changes at key frames."""

from contextlib import suppress
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.continuity.failover import Failover
from mmids_trio.errors import CannotSwitch
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import MODULUS, is_after
from mmids_trio.testing.media import generate_stream
from tests.support.effort import some_of

NAMES = ("main", "backup", "third")
ORIGINS = {"main": 0, "backup": 900_000, "third": 2**32 - 700}
STREAMS = {
    name: [
        evolve(packet, timestamp=(packet.timestamp + ORIGINS[name]) % 2**32)
        for packet in generate_stream(name, seconds=20)
    ]
    for name in NAMES
}


class Studio:
    """Plays sources to a failover; a source that is `on` sends each frame when it is due."""

    def __init__(self, *, reverts: bool = True) -> None:
        self.failover = Failover(StreamId("out"), NAMES, 1.0, reverts)
        self.now = 0.0
        self.sent: list[tuple[float, MediaPacket]] = []
        self.on: set[str] = set()
        self.history: list[str] = []
        self._due = sorted(
            (
                ((packet.timestamp - ORIGINS[name]) % 2**32 / 1000, place, name, packet)
                for name, stream in STREAMS.items()
                for place, packet in enumerate(stream)
            ),
            key=lambda due: (due[0], due[1], NAMES.index(due[2])),
        )
        for name in NAMES:
            self.failover.started(name)

    def headers(self, name: str) -> None:
        for packet in STREAMS[name][:2]:
            self._note(self.failover.take(name, packet, self.now))

    def start(self, *names: str) -> None:
        for name in names:
            self.on.add(name)
            self.headers(name)

    def stop(self, *names: str) -> None:
        self.on -= set(names)

    def play(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            time, place, name, packet = self._due.pop(0)
            self._pass(time)
            if name in self.on and place >= 2:
                self._note(self.failover.take(name, packet, self.now))
        self._pass(until)

    def _pass(self, time: float) -> None:
        while (next_at := self.failover.next_at(self.now)) <= time and next_at > self.now:
            self.now = next_at
            self.failover.decide(self.now)
        self.now = time

    def _note(self, events: list[MediaEvent]) -> None:
        self.sent += [(self.now, event) for event in events if isinstance(event, MediaPacket)]
        if self.failover.sending is not None and self.history[-1:] != [self.failover.sending]:
            self.history.append(self.failover.sending)

    def source_at(self, time: float) -> str:
        data = next(packet.data for at, packet in self.sent if at >= time and not packet.is_sequence_header)
        return next(name for name in NAMES if any(packet.data == data for packet in STREAMS[name]))


def test_the_primary_is_sent_while_it_is_well() -> None:
    studio = Studio()
    studio.start("main", "backup")
    studio.play(10)
    assert studio.history == ["main"]


def test_a_backup_is_sent_within_the_time_and_a_group_of_pictures() -> None:
    studio = Studio()
    studio.start("main", "backup")
    studio.play(5.5)
    studio.stop("main")
    studio.play(8)
    assert studio.history == ["main", "backup"]
    first = next(at for at, packet in studio.sent if packet in STREAMS["backup"] or at > 5.5)
    assert 5.5 < first <= 5.5 + 1.0 + 1.0 + 0.04
    assert studio.failover.reason == "'main' sends nothing"


def test_the_primary_comes_back_when_it_has_been_well_for_long_enough() -> None:
    studio = Studio()
    studio.start("main", "backup")
    studio.play(3)
    studio.stop("main")
    studio.play(6)
    studio.start("main")
    studio.play(6.9)
    assert studio.history == ["main", "backup"]
    studio.play(9)
    assert studio.history == ["main", "backup", "main"]


def test_it_stays_with_the_backup_where_an_operator_decides() -> None:
    studio = Studio(reverts=False)
    studio.start("main", "backup")
    studio.play(3)
    studio.stop("main")
    studio.play(6)
    studio.start("main")
    studio.play(12)
    assert studio.history == ["main", "backup"]
    studio.failover.switch_to("main", studio.now)
    studio.play(14)
    assert studio.history == ["main", "backup", "main"]


@pytest.mark.parametrize("chosen", ["backup", "third"])
def test_what_an_operator_has_chosen_stays_although_the_primary_is_well_until_it_fails(chosen: str) -> None:
    studio = Studio()
    studio.start(*NAMES)
    studio.play(3)
    studio.failover.switch_to(chosen, studio.now)
    studio.play(9)
    assert studio.history == ["main", chosen]
    studio.stop(chosen)
    studio.play(14)
    assert studio.history == ["main", chosen, "main"]


def test_a_stream_that_ends_is_the_reason_of_the_next_and_is_left_at_once() -> None:
    studio = Studio()
    studio.start("main", "backup")
    studio.play(3.5)
    assert studio.failover.reason == "nothing was sent"
    studio.failover.ended("main", studio.now)
    assert (studio.failover.wanted, studio.failover.reason) == ("backup", "'main' has ended")


@pytest.mark.parametrize(("name", "message"), [("nobody", "there is no source"), ("third", "sends nothing")])
def test_only_a_source_that_sends_can_be_chosen(name: str, message: str) -> None:
    studio = Studio()
    studio.start("main")
    studio.play(2)
    with pytest.raises(CannotSwitch, match=message):
        studio.failover.switch_to(name, studio.now)


def test_the_second_backup_is_sent_when_both_others_fail() -> None:
    studio = Studio()
    studio.start(*NAMES)
    studio.play(3)
    studio.stop("main", "backup")
    studio.play(9)
    assert studio.history[-1] == "third"


def test_a_source_that_ends_and_begins_anew_begins_with_a_key_frame() -> None:
    studio = Studio()
    studio.start("main")
    studio.play(3.5)
    studio.failover.ended("main", studio.now)
    assert studio.failover.sending is None
    studio.failover.started("main")
    before = len(studio.sent)
    studio.headers("main")
    studio.play(6)
    frames = [packet for _, packet in studio.sent[before:] if not packet.is_sequence_header]
    assert frames[0].is_key_frame


def test_it_is_live_until_the_last_source_has_ended() -> None:
    failover = Studio().failover
    for name in NAMES:
        assert failover.is_live
        failover.ended(name, 0)
    assert not failover.is_live


@pytest.mark.parametrize(("ended", "wanted"), [("third", "backup"), ("backup", None)])
def test_the_end_of_a_source_takes_back_only_what_was_wanted_of_it(ended: str, wanted: str | None) -> None:
    studio = Studio()
    studio.start(*NAMES)
    studio.play(3.5)
    studio.failover.switch_to("backup", studio.now)
    studio.failover.ended(ended, studio.now)
    assert (studio.failover.sending, studio.failover.wanted) == ("main", wanted)


@settings(max_examples=some_of(40), deadline=None)
@given(
    reverts=st.booleans(),
    script=st.lists(
        st.tuples(st.sampled_from(["start", "stop", "end", "choose"]), st.sampled_from(NAMES), st.floats(0, 3)),
        max_size=10,
    ),
)
def test_whatever_happens_exactly_one_source_is_sent_on_one_timeline(
    reverts: bool, script: list[tuple[str, str, float]]
) -> None:
    studio = Studio(reverts=reverts)
    for action, name, pause in script:
        if action == "start":
            studio.start(name)
        elif action == "stop":
            studio.stop(name)
        elif action == "end":
            studio.failover.ended(name, studio.now)
            studio.failover.started(name)
            studio.headers(name)
        else:
            with suppress(CannotSwitch):  # it does not send at present
                studio.failover.switch_to(name, studio.now)
        studio.play(studio.now + pause)
    owners = {packet.data: name for name in NAMES for packet in STREAMS[name] if not packet.is_sequence_header}
    frames = [packet for _, packet in studio.sent if not packet.is_sequence_header]
    assert {packet.stream_id for packet in frames} <= {StreamId("out")}
    last: dict[MediaKind, int] = {}
    for packet in frames:
        assert packet.kind not in last or not is_after(last[packet.kind], packet.timestamp)
        last[packet.kind] = packet.timestamp
    for before, packet in pairwise(frames):
        assert owners[before.data] == owners[packet.data] or packet.is_key_frame
    newest = [packet.timestamp for packet in frames]
    times = [at for at, packet in studio.sent if not packet.is_sequence_header]
    if newest:
        passed = [(timestamp - newest[0] + MODULUS // 2) % MODULUS - MODULUS // 2 for timestamp in newest]
        drift = [ours - (at - times[0]) * 1000 for ours, at in zip(passed, times, strict=True)]
        assert max(drift) - min(drift) < 60, "the timeline goes on in real time"


@settings(max_examples=some_of(300), deadline=None)
@given(st.floats(0, 1e6), st.floats(0.1, 3600))
def test_a_source_has_failed_in_the_instant_in_which_it_is_looked_at(began: float, after: float) -> None:
    failover = Failover(StreamId("out"), NAMES, after, True)
    failover.started("main")
    for packet in STREAMS["main"][:3]:
        failover.take("main", packet, began)
    assert failover.sending == "main"
    then = failover.next_at(began)
    failover.decide(then)
    assert failover.next_at(then) > then
