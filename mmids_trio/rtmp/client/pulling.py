"""Plays a stream of another server over one connection, until that is over. What becomes of it is the caller's."""

from collections.abc import Sequence
from typing import NoReturn, Protocol

import trio
from attrs import define

from mmids_trio.rtmp.client.client import ClientFailed, OpenClient, explain
from mmids_trio.rtmp.protocol.events import (
    ClientEvent,
    DataReceived,
    MediaReceived,
    MetadataReceived,
    RefusalReceived,
    StatusReceived,
    StreamEofReceived,
)

SILENCE_SECONDS = 30.0
"""How long a source may send nothing at all, not even a ping, before it is called anew; as for publishers."""

ENDS = frozenset({"NetStream.Play.UnpublishNotify", "NetStream.Play.Complete"})
"""Status codes with which servers say that a stream is over."""

STOP = "NetStream.Play.Stop"
"""What a server says that stops sending, be the stream over or the server about to end."""

Received = MediaReceived | MetadataReceived | DataReceived


class Puller(Protocol):
    """Who wants what comes."""

    async def take(self, media: Sequence[Received]) -> None:
        """Media have come."""

    def over(self) -> None:
        """The source says that the stream is over; another one may follow on the same connection."""

    def stopped(self) -> None:
        """The source sends no more for now."""


@define(eq=False)
class Pull:
    """One connection that plays, for `puller`. `secrets`: what no message may repeat."""

    client: OpenClient
    puller: Puller
    secrets: tuple[str, ...]
    silence_s: float = SILENCE_SECONDS

    async def read(self) -> NoReturn:
        """Until the connection is over: raises `ClientFailed` with the reason."""
        while True:
            with trio.move_on_after(self.silence_s) as patience:
                events = await self.client.next_events()
            if patience.cancelled_caught:
                raise ClientFailed(f"it was silent for {self.silence_s:.0f} s")
            await self._take(events)
            with trio.move_on_after(self.silence_s) as patience:
                await self.client.reply()
            if patience.cancelled_caught:
                raise ClientFailed(f"it took nothing for {self.silence_s:.0f} s")

    async def _take(self, events: Sequence[ClientEvent]) -> None:
        media: list[Received] = []
        for event in events:
            if isinstance(event, (MediaReceived, MetadataReceived, DataReceived)):
                media.append(event)
            elif _is_end(event):
                await self._hand_on(media)
                media = []
                self.puller.over()
            elif isinstance(event, StatusReceived) and event.code == STOP:
                await self._hand_on(media)
                media = []
                self.puller.stopped()
            elif isinstance(event, RefusalReceived):
                raise ClientFailed(explain(event, self.secrets))
        await self._hand_on(media)

    async def _hand_on(self, media: Sequence[Received]) -> None:
        if media:
            await self.puller.take(media)


def _is_end(event: ClientEvent) -> bool:
    return isinstance(event, StreamEofReceived) or (isinstance(event, StatusReceived) and event.code in ENDS)
