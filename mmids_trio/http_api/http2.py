"""HTTP/2 with an answer held back by the client's window, and a reset for one that was not finished.

Hypercorn 0.18's own buffer of a stream wakes its writer whenever nothing could be sent, so that all of an endless
answer piles up for a client that opens no window; and it leaves the rest of an answer there that its application gave
up.  Everything else is Hypercorn's.
"""

from typing import Any

from h2.errors import ErrorCodes
from hypercorn.events import Event, RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BUFFER_LOW_WATER, BufferCompleteError, H2Protocol, StreamBuffer
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError


class Http2(H2Protocol):
    """See the module."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._buffers = _Buffers()
        self.stream_buffers = self._buffers

    async def stream_send(self, event: StreamEvent) -> None:
        """Send something of a stream, or (`StreamClosed`) end it."""
        if isinstance(event, StreamClosed):
            await self._give_up_rest(event.stream_id)
        await super().stream_send(event)

    async def _give_up_rest(self, stream_id: int) -> None:
        buffer: _Buffer | None = self._buffers.get(stream_id)
        if buffer is not None and not buffer.is_finished:
            await buffer.close()
            self.connection.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
            await self._flush()


class _Buffer(StreamBuffer):
    """Lets its writer go on when there is room again, and not before."""

    @property
    def is_finished(self) -> bool:
        """Whether all of the answer is in it, or was."""
        return self._complete

    async def push(self, data: bytes) -> None:
        """Put something in; waits as long as there is too much."""
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take out as much as may be sent."""
        length = min(len(self.buffer), max_length)
        data = bytes(self.buffer[:length])
        del self.buffer[:length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class _Buffers(dict[int, Any]):
    """Makes a buffer of ours of each that is put into it."""

    def __setitem__(self, stream_id: int, buffer: StreamBuffer) -> None:
        super().__setitem__(stream_id, _Buffer(type(buffer._is_empty)))


class Protocols(ProtocolWrapper):
    """HTTP/1.1, until the client asks for HTTP/2."""

    async def handle(self, event: Event) -> None:
        """Take in what came from the client."""
        try:
            await self.protocol.handle(event)
        except H2ProtocolAssumedError as error:
            await self._switch(error.data)
        except H2CProtocolRequiredError as error:
            await self._switch(error.data, error.headers, error.settings)

    async def _switch(self, data: bytes, *upgrade: Any) -> None:
        self.protocol = Http2(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.state,
            self.ssl,
            self.client,
            self.server,
            self.send,
        )
        await self.protocol.initiate(*upgrade)
        if data:
            await self.protocol.handle(RawData(data=data))
