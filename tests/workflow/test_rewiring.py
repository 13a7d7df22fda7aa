"""What steps are told when the links between them change. A line of steps as data, always at rest."""

from collections.abc import Mapping, Sequence

from attrs import define, evolve, field

from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.workflow.plan import changed_segment
from mmids_trio.workflow.replay import Ledger
from mmids_trio.workflow.rewiring import Node, rewire
from tests.support.numbered_events import FRAME_MS, Footage, legality
from tests.support.toy_steps import FLOWS, is_frame

KINDS: Mapping[str, Flow] = {"s": FLOWS["source"], "p": FLOWS["recorder"], "t": FLOWS["replacer"]}


@define
class Line:
    """Steps named by their kind (s, p, t) and a digit; whatever is sent arrives everywhere at once."""

    nodes: list[Node] = field(factory=list)
    seen: dict[str, list[MediaEvent]] = field(factory=dict)
    suppressed: dict[str, list[MediaEvent]] = field(factory=dict)

    def change(self, *names: str) -> dict[str, Sequence[MediaEvent]]:
        """Rewire; returns what each step was told directly."""
        known = {node.step_id: evolve(node, is_new=False) for node in self.nodes}
        after = [known.get(name) or Node(name, KINDS[name[0]], Ledger(), is_new=True) for name in names]
        before = [known[node.step_id] for node in self.nodes]
        segment = changed_segment([node.step_id for node in before], names)
        deliveries = rewire(before, after, segment)
        self.nodes = after
        for delivery in deliveries:
            self.suppressed.setdefault(delivery.step_id, []).extend(delivery.suppressed)
        for delivery in deliveries:
            self._reach(names.index(delivery.step_id), delivery.events)
        assert not any(self.suppressed.values())
        return {delivery.step_id: delivery.events for delivery in deliveries}

    def send(self, name: str, events: Sequence[MediaEvent]) -> None:
        index = next(index for index, node in enumerate(self.nodes) if node.step_id == name)
        self._leave(index, events)

    def _reach(self, index: int, events: Sequence[MediaEvent]) -> None:
        node = self.nodes[index]
        if node.flow is Flow.PRODUCES:
            return
        self.seen.setdefault(node.step_id, []).extend(events)
        replacing = node.flow is Flow.REPLACES
        self._leave(index, [_replaced(event, node.step_id) for event in events] if replacing else events)

    def _leave(self, index: int, events: Sequence[MediaEvent]) -> None:
        node = self.nodes[index]
        suppressed = self.suppressed.get(node.step_id, [])
        events = [event for event in events if not (suppressed and event is suppressed[0] and suppressed.pop(0))]
        admitted = node.out.admit(events)
        if admitted and index + 1 < len(self.nodes):
            self._reach(index + 1, admitted)

    def frames(self, name: str) -> list[bytes]:
        return [event.data for event in self.seen[name] if is_frame(event)]

    def timestamps(self, name: str) -> list[int]:
        return [event.timestamp for event in self.seen[name] if isinstance(event, MediaPacket)]

    def ends(self, name: str) -> int:
        return sum(isinstance(event, StreamEnded) for event in self.seen.get(name, ()))

    def starts(self, name: str) -> int:
        return sum(isinstance(event, StreamStarted) for event in self.seen.get(name, ()))


def _replaced(event: MediaEvent, name: str) -> MediaEvent:
    """A replacer's own media, on a clock of its own: that of t1 is an hour behind, others are an hour ahead."""
    if not isinstance(event, MediaPacket):
        return event
    ahead = -3_600_000 if name == "t1" else 3_600_000
    return evolve(event, data=name.encode() + b" " + event.data, timestamp=event.timestamp + ahead)


def line(*names: str) -> tuple[Line, Footage]:
    """A line that carries stream x from s1, at frame 7."""
    built, footage = Line(), Footage(origin=36_000_000)
    built.change(*names)
    built.send("s1", [*footage.start(), *footage.frames(7)])
    return built, footage


def numbers(first: int, last: int) -> list[bytes]:
    return [b"x%d" % number for number in range(first, last + 1)]


def test_an_appended_step_is_told_of_the_stream_before_its_frames() -> None:
    chain, footage = line("s1", "p1")
    told = chain.change("s1", "p1", "p2")
    assert told == {"p2": tuple(footage.start())}
    chain.send("s1", footage.frames(2))
    assert chain.frames("p2") == numbers(7, 8)


