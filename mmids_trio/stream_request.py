"""How a client asked for a stream: what reactors tell their services, and what a stream remembers of its publisher.

Beside the folders, since media events carry it from the step that receives a stream to those that forward it.  The
query may hold what grants access: nothing that is printed or logged shows it.
"""

from collections.abc import Callable, Collection, Hashable
from typing import Literal
from urllib.parse import unquote

from attrs import define, evolve, field, frozen

Action = Literal["publish", "watch"]


@frozen(kw_only=True)
class StreamRequest:
    """`query` is what stood behind the `?`, as sent, without what a step checks itself.

    All but the key is `None` (or empty) for a stream that no client of RTMP has brought, and where a request stands
    for all who watch the key.
    """

    key: str
    query: str = field(default="", repr=False)
    action: Action = "publish"
    app: str | None = None
    port: int | None = None
    protocol: str | None = None
    """`rtmp` or `rtmps`."""
    address: str | None = None

    @property
    def name(self) -> str:
        """The stream's full name, as Mmids calls it: `key?query`. It may hold a secret."""
        return f"{self.key}?{self.query}" if self.query else self.key

    @property
    def identity(self) -> Hashable:
        """What makes it another request than another one; where it comes from does not."""
        return self.action, self.name, self.app, self.port, self.protocol

    @property
    def of_anybody(self) -> "StreamRequest":
        """The same, as if everybody asked it who names the key."""
        return evolve(self, query="", address=None)

    def as_data(self) -> dict[str, str | int | None]:
        """What a service is told. `stream_name` is all that Mmids says."""
        return {
            "stream_name": self.name,
            "stream_key": self.key,
            "query": self.query,
            "app": self.app,
            "port": self.port,
            "protocol": self.protocol,
            "address": self.address,
            "action": self.action,
        }


@define(eq=False)
class StreamOrigin:
    """Whose a stream is now, as that one has asked for it: another publisher may take it over."""

    request: StreamRequest
    _listeners: list[Callable[[], None]] = field(factory=list, init=False, repr=False)

    def change(self, request: StreamRequest) -> None:
        """Another publisher has the stream. Who listens is told at once where that makes another request."""
        is_another = request.identity != self.request.identity
        self.request = request
        for tell in tuple(self._listeners) if is_another else ():
            tell()

    def listen(self, tell: Callable[[], None]) -> None:
        """Call `tell`, which must not raise, whenever the request changes."""
        self._listeners.append(tell)

    def ignore(self, tell: Callable[[], None]) -> None:
        """Do not call it any more."""
        self._listeners.remove(tell)


def query_without(raw: str, names: Collection[str]) -> str:
    """A query as sent, without parameters of these names."""
    return "&".join(part for part in raw.split("&") if part and unquote(part.partition("=")[0]) not in names)
