"""Streams on their way from workflow to workflow: where they enter one, and who forwards to whom. Nothing waits here.

A forwarder must never wait for its target, so where the target's inbox is full, a stream's media is left out up to its
next key frame, and counted.  Starts, metadata, sequence headers and ends always fit.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeGuard

from attrs import define, field

from mmids_trio.errors import StepError
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamId, StreamStarted
from mmids_trio.media.timeline import MODULUS
from mmids_trio.workflow.links import Outlet
from mmids_trio.workflow.replay import LatestTimestamps, Ledger

MAX_HELD = 4096
"""Events that may wait at a closed gate. Gates are closed for a second at most, in which twenty streams have that many
packets."""

REPEATED_MS = 10_000
"""How far behind what has entered over one route another may be, in milliseconds; what is older than that is on another
clock, and new."""


IsLeaving = Callable[[str, str], bool]
"""Whether a step, by workflow and id, gives way to the change that is being carried out."""


@define(eq=False)
class Route:
    """One forwarder's way to one target; `ledger` knows the streams that are on it."""

    source: str
    """The workflow that forwards."""
    target: str
    """The workflow that is forwarded to."""
    on_close: Callable[["Route"], None]
    step_id: str = ""
    """The forwarder."""
    ledger: Ledger = field(factory=Ledger, init=False)
    inlet: "Inlet | None" = field(default=None, init=False)
    """The target's, while it runs."""

    def forward(self, events: Sequence[MediaEvent]) -> None:
        """Send events to the target, if it is there."""
        admitted = self.ledger.admit(events)
        if self.inlet is not None:
            self.inlet.offer(self, admitted)

    def close(self) -> None:
        """Give the way up; its streams end at the target."""
        self.on_close(self)


@define(eq=False)
class Inlet:
    """The entry of one workflow, for any number of routes. A stream enters over one of them at a time.

    While the place where streams enter is closed (a change drains), whatever happens here is held back, in order, so
    that the change finds, and leaves, a state that fits what has entered.
    """

    dropped_groups: int = field(default=0, init=False)
    """Groups of pictures that were left out, wholly or in part, because the workflow could not keep up."""
    _outlet: Outlet | None = field(default=None, init=False)
    _routes: dict[Route, None] = field(factory=dict, init=False)
    _owners: dict[StreamId, Route] = field(factory=dict, init=False)
    _skipping: set[StreamId] = field(factory=set, init=False)
    _held: list[Callable[[], None]] = field(factory=list, init=False)
    _held_events: int = field(default=0, init=False)

    @property
    def streams(self) -> Collection[StreamId]:
        """The streams that come from other workflows."""
        return self._owners.keys()

    # For the workflow.

    def enter_through(self, outlet: Outlet) -> None:
        """From now on streams enter where `outlet` delivers to; part of the swap."""
        self._outlet = outlet

    def let_go_on(self) -> None:
        """The place where streams enter is open again: do what was held back."""
        held, self._held, self._held_events = self._held, [], 0
        for action in held:
            action()

    def leave_all(self) -> None:
        """The workflow is not there any more."""
        for route in self._routes:
            route.inlet = None
        self._push([StreamEnded(stream_id) for stream_id in self._owners])
        self._outlet = None
        self._held_events = 0
        for known in (self._routes, self._owners, self._skipping, self._held):
            known.clear()

    # For routes.

    def join(self, route: Route) -> None:
        """A route leads here now: its streams are announced, and go on with their next key frame."""
        route.inlet = self
        self._routes[route] = None
        streams = {stream_id: memory.replay() for stream_id, memory in route.ledger.streams.items()}
        self._do(partial(self._announce, route, streams))

    def leave(self, route: Route) -> None:
        """A route leads here no more: its streams end, but those that come over another route as well."""
        route.inlet = None
        self._routes.pop(route, None)
        self._do(partial(self._hand_over, route))

    def offer(self, route: Route, events: Sequence[MediaEvent]) -> None:
        """Let in what `route` brings, as far as there is room."""
        if not self._is_held:
            self._let_in(route, events, has_room=self._outlet is None or self._outlet.has_room)
            return
        has_room = self._held_events < MAX_HELD
        if not has_room:
            events = _without_most_frames(events)
        self._held_events += len(events)
        self._held.append(partial(self._let_in, route, events, has_room=has_room))

    @property
    def _is_held(self) -> bool:
        return bool(self._held) or (self._outlet is not None and self._outlet.is_closed)

    def _do(self, action: Callable[[], None]) -> None:
        if self._is_held:
            self._held.append(action)
        else:
            action()

    def _announce(self, route: Route, streams: Mapping[StreamId, Sequence[MediaEvent]]) -> None:
        for stream_id, replay in streams.items():
            if stream_id not in self._owners:
                self._skipping.add(stream_id)
            self._let_in(route, replay, has_room=True)

    def _hand_over(self, route: Route) -> None:
        for stream_id in [stream_id for stream_id, owner in self._owners.items() if owner is route]:
            successor = next((other for other in self._routes if stream_id in other.ledger.streams), None)
            if successor is None:
                self._push([StreamEnded(stream_id)])
                self._forget(stream_id)
            else:
                self._owners[stream_id] = successor
                if _stand(successor, stream_id) != _stand(route, stream_id):
                    self._skipping.add(stream_id)

    def _let_in(self, route: Route, events: Sequence[MediaEvent], *, has_room: bool) -> None:
        entering: list[MediaEvent] = []
        for event in events:
            if not self._may_enter(route, event, has_room):
                continue
            entering.append(event)
            if isinstance(event, StreamEnded):  # it is ours until its end has gone in, and may begin again after it
                self._push(entering)
                self._forget(event.stream_id)
                entering = []
        self._push(entering)

    def _push(self, events: Sequence[MediaEvent]) -> None:
        if events and self._outlet is not None:
            self._outlet.push(events)

    def _may_enter(self, route: Route, event: MediaEvent, has_room: bool) -> bool:
        if isinstance(event, StreamStarted):
            self._owners.setdefault(event.stream_id, route)
        if self._owners.get(event.stream_id) is not route:
            return False
        return not _is_frame(event) or self._may_pass(event, has_room)

    def _may_pass(self, frame: MediaPacket, has_room: bool) -> bool:
        if frame.stream_id in self._skipping:
            if not has_room or not self._may_resume(frame):
                return False
            self._skipping.remove(frame.stream_id)
        elif not has_room:
            self._skipping.add(frame.stream_id)
            self.dropped_groups += 1
            return False
        return True

    def _may_resume(self, frame: MediaPacket) -> bool:
        """At a key frame (without video, at any frame) that has not been let in over another route before."""
        memory = self._owners[frame.stream_id].ledger.streams.get(frame.stream_id)
        if frame.kind is MediaKind.VIDEO:
            return frame.is_key_frame and not self._is_repeated(frame)
        return (memory is None or not memory.has_video) and not self._is_repeated(frame)

    def _is_repeated(self, frame: MediaPacket) -> bool:
        entered = self._outlet and self._outlet.ledger.streams.get(frame.stream_id)
        last = entered.last.get(frame.kind) if entered else None
        return last is not None and not 0 < (frame.timestamp - last) % MODULUS < MODULUS - REPEATED_MS

    def _forget(self, stream_id: StreamId) -> None:
        self._owners.pop(stream_id, None)
        self._skipping.discard(stream_id)


