"""The rules of the contract of a step, in its words, and the judgement of what a step has sent for what it got.

Apart from the rig that runs a step because nothing in here runs: events go in, and a `StepFault` names the rule that
they break.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeGuard

from attrs import define, field

from mmids_trio.media.events import (
    MediaEvent,
    MediaKind,
    MediaPacket,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.media.flow import Flow


class StepRule(Enum):
    """What a step promises; the value says it to who reads a report."""

    READY = "`started()` means ready: a step calls it when all that it needs is open, and does not wait for media"
    RUNS = "a step runs until it is cancelled, or raises `StepError` when it cannot go on"
    CANCELLED = "`trio.Cancelled` is never swallowed"
    ENDS = "a step ends when it is cancelled: every shield has a deadline"
    LEGAL = "only legal sequences go out: a stream is started, then has metadata and packets, then ends"
    ENDED = "`StreamEnded` is passed on"
    LOST = (
        "nothing is lost: timeouts stand around `receive` alone, all that was received is sent before the next "
        "`receive`, and nobody who waits is forgotten"
    )
    REPEATED = "nothing is repeated: `send` hands over all events or none"
    HEADERS = "sequence headers are not sent twice"
    ORDER = "`PASSES_ON` emits the events in their order"
    IDENTITY = "`PASSES_ON` emits the very events that it receives: the same objects, no copies"
    INVENTED = "`PASSES_ON` emits no event that it did not receive"
    NAMES = "`REPLACES` emits, for each stream that it receives, one of the same id and name"
    BACK_PRESSURE = "back-pressure is honoured: a step whose outbox nobody reads stops reading, and no queue grows"
    REST = "between `send` and `receive` a step rests: a change waits for that, for one second at most"
    NOTHING_LEFT = "a step owns all that it starts and opens inside `run`, and has let go of it when `run` ends"
    STATE = "what a step remembers does not grow with time: what belongs to a stream goes when the stream ends"
    BLOCKS = "a step makes no blocking calls and no long computation"
    LIVELOCK = "a step that cannot go on waits: it does not spin"


class StepFault(AssertionError):
    """A step breaks a rule of its contract."""

    def __init__(self, rule: StepRule, what: str) -> None:
        super().__init__(f"{rule.value}\n{what}")
        self.rule = rule


SENT_ELSE = "come when events arrive one at a time (or are expected)"

_CAUSES = (
    StepRule.IDENTITY,
    StepRule.INVENTED,
    StepRule.NAMES,
    StepRule.ORDER,
    StepRule.REPEATED,
    StepRule.HEADERS,
    StepRule.LEGAL,
)
"""What a judge finds; one follows from another before it, as a rule."""

MOST_DESCRIBED = 5
"""Events of one fault that a text describes; the others are counted."""


def describe(event: MediaEvent) -> str:
    """For example `inter frame of s1 at 480 ms`."""
    stream = event.stream_id
    match event:
        case StreamStarted():
            return f"StreamStarted({stream})"
        case StreamEnded():
            return f"StreamEnded({stream})"
        case StreamMetadata():
            return f"metadata of {stream}"
    kind = event.kind.value
    what = "sequence header" if event.is_sequence_header else "key frame" if event.is_key_frame else "frame"
    return f"{kind} {what} of {stream} at {event.timestamp} ms"


def describe_all(events: Sequence[MediaEvent]) -> str:
    """The first of them, and how many more there are."""
    shown = "; ".join(map(describe, events[:MOST_DESCRIBED]))
    more = len(events) - MOST_DESCRIBED
    return f"{shown} and {more} more" if more > 0 else shown


@define
class Judge:
    """Looks at what a step sends, event by event, while it knows what the step was given (`fed`)."""

    flow: Flow
    fed: list[MediaEvent] = field(factory=list)
    sent: list[MediaEvent] = field(factory=list)
    ended_at_once: set[StreamId] = field(factory=set)
    """Streams that the step has ended with `Outbox.end_stream`."""
    faults: list[StepFault] = field(factory=list)
    """What was found, the first first; the step is not disturbed by it."""
    longest_delay: float = 0.0
    """From the arrival of an event to its departure, in seconds; of a step that passes on."""
    _places: dict[int, int] = field(factory=dict)
    _times: list[float] = field(factory=list)
    _live: dict[StreamId, StreamStarted] = field(factory=dict)
    _newest: int = -1
    _seen: set[int] = field(factory=set)
    _headers: list[tuple[StreamId, MediaKind, bytes]] = field(factory=list)
    """Sent by a step that replaces."""

    def feed(self, events: Sequence[MediaEvent], now: float) -> None:
        """The step is given these."""
        for event in events:
            self._places[id(event)] = len(self.fed)
            self.fed.append(event)
            self._times.append(now)

    def forget(self) -> None:
        """Forget the past, but for the streams that are live; whatever the step has been given it has sent."""
        self.fed, self.sent, self._places, self._times, self._headers = [], [], {}, [], []
        self._seen, self._newest, self.longest_delay = set(), -1, 0.0

    def send(self, event: MediaEvent, now: float) -> None:
        """The step has sent this."""
        self.sent.append(event)
        if self.flow is Flow.PASSES_ON:
            self._judge_passed(event)
            if (place := self._places.get(id(event))) is not None:
                self.longest_delay = max(self.longest_delay, now - self._times[place])
        elif self.flow is Flow.REPLACES:
            self._judge_replaced(event)
        self._judge_order_of_stream(event)

    def end_at_once(self, stream_id: StreamId) -> None:
        """The step ends a stream without waiting."""
        self.ended_at_once.add(stream_id)
        self._live.pop(stream_id, None)

    def _fault(self, rule: StepRule, what: str) -> None:
        self.faults.append(StepFault(rule, what))

    def _judge_passed(self, event: MediaEvent) -> None:
        place = self._places.get(id(event))
        if place is None:
            if event in self.fed:
                self._fault(StepRule.IDENTITY, f"sent a copy: {describe(event)}")
            else:
                self._fault(StepRule.INVENTED, f"sent what it never received: {describe(event)}")
        elif place in self._seen:
            self._fault(StepRule.HEADERS if _is_header(event) else StepRule.REPEATED, f"sent again: {describe(event)}")
        elif place < self._newest:
            self._fault(StepRule.ORDER, f"{describe(event)} was sent behind {describe(self.fed[self._newest])}")
        if place is not None:
            self._seen.add(place)
            self._newest = max(self._newest, place)

    def _judge_replaced(self, event: MediaEvent) -> None:
        if isinstance(event, StreamStarted):
            names = {one.stream_id: one.stream_name for one in self.fed if isinstance(one, StreamStarted)}
            if names.get(event.stream_id, event.stream_name) != event.stream_name:
                self._fault(StepRule.NAMES, f"sent {describe(event)} with the name {event.stream_name!r}")
        elif _is_header(event):
            self._headers.append((event.stream_id, event.kind, event.data))
            came = sum(_is_header(one) and one.stream_id == event.stream_id for one in self.fed)
            if came and self._headers.count(self._headers[-1]) > came:
                self._fault(StepRule.HEADERS, f"sent more often than headers came: {describe(event)}")

    def _judge_order_of_stream(self, event: MediaEvent) -> None:
        stream_id = event.stream_id
        if isinstance(event, StreamStarted):
            if stream_id in self._live:
                self._fault(StepRule.LEGAL, f"{describe(event)} was sent although the stream was started before")
            self._live[stream_id] = event
            self.ended_at_once.discard(stream_id)
        elif stream_id in self._live:
            if isinstance(event, StreamEnded):
                del self._live[stream_id]
        elif not (isinstance(event, StreamEnded) and stream_id in self.ended_at_once):
            known_of_it = any(one.stream_id == stream_id for one in self.sent[:-1])
            why = "the stream has ended" if known_of_it else "the stream was not started"
            self._fault(StepRule.LEGAL, f"{describe(event)} was sent although {why}")

    def require_fine(self) -> None:
        """Raise what was found: of several faults, the one that the others most likely follow from."""
        if self.faults:
            raise min(self.faults, key=lambda fault: _CAUSES.index(fault.rule))

    def require_all(self, expected: Sequence[MediaEvent] | None) -> None:
        """The same, at the end; and all that is `expected` was sent, of a step that replaces stream by stream."""
        illegal = [fault for fault in self.faults if fault.rule is StepRule.LEGAL]
        if len(illegal) < len(self.faults):
            self.require_fine()
        if expected is not None and self.flow is Flow.PASSES_ON:
            _require_passed(self.sent, expected)
        self.require_fine()
        if self.flow is not Flow.PRODUCES:
            self._require_ends()
        if expected is not None and self.flow is Flow.REPLACES:
            sent = _by_stream(self.sent)
            for stream_id, events in _by_stream(expected).items():
                _require_equal(sent.get(stream_id, []), events)

    def _require_ends(self) -> None:
        live = {event.stream_id for event in self.fed if isinstance(event, StreamStarted)}
        gone = {one for one in live if isinstance(self._last_of(one), StreamEnded)}
        if left := sorted(gone & self._live.keys()):
            raise StepFault(StepRule.ENDED, f"streams ended in front of the step and not behind it: {', '.join(left)}")

    def _last_of(self, stream_id: StreamId) -> MediaEvent | None:
        return next((event for event in reversed(self.fed) if event.stream_id == stream_id), None)


def _is_header(event: MediaEvent) -> TypeGuard[MediaPacket]:
    return isinstance(event, MediaPacket) and event.is_sequence_header


def _by_stream(events: Sequence[MediaEvent]) -> Mapping[StreamId, list[MediaEvent]]:
    found: dict[StreamId, list[MediaEvent]] = {}
    for event in events:
        found.setdefault(event.stream_id, []).append(event)
    return found


def _require_passed(sent: Sequence[MediaEvent], expected: Sequence[MediaEvent]) -> None:
    got, wanted = {id(event) for event in sent}, {id(event) for event in expected}
    lost = [event for event in expected if id(event) not in got]
    if lost and not all(isinstance(event, StreamEnded) for event in lost):
        raise StepFault(StepRule.LOST, f"{SENT_ELSE} and never came now: {describe_all(lost)}")
    if more := [event for event in sent if id(event) not in wanted]:
        raise StepFault(StepRule.LOST, f"came now, and otherwise do not: {describe_all(more)}")


def _require_equal(sent: Sequence[MediaEvent], expected: Sequence[MediaEvent]) -> None:
    if lost := [event for event in expected if event not in sent]:
        raise StepFault(StepRule.LOST, f"{SENT_ELSE} and never came now: {describe_all(lost)}")
    if len(sent) > len(expected):
        raise StepFault(StepRule.REPEATED, f"{len(sent) - len(expected)} more came now than otherwise")
    if list(sent) != list(expected):
        raise StepFault(StepRule.ORDER, f"came in another order than otherwise: {describe_all(sent)}")
