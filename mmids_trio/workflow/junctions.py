"""Which workflow forwards to which: routes by the name of their target, whether it runs or not."""

from collections.abc import Callable, Sequence

from attrs import define, field

from mmids_trio.errors import StepError
from mmids_trio.media.events import MediaEvent
from mmids_trio.workflow.inlet import Inlet, Route

IsLeaving = Callable[[str, str], bool]
"""Whether a step, by workflow and id, gives way to the change that is being carried out."""


@define(eq=False)
class Junctions:
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
