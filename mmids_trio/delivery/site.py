"""What the media listener asks for besides media: the page of a stream, the page's files, the thumbnail."""

from typing import Protocol

from mmids_trio.delivery.answers import Answer, text_answer
from mmids_trio.delivery.places import Place
from mmids_trio.delivery.requests import Request


class Site(Protocol):
    """Answers without waiting; headers of the connection (CORS, Date) are added."""

    def page(self, place: Place, request: Request) -> Answer:
        """The page of a key that some step serves, whether or not anything is on the air."""

    def asset(self, name: str, request: Request) -> Answer | None:
        """A file of the page (`/-/NAME`); `None` where there is none of that name."""


class NoSite:
    """Media alone."""

    def page(self, place: Place, request: Request) -> Answer:
        """Where the media is."""
        return text_answer(200, f"{place.key}: add .flv or /index.m3u8 to this address")

    def asset(self, name: str, request: Request) -> Answer | None:
        """Nothing."""
        return None
