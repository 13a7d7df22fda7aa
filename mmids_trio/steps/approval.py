"""Asking a reactor about a stream, as the steps with `reactor=` do; the reactor itself is behind two Protocols."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import trio

from mmids_trio.config.suggestions import did_you_mean
from mmids_trio.errors import StepError
from mmids_trio.guards import Guard
from mmids_trio.rtmp.server.endpoints import RequestRefused
from mmids_trio.steps.parameters import Values

ANSWER_SECONDS = 60.0
"""How long a client waits for the first answer (the specification's bound; three tries can take 45)."""

Release = Callable[[], None]
"""Lets go of an approval. Synchronous; repeating it does nothing."""


class Hold(Protocol):
    """One holder's share in what a reactor knows about a stream."""

    @property
    def is_valid(self) -> bool | None:
        """Whether the stream may be; `None` before the first answer."""

    @property
    def routable(self) -> Sequence[str]:
        """The workflows that the stream is to be forwarded to."""

    async def wait_answer(self) -> None:
        """Wait for the first answer."""

    def release(self) -> None:
        """Let go. Synchronous; repeating it does nothing."""


class Reactor(Protocol):
    """Somebody who knows which streams are valid."""

    def hold(self, stream_name: str, on_change: Callable[[], None]) -> Hold:
        """Ask about a stream and keep asking; `on_change` is called, synchronously, when a later answer differs."""


class Reactors(Protocol):
    """The reactors of a server."""

    def names(self) -> Collection[str]:
        """Those that the configuration defines."""

    def get(self, name: str) -> Reactor | None:
        """The one of that name."""


def reactor_problems(values: Values, reactors: Reactors) -> Iterable[str]:
    """A step can only ask a reactor that there is."""
    name = values["reactor"]
    if isinstance(name, str) and name not in reactors.names():
        known = did_you_mean(name, reactors.names()) or f"; there is {', '.join(reactors.names()) or 'none'}"
        yield f"there is no reactor '{name}'{known}"


def find_reactor(values: Values, reactors: Reactors) -> Reactor | None:
    """The reactor that a step names, if it names one. Raises `StepError` where that is gone."""
    name = values["reactor"]
    if not isinstance(name, str):
        return None
    reactor = reactors.get(name)
    if reactor is None:
        raise StepError(f"there is no reactor '{name}'")
    return reactor


async def approved(reactor: Reactor | None, stream_name: str, on_revoked: Callable[[], None], code: str) -> Release:
    """Wait until `reactor` has approved a client's stream; `on_revoked` is called when it takes that back.

    Without a reactor everything is approved.  Raises `RequestRefused` with the status `code`.
    """
    if reactor is None:
        return _nothing

    def look_again() -> None:
        if hold.is_valid is False:
            on_revoked()

    hold = reactor.hold(stream_name, look_again)
    try:
        with trio.move_on_after(ANSWER_SECONDS):
            await hold.wait_answer()
        if not hold.is_valid:
            reason = "not approved" if hold.is_valid is False else f"not answered within {ANSWER_SECONDS:.0f} seconds"
            raise RequestRefused(code, f"the stream is {reason}", Guard.NOT_APPROVED)
    except BaseException:
        hold.release()
        raise
    return hold.release


def _nothing() -> None:
    """Lets go of nothing."""