def test_an_inserted_step_tells_nothing_twice() -> None:
    chain, footage = line("s1", "p1")
    told = chain.change("s1", "p2", "p1")
    assert told == {"p2": tuple(footage.start())}
    chain.send("s1", footage.frames(3))
    assert chain.frames("p1") == numbers(0, 9)
    assert chain.starts("p1") == 1


def test_removing_a_step_that_passes_on_tells_nobody_anything() -> None:
    chain, footage = line("s1", "p1", "p2")
    assert chain.change("s1", "p2") == {}
    chain.send("s1", footage.frames(3))
    assert chain.frames("p2") == numbers(0, 9)


def test_reordering_steps_that_pass_on_tells_nobody_anything() -> None:
    chain, footage = line("s1", "p1", "p2", "p3")
    assert chain.change("s1", "p3", "p1", "p2") == {}
    chain.send("s1", footage.frames(3))
    assert [chain.frames(name) for name in ("p1", "p2", "p3")] == [numbers(0, 9)] * 3


def test_streams_of_another_source_take_over() -> None:
    chain, footage = line("s1", "p1", "p2")
    other = Footage(StreamId("y"))
    chain.change("s2", "p1", "p2")
    chain.send("s2", [*other.start(), *other.frames(1)])
    for name in ("p1", "p2"):
        assert chain.seen[name][-6:] == [footage.end(), *other.start(), *Footage(StreamId("y")).frames(1)]


def test_a_step_moved_in_front_of_the_source_loses_its_streams() -> None:
    chain, footage = line("s1", "p1", "p2")
    told = chain.change("p1", "s1", "p2")
    assert told == {"p1": (footage.end(),)}
    chain.send("s1", footage.frames(1))
    assert (chain.frames("p1"), chain.frames("p2")) == (numbers(0, 6), numbers(0, 7))


def test_a_source_in_the_middle_cuts_off_what_is_in_front_of_it() -> None:
    chain, footage = line("s1", "p1", "p2")
    chain.change("s1", "p1", "s2", "p2")
    assert (chain.ends("p1"), chain.ends("p2")) == (0, 1)
    chain.change("s1", "p1", "p2")
    chain.send("s1", footage.frames(1))
    assert (chain.starts("p2"), chain.frames("p2")) == (2, numbers(0, 7))


def test_a_replacer_put_in_ends_nothing_and_its_media_begin_with_a_key_frame() -> None:
    chain, footage = line("s1", "p1", "p2")
    chain.change("s1", "t1", "p1", "p2")
    chain.send("s1", footage.frames(5))
    for name in ("p1", "p2"):
        assert (chain.starts(name), chain.ends(name)) == (1, 0)
        assert chain.frames(name) == [*numbers(0, 6), b"t1 x10", b"t1 x11"]
        assert chain.timestamps(name) == sorted(chain.timestamps(name))
    headers = [event.data for event in chain.seen["p2"] if isinstance(event, MediaPacket) and not is_frame(event)]
    assert headers[2:] == [b"t1 x video header", b"t1 x audio header"]


def test_a_replacer_taken_out_ends_nothing_and_gives_the_headers_of_the_source_back() -> None:
    chain, footage = line("s1", "t1", "p1", "p2")
    chain.change("s1", "p1", "p2")
    chain.send("s1", footage.frames(5))
    for name in ("p1", "p2"):
        assert (chain.starts(name), chain.ends(name)) == (1, 0)
        assert chain.frames(name)[7:] == numbers(10, 11)
        headers = [event for event in chain.seen[name] if isinstance(event, MediaPacket) and not is_frame(event)]
        assert [header.data for header in headers[2:]] == [b"x video header", b"x audio header"]


def test_steps_that_change_places_as_a_replacer_goes_out_hear_of_the_source_once() -> None:
    chain, footage = line("s1", "t1", "p1", "p2")
    assert set(chain.change("s1", "p2", "p1")) == {"p2"}
    chain.send("s1", footage.frames(5))
    for name in ("p1", "p2"):
        assert chain.frames(name)[7:] == numbers(10, 11)
        headers = [event for event in chain.seen[name] if isinstance(event, MediaPacket) and not is_frame(event)]
        assert [header.data for header in headers[2:]] == [b"x video header", b"x audio header"]


def test_a_replacer_that_takes_the_place_of_another_takes_the_stream_over() -> None:
    chain, footage = line("s1", "t1", "p1")
    chain.change("s1", "t2", "p1")
    chain.send("s1", footage.frames(5))
    assert chain.frames("p1")[6:] == [b"t1 x6", b"t2 x10", b"t2 x11"]
    assert chain.timestamps("p1") == sorted(chain.timestamps("p1"))
    assert chain.ends("p1") == 0


