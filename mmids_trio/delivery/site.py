"""What the media listener asks for besides media: the page of a stream, the page's files, the thumbnail."""

from collections.abc import Sequence
from typing import Protocol

import trio

from mmids_trio.delivery.answers import Answer, text_answer
from mmids_trio.delivery.places import Place
from mmids_trio.delivery.requests import Request
from mmids_trio.media.events import StreamId


class Site(Protocol):
    """Headers of the connection (CORS, Date) are added to the answers."""

    def page(self, place: Place, request: Request, formats: Sequence[str]) -> Answer:
        """The page of a key that some step serves as `formats`, whether or not anything is on the air."""

    def asset(self, name: str, request: Request) -> Answer | None:
        """A file of the page (`/-/NAME`); `None` where there is none of that name."""

    async def thumbnail(self, stream_id: StreamId | None, request: Request) -> Answer:
        """What a stream looks like, to whom may watch it; may wait for some seconds."""


class NoSite:
    """Media alone."""

    def page(self, place: Place, request: Request, formats: Sequence[str]) -> Answer:
        """Where the media is."""
        return text_answer(200, f"{place.key}: add .flv or /index.m3u8 to this address")

    def asset(self, name: str, request: Request) -> Answer | None:
        """Nothing."""
        return None

    async def thumbnail(self, stream_id: StreamId | None, request: Request) -> Answer:
        """None."""
        await trio.lowlevel.checkpoint()
        return text_answer(404, "there is no picture of this stream")
