"""A publisher that sends as much media as a test wants, as fast as the server takes it, and then keeps quiet.

What a real encoder cannot do: stop in the middle and wait, run faster than its clock, use any stream key.
"""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import define

from mmids_trio.media.flv import FlvReader, FlvTag, TagType
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import ClientConnected, ClientEvent, PublishStarted, RefusalReceived
from tests.support.processes import HANG_SECONDS

READ_BYTES = 16_384


def tags_of(path: Path, *, before: float = float("inf")) -> list[FlvTag]:
    """The audio and video tags of a FLV file up to a time in seconds; sequence headers are at 0."""
    tags = FlvReader().receive(path.read_bytes())
    return [tag for tag in tags if tag.type is not TagType.SCRIPT and tag.timestamp < before * 1000]


@define(eq=False)
class Encoder:
    """A connected client."""

    stream: trio.SocketStream
    connection: ClientConnection

    async def publish(self, key: str) -> str | None:
        """Ask to publish; the reason where the server does not want it."""
        self.connection.publish(key)
        answer = await self._answer(PublishStarted)
        return answer.description if isinstance(answer, RefusalReceived) else None

    async def send(self, tags: Iterable[FlvTag]) -> None:
        """Send media."""
        for tag in tags:
            self.connection.send_media(int(tag.type), tag.timestamp, tag.data)
        await self._flush()

    async def connect(self) -> None:
        """Shake hands and connect."""
        await self._flush()
        answer = await self._answer(ClientConnected)
        assert isinstance(answer, ClientConnected), answer

    async def _answer(self, expected: type[ClientEvent]) -> ClientEvent:
        with trio.fail_after(HANG_SECONDS):
            await self._flush()
            while data := await self.stream.receive_some(READ_BYTES):
                events = self.connection.receive_data(data)
                await self._flush()
                for event in events:
                    if isinstance(event, expected | RefusalReceived):
                        return event
            raise AssertionError("the server has closed the connection without an answer")

    async def _flush(self) -> None:
        if data := self.connection.data_to_send():
            await self.stream.send_all(data)


@asynccontextmanager
async def encoder(port: int, app: str = "live") -> AsyncIterator[Encoder]:
    """A client of the server on a port of this machine, which leaves at the end."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        client = Encoder(stream, ClientConnection(os.urandom, app, f"rtmp://127.0.0.1:{port}/{app}"))
        await client.connect()
        yield client
