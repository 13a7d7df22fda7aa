"""A TCP proxy in tests, between two servers: it passes on, delays, says nothing any more, or cuts."""

from collections.abc import Callable

import trio
from attrs import define, field

PIECE = 64 * 1024


@define(eq=False)
class Cutting:
    """Passes on between whoever connects to `port` and `target`, both on this machine."""

    nursery: trio.Nursery
    target: int
    port: int = field(default=0, init=False)
    delay_s: float = 0.0
    is_silent: bool = False
    """Half open: connections are taken and stay, and nothing passes."""
    _life: trio.CancelScope | None = field(default=None, init=False)
    """Of all connections; `None` while it takes none."""
    _may_pass: trio.Event = field(factory=trio.Event, init=False)

    async def start(self) -> "Cutting":
        """Take connections."""
        await self._listen()
        return self

    async def _listen(self) -> None:
        self._may_pass.set()
        [listener] = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        self._life = trio.CancelScope()
        self.nursery.start_soon(self._serve, listener, self._life)

    async def _serve(self, listener: trio.SocketListener, life: trio.CancelScope) -> None:
        with life:
            await trio.serve_listeners(self._pass_on, [listener])
        listener.socket.close()

    def cut(self) -> None:
        """All connections are over, and no others are taken."""
        if self._life is not None:
            self._life.cancel()
            self._life = None

    async def mend(self) -> None:
        """As it was."""
        self.is_silent = False
        self._may_pass.set()
        if self._life is None:
            await self._listen()

    def fall_silent(self) -> None:
        """Nothing passes any more, and nobody hears that."""
        self.is_silent, self._may_pass = True, trio.Event()

    async def _pass_on(self, client: trio.SocketStream) -> None:
        try:
            server = await trio.open_tcp_stream("127.0.0.1", self.target)
        except OSError:
            client.socket.close()
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._copy, client, server, nursery.cancel_scope.cancel)
                nursery.start_soon(self._copy, server, client, nursery.cancel_scope.cancel)
        finally:
            for stream in (client, server):
                stream.socket.close()

    async def _copy(self, source: trio.SocketStream, target: trio.SocketStream, end: Callable[[], None]) -> None:
        try:
            while data := await source.receive_some(PIECE):
                if self.delay_s:
                    await trio.sleep(self.delay_s)
                await self._may_pass.wait()
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        end()
