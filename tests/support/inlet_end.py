"""The place where other workflows' streams enter, with nobody behind it who takes them but the test."""

from attrs import define, field

from mmids_trio.media.events import MediaEvent
from mmids_trio.workflow.forwarding import Inlet, Route
from mmids_trio.workflow.links import ChannelInbox, Outlet
from tests.support.toy_steps import is_frame


@define(eq=False)
class Entry:
    """An inlet in front of an inbox that is emptied when the test says so."""

    inlet: Inlet = field(factory=Inlet)
    outlet: Outlet = field(factory=Outlet)
    inbox: ChannelInbox = field(factory=ChannelInbox)
    seen: list[MediaEvent] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.outlet.connect(self.inbox)
        self.inlet.enter_through(self.outlet)

    def route(self) -> Route:
        """A way in, from some other workflow."""
        route = Route("source", "target", self.inlet.leave)
        self.inlet.join(route)
        return route

    def take(self) -> list[MediaEvent]:
        """All that has arrived since the last time."""
        events = list(self.inbox._take(()))
        self.seen += events
        return events

    def open(self) -> None:
        """Let go on what a change has held."""
        self.outlet.open_gate()
        self.inlet.let_go_on()

    def frames(self) -> list[str]:
        """The frames among what has arrived since, by their payloads."""
        return [event.data.decode() for event in self.take() if is_frame(event)]