def test_what_ends_while_a_replacer_goes_in_ends_behind_it_too() -> None:
    chain, footage = line("s1", "p1")
    chain.change("s1", "t1", "p1")
    chain.send("s1", [footage.end()])
    assert chain.ends("p1") == 1
    assert legality(chain.seen["p1"]) is None


def test_a_step_behind_a_source_of_its_own_hears_nothing_of_a_replacer_in_front() -> None:
    chain, _ = line("s1", "p1", "s2", "p2")
    assert set(chain.change("s1", "t1", "p1", "s2", "p2")) == {"t1"}


def test_after_a_replacer_has_gone_other_changes_lose_nothing() -> None:
    chain, footage = line("s1", "p1", "p2", "t2", "p3")
    chain.change("s1", "p1", "p2", "p3")
    chain.send("s1", footage.frames(8))
    assert chain.frames("p3")[7:] == numbers(10, 14)
    for names in (["p1", "p3"], ["p3", "p1"], ["p4", "p3", "p1"], ["p1", "p4", "p3"], ["p3"], ["p5", "p3"]):
        assert "p3" not in chain.change("s1", *names)
        chain.send("s1", footage.frames(2))
    assert chain.frames("p3")[7:] == numbers(10, 26)
    assert chain.timestamps("p3") == sorted(chain.timestamps("p3"))
    assert chain.frames("p1") == numbers(0, 22)
    assert chain.timestamps("p1") == sorted(chain.timestamps("p1"))


def test_a_change_while_a_splice_waits_for_its_key_frame_keeps_it_waiting() -> None:
    chain, footage = line("s1", "p1", "t1", "p2")
    chain.change("s1", "p1", "p2")
    chain.change("s1", "p2")
    chain.send("s1", footage.frames(5))
    assert chain.frames("p2")[7:] == numbers(10, 11)


def test_audio_and_video_of_a_spliced_stream_keep_their_order_in_time() -> None:
    chain, footage = line("s1", "t1", "p1")
    chain.send("s1", footage.frames(3, MediaKind.AUDIO))
    chain.change("s1", "p1")
    chain.send("s1", [*footage.frames(3), *footage.frames(3, MediaKind.AUDIO)])
    assert chain.timestamps("p1") == sorted(chain.timestamps("p1"))


def test_a_splice_that_moves_to_another_link_does_not_count_the_one_in_front_of_it_again() -> None:
    chain, footage = line("s1", "t2", "p1", "p2", "t3", "p3")
    chain.change("s1", "t2", "p1", "p2", "p3")
    chain.send("s1", footage.frames(5))  # a splice stays behind p2
    chain.change("s1", "p1", "p2", "p3")
    chain.send("s1", footage.frames(5))  # and one behind s1
    assert chain.change("s1", "p1", "p3") == {}
    chain.send("s1", footage.frames(3))
    for name in ("p1", "p3"):
        *_, before, first, second, last = chain.timestamps(name)
        assert [first - before, second - first, last - second] == [FRAME_MS] * 3


def test_two_changes_without_a_frame_between_them_do_not_forget_the_time() -> None:
    chain, footage = line("s1", "t2", "p1")
    chain.change("s1", "p1")
    chain.change("s1", "t1", "p1")
    chain.send("s1", footage.frames(5))
    assert chain.frames("p1")[7:] == [b"t1 x10", b"t1 x11"]
    assert chain.timestamps("p1") == sorted(chain.timestamps("p1"))


def test_a_stream_that_a_busy_step_holds_back_is_not_looked_for_behind_it() -> None:
    steps = {name: Node(name, KINDS[name[0]], Ledger()) for name in ("s1", "p1", "p2", "p3", "p4")}
    for name in ("s1", "p1"):
        steps[name].out.admit([StreamStarted(StreamId("x"), "x")])
    steps["p2"].drained = False
    steps["t1"] = Node("t1", KINDS["t"], Ledger(), is_new=True)
    before, after = ("s1", "p1", "p2", "p3", "p4"), ("s1", "t1", "p1", "p2", "p4", "p3")
    told = rewire([steps[name] for name in before], [steps[name] for name in after], changed_segment(before, after))
    assert {delivery.step_id for delivery in told} == {"t1"}
    assert not steps["p4"].out.streams
