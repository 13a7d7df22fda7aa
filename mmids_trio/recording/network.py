"""A network that tells a recorder what arrives on the connections of another one.

Apart from sockets and sessions, neither of which knows that somebody listens in.  Only reading passes through here;
sending, which is the hot path of watchers, goes to the other transport directly.
"""

import trio
from attrs import define

from mmids_trio.recording import records
from mmids_trio.recording.recorder import Recorder
from mmids_trio.rtmp.transport import Listener, Network, Transport


class RecordedTransport:
    """A `Transport` whose reads are noted."""

    __slots__ = (
        "_connection",
        "_has_ended",
        "_receive",
        "_recorder",
        "_transport",
        "peer_host",
        "peer_port",
        "send_all",
        "send_nowait",
        "wait_writable",
    )

    def __init__(self, transport: Transport, recorder: Recorder, connection: int) -> None:
        self.peer_host, self.peer_port = transport.peer_host, transport.peer_port
        self.send_all, self.send_nowait = transport.send_all, transport.send_nowait
        self.wait_writable = transport.wait_writable
        self._receive = transport.receive_some
        self._transport = transport
        self._recorder = recorder
        self._connection = connection
        self._has_ended = False

    @property
    def takes_ahead(self) -> bool:
        """See `Transport`."""
        return self._transport.takes_ahead

    @property
    def has_unsent(self) -> bool:
        """See `Transport`."""
        return self._transport.has_unsent

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        try:
            data = await self._receive(max_bytes)
        except trio.BrokenResourceError:
            self._note_end(records.RESET)
            raise
        if data:
            self._recorder.received(self._connection, data)
        else:
            self._note_end(records.ENDED)
        return data

    def close(self) -> None:
        """See `Transport`."""
        self._note_end(records.BY_SERVER)
        self._transport.close()

    def _note_end(self, how: str) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._recorder.note(records.Closed(self._recorder.now(), self._connection, how))


@define(eq=False)
class _RecordedListener:
    """A `Listener` whose connections are noted; `number` is the port that was asked for."""

    _listener: Listener
    _recorder: Recorder
    _number: int

    @property
    def port(self) -> int:
        """See `Listener`."""
        return self._listener.port

    async def accept(self) -> Transport:
        """See `Listener`."""
        transport = await self._listener.accept()
        recorder = self._recorder
        if recorder.is_over:
            return transport
        connection = recorder.number()
        opened = records.Opened(recorder.now(), connection, self._number, transport.peer_host, transport.peer_port)
        recorder.note(opened)
        return RecordedTransport(transport, recorder, connection)

    def close(self) -> None:
        """See `Listener`."""
        self._listener.close()


@define(eq=False)
class RecordedNetwork:
    """A `Network` whose connections are noted."""

    _network: Network
    _recorder: Recorder

    def listen(self, host: str | None, port: int) -> Listener:
        """See `Network`."""
        return _RecordedListener(self._network.listen(host, port), self._recorder, port)

    async def dial(self, host: str, port: int) -> Transport:
        """See `Network`. What the server itself asks for is not noted."""
        return await self._network.dial(host, port)
