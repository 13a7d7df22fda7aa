"""Secrets that a client needs besides its stream key, as `rtmp_receive` and `rtmp_watch` ask for them."""

from collections.abc import Callable

from attrs import field, frozen

from mmids_trio.guards import Guard
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import RequestRefused
from mmids_trio.rtmp.server.play_tokens import Verdict, is_token, judge

PUBLISH_DENIED = "NetStream.Publish.Denied"
PLAY_DENIED = "NetStream.Play.Failed"
"""As for addresses that are not allowed: encoders and players show them, and need not know why."""


@frozen
class PublishAccess:
    """Lets publishers in who know `token`; without one, all."""

    token: str | None = field(default=None, repr=False)

    def check(self, query: Query) -> None:
        """Raises `RequestRefused`."""
        if self.token is not None and not is_token(query, self.token):
            raise RequestRefused(PUBLISH_DENIED, "the publish token is missing or wrong", Guard.PUBLISH_TOKEN)


@frozen
class PlayAccess:
    """Lets players in whose key was signed with `play_key`; without one, all. `now`: Unix time in seconds."""

    play_key: str | None = field(default=None, repr=False)
    now: Callable[[], float] = field(default=lambda: 0.0, repr=False)

    def check(self, key: str, query: Query) -> None:
        """Raises `RequestRefused`."""
        if self.play_key is None:
            return
        match judge(query, self.play_key, key, self.now()):
            case Verdict.WRONG:
                raise RequestRefused(PLAY_DENIED, "the play token is missing or wrong", Guard.PLAY_TOKEN)
            case Verdict.EXPIRED:
                raise RequestRefused(PLAY_DENIED, "the play token has expired", Guard.PLAY_TOKEN_EXPIRED)
