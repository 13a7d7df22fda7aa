"""What each step must be told when the links between steps change: a pure function on the links' ledgers.

The caller has the sequence before and after and, per step, the ledger of what has left it.  Steps outside the
changed segment are not touched at all.  Inside it (and at the first step behind it) the streams that reach a step
before and after are compared:

- a stream that newly reaches it is announced (started, metadata, sequence headers);
- one that no longer does ends for it;
- one whose media now come from another step (one that replaces media went in or out) is *spliced*;
- one whose media come from the same step over other links goes on without a gap, and where an earlier splice
  stays behind on a link that the step has left, its shift moves to the new link.

A step that passes on and holds nothing would pass these on a moment later to a step behind it that has just been
told by itself; so its outlet keeps these announcements back: they are *suppressed*.
"""

from collections.abc import Collection, Mapping, Sequence

from attrs import Factory, define, frozen

from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId
from mmids_trio.media.flow import Flow
from mmids_trio.media.timeline import MODULUS
from mmids_trio.workflow.plan import Segment
from mmids_trio.workflow.replay import LatestTimestamps, Ledger, StreamMemory, merge_latest

SOURCE = "source"
"""The origin of media that came into the workflow as they are."""


@frozen
class Feed:
    """Where a stream's media come from, and how the splices on the way have moved their timestamps.

    `origin` is the step that replaced the media, `SOURCE` where none did (the stream's id says which source);
    `shift`, in milliseconds, is `None` while a splice waits for a key frame.
    """

    origin: str
    shift: int | None


@define
class Node:
    """One step, as far as rewiring is concerned. `out` is updated in place.

    `is_new`: it was not in the sequence before; `drained`: nothing is in flight inside it.
    """

    step_id: str
    flow: Flow
    out: Ledger
    is_new: bool = False
    drained: bool = True

    @property
    def origin(self) -> str:
        """Where media come from that this step makes, or brings in."""
        return self.step_id if self.flow is Flow.REPLACES else SOURCE

    @property
    def is_transparent(self) -> bool:
        """What reaches it can be taken for having left it."""
        return self.flow is Flow.PASSES_ON and self.drained


@frozen
class StepAnnouncements:
    """What to put into a step's inbox, and which of these events its outlet shall keep back."""

    step_id: str
    events: tuple[MediaEvent, ...]
    suppressed: tuple[MediaEvent, ...]


@frozen
class _Feeds:
    """The feeds of all streams at one point of a sequence; at first, in front of it.

    Carried along from step to step, since looking back from each for its origin takes the square of their number.
    `origin` is that of a stream which nothing on the way has noted yet.
    """

    origin: str | None = None
    by_stream: Mapping[StreamId, Feed] = Factory(dict)

    def through(self, node: Node, stream_id: StreamId) -> Feed:
        """The feed of a stream that leaves the step behind this point."""
        shift = _own_shift(node.out.streams.get(stream_id))
        if self.origin is None or node.flow is not Flow.PASSES_ON:
            return Feed(node.origin, shift)
        feed = self.of(stream_id)
        return Feed(feed.origin, _total(feed.shift, shift))

    def of(self, stream_id: StreamId) -> Feed:
        """The feed of a stream at this point, which is behind some step."""
        assert self.origin is not None
        return self.by_stream.get(stream_id) or Feed(self.origin, 0)

    def behind(self, node: Node) -> "_Feeds":
        """The feeds behind the next step."""
        if self.origin is None or node.flow is not Flow.PASSES_ON:
            return _Feeds(node.origin, {stream_id: self.through(node, stream_id) for stream_id in node.out.streams})
        known = {**self.by_stream, **node.out.streams}
        return _Feeds(self.origin, {stream_id: self.through(node, stream_id) for stream_id in known})


@frozen
class _Before:
    """How things stood for one step: the streams that reached it with their timelines and feeds."""

    timelines: Mapping[StreamId, LatestTimestamps] = Factory(dict)
    feeds: _Feeds = Factory(_Feeds)


def rewire(
    before: Sequence[Node], after: Sequence[Node], segment: Segment, entering: Collection[StreamId] = ()
) -> list[StepAnnouncements]:
    """Decide what every step of the changed segment, and the first one behind it, must be told.

    `before` and `after` share the nodes of kept steps.  `entering` are streams that other workflows send in: they
    enter behind the first node, whichever that is.  Updates the ledgers to what holds after the swap.
    """
    old_state = _states(before, segment.prefix)
    if before and after and before[0] is not after[0]:
        _move_entry(before[0].out, after[0].out, entering)
    walk = _Walk(after, old_state)
    end = len(after) - segment.suffix
    for index in range(min(end + 1, len(after))):
        if index >= segment.prefix:
            walk.visit(index, in_segment=index < end)
        walk.leave(index)
    return walk.deliveries


