"""Reactors that answer what a test tells them, when it tells them."""

from collections.abc import Callable, Collection

import trio
from attrs import define, field

from mmids_trio.reactors.asker import Asker
from mmids_trio.stream_request import StreamRequest


@define(eq=False)
class ScriptedHold:
    """One holder's share; see `steps.approval.Hold`."""

    stream_name: str
    on_change: Callable[[], None]
    reactor: "ScriptedReactor"
    is_valid: bool | None = None
    routable: tuple[str, ...] = ()
    releases: int = 0
    _answered: trio.Event = field(factory=trio.Event)

    async def wait_answer(self) -> None:
        """See `steps.approval.Hold`."""
        await self._answered.wait()

    def release(self) -> None:
        """See `steps.approval.Hold`."""
        self.releases += 1
        self.reactor.held.pop(self, None)

    def answer(self, is_valid: bool, routable: tuple[str, ...] = ()) -> None:
        """The first answer, or a later one."""
        self.is_valid, self.routable = is_valid, routable
        if self._answered.is_set():
            self.on_change()
        self._answered.set()


@define(eq=False)
class ScriptedReactor:
    """See `steps.approval.Reactor`. Streams of `answers` get theirs at once."""

    answers: dict[str, tuple[str, ...] | bool] = field(factory=dict)
    held: dict[ScriptedHold, None] = field(factory=dict)
    asked: list[str] = field(factory=list)
    requests: list[StreamRequest] = field(factory=list)

    def hold(self, request: StreamRequest, on_change: Callable[[], None], asker: Asker) -> ScriptedHold:
        """See `steps.approval.Reactor`."""
        stream_name = request.key
        self.asked.append(stream_name)
        self.requests.append(request)
        hold = ScriptedHold(stream_name, on_change, self)
        self.held[hold] = None
        if (answer := self.answers.get(stream_name)) is not None:
            hold.answer(answer is not False, () if isinstance(answer, bool) else answer)
        return hold

    def answer(self, stream_name: str, *routable: str, is_valid: bool = True) -> None:
        """Tell all that hold the stream, and all that will."""
        self.answers[stream_name] = routable if is_valid else False
        for hold in list(self.held):
            if hold.stream_name == stream_name:
                hold.answer(is_valid, routable)


@define(eq=False)
class ScriptedReactors:
    """See `steps.approval.Reactors`: the reactor `r`."""

    r: ScriptedReactor = field(factory=ScriptedReactor)

    def names(self) -> Collection[str]:
        """See `steps.approval.Reactors`."""
        return ["r"]

    def get(self, name: str) -> ScriptedReactor | None:
        """See `steps.approval.Reactors`."""
        return self.r if name == "r" else None
