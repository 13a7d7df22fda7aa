"""Connections that tell a recorder what arrives on them.

Apart from sockets and sessions, neither of which knows that somebody listens in.  Only reading passes through here;
sending, which is the hot path of watchers, goes to the other transport directly.
"""

import trio
from attrs import frozen

from mmids_trio.net.tls import ConnectionGate
from mmids_trio.net.transport import Transport
from mmids_trio.recording import records
from mmids_trio.recording.recorder import Recorder


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

    def receive_nowait(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        try:
            data = self._transport.receive_nowait(max_bytes)
        except trio.BrokenResourceError:
            self._note_end(records.RESET)
            raise
        if data:
            self._recorder.received(self._connection, data)
        return data

    def close(self) -> None:
        """See `Transport`."""
        self._note_end(records.BY_SERVER)
        self._transport.close()

    def _note_end(self, how: str) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._recorder.note(records.Closed(self._recorder.now(), self._connection, how))


@frozen
class RecordedGate:
    """A `ConnectionGate` that notes whom another one has let in, so what is noted was decrypted before."""

    gate: ConnectionGate
    recorder: Recorder

    async def require_tls(self) -> None:
        """See `ConnectionGate`."""
        await self.gate.require_tls()

    async def admit(self, transport: Transport, port: int, tls: bool) -> Transport:
        """See `ConnectionGate`."""
        admitted = await self.gate.admit(transport, port, tls)
        recorder = self.recorder
        if recorder.is_over:
            return admitted
        connection = recorder.number()
        recorder.note(records.Opened(recorder.now(), connection, port, admitted.peer_host, admitted.peer_port))
        return RecordedTransport(admitted, recorder, connection)
