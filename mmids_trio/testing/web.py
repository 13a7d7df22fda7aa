"""A client of the media listener over any `Transport`: one connection, requests one after another, read with h11.

client = WebClient(await harness.open(port=8080))
answer = await client.get("/live/key/index.m3u8")
"""

from collections.abc import Mapping
from typing import Self

import h11
import trio
from attrs import define, field, frozen

from mmids_trio.net.transport import Transport

READ_BYTES = 64 * 1024


@frozen
class WebAnswer:
    """A whole answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@define(eq=False)
class WebClient:
    """See the module. Raises `trio.BrokenResourceError` where the connection breaks."""

    transport: Transport
    _http: h11.Connection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)

    async def get(self, target: str, *, method: str = "GET", **headers: str) -> WebAnswer:
        """Ask, and wait for the whole answer. `headers` are written with `_` for `-`."""
        await self.begin(target, method=method, **headers)
        return await self.answer()

    async def begin(self, target: str, *, method: str = "GET", **headers: str) -> None:
        """Ask for what may be answered later; another request may follow when `answer` has returned."""
        fields = [("Host", "test"), *((name.replace("_", "-"), value) for name, value in headers.items())]
        request = self._http.send(h11.Request(method=method, target=target, headers=fields))
        end = self._http.send(h11.EndOfMessage())
        assert request is not None
        await self.transport.send_all(request + (end or b""))

    async def answer(self) -> WebAnswer:
        """The whole answer to what was asked."""
        status, headers = await self.head()
        body = b"".join([piece async for piece in self])
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return WebAnswer(status, headers, body)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer; its body comes by iterating."""
        event = await self._event()
        assert isinstance(event, h11.Response), event
        return event.status_code, {name.decode(): value.decode("latin-1") for name, value in event.headers}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        event = await self._event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        raise StopAsyncIteration

    def close(self) -> None:
        """Hang up."""
        self.transport.close()

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.transport.receive_some(READ_BYTES))
        if isinstance(event, h11.ConnectionClosed):
            raise trio.BrokenResourceError("the server has hung up")
        return event
