"""Who may publish and watch: those who know a secret, and whose streams a reactor approves (behind two Protocols)."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import trio
from attrs import field, frozen

from mmids_trio.config.parameters import Secret
from mmids_trio.config.suggestions import did_you_mean
from mmids_trio.errors import StepError, TooManyQuestions
from mmids_trio.guards.guards import NO_GUARDS, StepGuards
from mmids_trio.reactors.asker import Asker
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import Client, RequestRefused
from mmids_trio.rtmp.server.play_tokens import TokenVerdict, is_token, judge
from mmids_trio.stream_request import Action, StreamRequest, query_without

PUBLISH_DENIED = "NetStream.Publish.Denied"
PLAY_DENIED = "NetStream.Play.Failed"
"""As for addresses that are not allowed: encoders and players show them, and need not know why."""

ANSWER_SECONDS = 60.0
"""How long a client waits for the first answer (the specification's bound; three tries can take 45)."""

Release = Callable[[], None]
"""Lets go of an approval. Synchronous; repeating it does nothing."""


class LeaseHold(Protocol):
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


class KnownReactor(Protocol):
    """Somebody who knows which streams are valid."""

    def hold(self, request: StreamRequest, on_change: Callable[[], None], asker: Asker) -> LeaseHold:
        """Ask about a stream and keep asking; `on_change` is called, synchronously, when a later answer differs.

        Raises `TooManyQuestions` where so many of the same asker's have no answer yet.
        """


class KnownReactors(Protocol):
    """The reactors of a server."""

    def names(self) -> Collection[str]:
        """Those that the configuration defines."""

    def get(self, name: str) -> KnownReactor | None:
        """The one of that name."""


def reactor_problems(name: str | None, reactors: KnownReactors) -> Iterable[str]:
    """A step can only ask a reactor that there is."""
    if name is not None and name not in reactors.names():
        known = did_you_mean(name, reactors.names()) or f"; there is {', '.join(reactors.names()) or 'none'}"
        yield f"there is no reactor '{name}'{known}"


def find_reactor(name: str | None, reactors: KnownReactors) -> KnownReactor | None:
    """The reactor that a step names, if it names one. Raises `StepError` where that is gone."""
    if name is None:
        return None
    reactor = reactors.get(name)
    if reactor is None:
        raise StepError(f"there is no reactor '{name}'")
    return reactor


class AsRequest(Protocol):
    """Says what a client asks for, with all that the step knows of it."""

    def __call__(self, action: Action, key: str, query: str, client: Client) -> StreamRequest: ...


def plain_request(action: Action, key: str, query: str, client: Client) -> StreamRequest:
    """Of a step that knows nothing more than the client says."""
    return StreamRequest(key=key, query=query, action=action, address=client.peer_host)


async def approved(
    reactor: KnownReactor | None, request: StreamRequest, client: Client, on_revoked: Callable[[], None], code: str
) -> Release:
    """Wait until `reactor` has approved what a client wants; `on_revoked` is called when it takes that back.

    Without a reactor everything is approved.  Raises `RequestRefused` with the status `code`.
    """
    if reactor is None:
        return _nothing

    def look_again() -> None:
        if hold.is_valid is False:
            on_revoked()

    try:
        hold = reactor.hold(request, look_again, Asker.of(client))
    except TooManyQuestions as error:
        raise RequestRefused(code, str(error), RejectReason.QUESTIONS) from error
    try:
        with trio.move_on_after(ANSWER_SECONDS):
            await hold.wait_answer()
        if not hold.is_valid:
            reason = "not approved" if hold.is_valid is False else f"not answered within {ANSWER_SECONDS:.0f} seconds"
            raise RequestRefused(code, f"the stream is {reason}", RejectReason.NOT_APPROVED)
    except BaseException:
        hold.release()
        raise
    return hold.release


async def let_in(
    access: "PublishAccess | PlayAccess",
    request: StreamRequest,
    query: Query,
    client: Client,
    code: str,
) -> None:
    """What every client has to pass before its step's reactor is asked, in this order; raises `RequestRefused`.

    Its address, and whether it is banned, were looked at before (`rtmp.server.endpoints.admit`). The secret of the step
    comes first, as that costs nothing; then what the server's guards say. Where there are none, this does not wait.
    """
    access.check(request.key, query)
    await access.guards.check(request, query, client, code)


def _nothing() -> None:
    """Lets go of nothing."""


@frozen
class PublishAccess:
    """Lets publishers in who know `token`; without one, all."""

    token: Secret | None = None
    guards: StepGuards = NO_GUARDS

    @property
    def name(self) -> str | None:
        """What a publisher that is let in has shown."""
        return self.guards.name if self.token is None else "publish_token"

    def rest(self, query: Query) -> str:
        """What of the query is for others to see: not what is checked here."""
        return self.guards.rest(query.raw if self.token is None else query_without(query.raw, ("token",)))

    def check(self, _key: str, query: Query) -> None:
        """Raises `RequestRefused`."""
        if self.token is not None and not is_token(query, self.token.text):
            raise RequestRefused(PUBLISH_DENIED, "the publish token is missing or wrong", RejectReason.PUBLISH_TOKEN)


@frozen
class PlayAccess:
    """Lets players in whose key was signed with `play_key`; without one, all. `now`: Unix time in seconds."""

    play_key: Secret | None = None
    now: Callable[[], float] = field(default=lambda: 0.0, repr=False)
    guards: StepGuards = NO_GUARDS

    @property
    def name(self) -> str | None:
        """What a player that is let in has shown."""
        return self.guards.name if self.play_key is None else "play_key"

    def rest(self, query: Query) -> str:
        """What of the query is for others to see: not what is checked here."""
        return self.guards.rest(query.raw if self.play_key is None else query_without(query.raw, ("token", "expires")))

    def check(self, key: str, query: Query) -> None:
        """Raises `RequestRefused`."""
        if self.play_key is None:
            return
        match judge(query, self.play_key.text, key, self.now()):
            case TokenVerdict.WRONG:
                raise RequestRefused(PLAY_DENIED, "the play token is missing or wrong", RejectReason.PLAY_TOKEN)
            case TokenVerdict.EXPIRED:
                raise RequestRefused(PLAY_DENIED, "the play token has expired", RejectReason.PLAY_TOKEN_EXPIRED)