def _move_entry(old: Ledger, new: Ledger, entering: Collection[StreamId]) -> None:
    for stream_id in entering:
        if stream_id in old.streams:
            new.streams[stream_id] = old.streams.pop(stream_id)


def _states(sequence: Sequence[Node], begin: int) -> Mapping[str, _Before]:
    """What reached each step from the one at `begin` on, while `sequence` was wired."""
    states, feeds = {}, _Feeds()
    for index, node in enumerate(sequence):
        if index >= begin:
            is_fed = index > 0 and node.flow is not Flow.PRODUCES
            states[node.step_id] = _Before(sequence[index - 1].out.snapshot(), feeds) if is_fed else _Before()
        feeds = feeds.behind(node)
    return states


def _own_shift(memory: StreamMemory | None) -> int | None:
    """What a link itself adds to timestamps."""
    return 0 if memory is None or memory.splice is None else memory.splice.shift


def _total(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else (left + right) % MODULUS


@define
class _Walk:
    """One pass over the new sequence, from the front: each step is visited, if it is to be, and left."""

    after: Sequence[Node]
    old_state: Mapping[str, _Before]
    deliveries: list[StepAnnouncements] = Factory(list)
    _respliced: set[StreamId] = Factory(set)
    _in_front: _Feeds = Factory(_Feeds)
    """Behind the last step but one of those left: what later visits change is the link of the last one at most."""

    def leave(self, index: int) -> None:
        if index:
            self._in_front = self._in_front.behind(self.after[index - 1])

    def visit(self, index: int, *, in_segment: bool) -> None:
        node = self.after[index]
        if node.flow is not Flow.PASSES_ON:
            # Whatever was spliced in front of it stays in front of it.
            respliced, self._respliced = self._respliced, set()
        else:
            respliced = self._respliced
        if node.flow is Flow.PRODUCES:
            return
        source = self.after[index - 1].out if index else Ledger()
        announced, followed = self._compare(index, node, source, respliced)
        transparent = in_segment and node.is_transparent
        if announced or followed:
            suppressed = tuple(announced) if transparent else ()
            self.deliveries.append(StepAnnouncements(node.step_id, (*announced, *followed), suppressed))
        if transparent:
            node.out.adopt(source.streams)
            for stream_id in self._respliced & source.streams.keys():  # a step in between may hold one back
                node.out.streams[stream_id].splice = None  # the splice in front of it has taken its place
        elif in_segment and node.is_new and node.flow is Flow.REPLACES:
            node.out.expect(source.streams)

    def _compare(
        self, index: int, node: Node, source: Ledger, respliced: set[StreamId]
    ) -> tuple[list[MediaEvent], list[MediaEvent]]:
        """What the step is told about streams that come and go, and about those that go on from another feed."""
        old = self.old_state.get(node.step_id, _Before())
        announced: list[MediaEvent] = [
            StreamEnded(stream_id) for stream_id in old.timelines if stream_id not in source.streams
        ]
        followed: list[MediaEvent] = []
        for stream_id, memory in source.streams.items():
            if stream_id not in old.timelines:
                announced += memory.replay()
            elif stream_id not in respliced:
                followed += self._go_on(index, stream_id, old, respliced)
            if stream_id in old.timelines:
                memory.last = dict(old.timelines[stream_id])
        return announced, followed

    def _go_on(self, index: int, stream_id: StreamId, old: _Before, respliced: set[StreamId]) -> Sequence[MediaEvent]:
        """Join what reaches the step now to what reached it before; returns a new feed's metadata and headers."""
        source = self.after[index - 1]
        was, now = old.feeds.of(stream_id), self._in_front.through(source, stream_id)
        if was.origin != now.origin:
            if self.after[index].flow is Flow.PASSES_ON:
                respliced.add(stream_id)
            return self._splice(stream_id, source.out)
        if was.shift != now.shift:
            in_front = self._shift_in_front(index - 1, stream_id)
            if was.shift is None or in_front is None:
                self._splice(stream_id, source.out)  # its headers are known to the step
            else:
                source.out.shift(stream_id, (was.shift - in_front) % MODULUS, old.timelines[stream_id])
        return ()

    def _shift_in_front(self, index: int, stream_id: StreamId) -> int | None:
        """How the timestamps have been moved that reach the step at `index`, as far as it passes them on."""
        if self.after[index].flow is not Flow.PASSES_ON or index == 0:
            return 0
        return self._in_front.of(stream_id).shift

    def _splice(self, stream_id: StreamId, source: Ledger) -> list[MediaEvent]:
        """Join a new feed to the timeline of everybody behind this point."""
        timelines = (state.timelines.get(stream_id, {}) for state in self.old_state.values())
        return source.splice(stream_id, merge_latest(timelines))