@define(eq=False)
class ForwardingTable:
    """All routes of a server, and the inlets of the workflows that run."""

    _inlets: dict[str, Inlet] = field(factory=dict, init=False)
    _routes: dict[str, dict[Route, None]] = field(factory=dict, init=False)
    """By target."""
    _departures: dict[str, dict[Route, None]] = field(factory=dict, init=False)
    """By source."""

    # For workflows.

    def open(self, name: str, inlet: Inlet) -> None:
        """A workflow has come up: whoever forwards to it begins. Repeating it does nothing."""
        if self._inlets.get(name) is not inlet:
            self._inlets[name] = inlet
            for route in self._routes.get(name, ()):
                inlet.join(route)

    def close(self, name: str, inlet: Inlet) -> None:
        """A workflow is not there any more."""
        if self._inlets.get(name) is inlet:
            del self._inlets[name]
            inlet.leave_all()

    # For forwarders.

    def connect(
        self,
        source: str,
        target: str,
        events: Sequence[MediaEvent] = (),
        *,
        step_id: str = "",
        is_leaving: IsLeaving = lambda _workflow, _step_id: False,
    ) -> Route:
        """A way from step `step_id` of workflow `source` to workflow `target`, on which `events` have been already.

        Raises `StepError` where that closes a circle, not counting the ways of steps that are leaving.
        """
        path = self._path(target, source, is_leaving)
        if path is not None:
            raise StepError(f"forwarding in a circle: {' -> '.join([source, *path])}")
        route = Route(source, target, self._disconnect, step_id)
        route.ledger.admit(events)
        self._routes.setdefault(target, {})[route] = None
        self._departures.setdefault(source, {})[route] = None
        if inlet := self._inlets.get(target):
            inlet.join(route)
        return route

    def _disconnect(self, route: Route) -> None:
        _remove(route, self._routes, route.target)
        _remove(route, self._departures, route.source)
        if route.inlet is not None:
            route.inlet.leave(route)

    def _path(self, start: str, end: str, is_leaving: IsLeaving) -> list[str] | None:
        """The workflows from `start` to `end` along existing routes, both included."""
        came_from: dict[str, str | None] = {start: None}
        waiting = [start]
        while waiting:
            name = waiting.pop()
            if name == end:
                return _trace(came_from, name)
            ways = self._departures.get(name, ())
            for target in dict.fromkeys(way.target for way in ways if not is_leaving(way.source, way.step_id)):
                if target not in came_from:
                    came_from[target] = name
                    waiting.append(target)
        return None


def _is_frame(event: MediaEvent) -> TypeGuard[MediaPacket]:
    return isinstance(event, MediaPacket) and not event.is_sequence_header


def _stand(route: Route, stream_id: StreamId) -> LatestTimestamps:
    """How far a stream has come over a route."""
    memory = route.ledger.streams.get(stream_id)
    return {} if memory is None else memory.last


def _without_most_frames(events: Sequence[MediaEvent]) -> Sequence[MediaEvent]:
    """All but frames; of these the first of each stream, which shows that some are missing."""
    first: dict[StreamId, MediaPacket] = {}
    for event in events:
        if _is_frame(event):
            first.setdefault(event.stream_id, event)
    return [event for event in events if not _is_frame(event) or first[event.stream_id] is event]


def _remove(route: Route, ways: dict[str, dict[Route, None]], name: str) -> None:
    routes = ways.get(name, {})
    if route in routes:
        del routes[route]
        if not routes:
            del ways[name]


def _trace(came_from: dict[str, str | None], end: str) -> list[str]:
    path: list[str] = []
    name: str | None = end
    while name is not None:
        path.insert(0, name)
        name = came_from[name]
    return path
