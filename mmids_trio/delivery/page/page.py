"""The player's page and its files as answers of the media listener."""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from hashlib import sha256
from html import escape
from typing import Protocol

import trio
from attrs import frozen

from mmids_trio.delivery.answers import FOR_EVER, Answer, text_answer
from mmids_trio.delivery.page.assets import Asset, Assets, template
from mmids_trio.delivery.places import ASSETS, Place
from mmids_trio.delivery.requests import Request
from mmids_trio.media.events import StreamId

FRESH_SECONDS = 10
"""As long as a picture of a stream is not made anew."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)
"""Nothing inline, and nothing from elsewhere (CSP Level 3). Players hand their media to the video as a `blob:`."""

_EMBED = re.compile(r"(?:^|&)embed(?:[=&]|$)")
_SAFE = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))
"""The address may hold a token: no other server is told it."""


class Picture(Protocol):
    """What a stream looks like. `tag` is its strong entity tag."""

    @property
    def jpeg(self) -> bytes:
        """The picture."""

    @property
    def tag(self) -> str:
        """In quotes."""


Look = Callable[[StreamId], Awaitable[Picture | None]]
"""Returns a picture of a stream, or `None` where there is none; may take some seconds."""


async def no_picture(_stream_id: StreamId) -> None:
    """Of no stream."""
    await trio.lowlevel.checkpoint()


@frozen(eq=False, slots=False)
class PlayerPage:
    """See the module, and `delivery.site.Site`. Reads the files when somebody asks for the first: 2 ms."""

    look: Look = no_picture

    @cached_property
    def assets(self) -> Assets:
        """What the page loads."""
        return Assets.load()

    @cached_property
    def _template(self) -> str:
        return template()

    def page(self, place: Place, request: Request, formats: Sequence[str]) -> Answer:
        """The page of a key that is served as `formats`, the best in front.

        With `embed` in the query it is the picture alone, and may stand in anybody's frame.
        """
        is_embedded = _EMBED.search(request.query) is not None
        body = self._template.format(
            title=escape(place.key),
            # Relative, so that a proxy may put all of it below a path of its own.
            assets="../" * (request.path.count("/") - 1) + f"{ASSETS}/{self.assets.version}",
            formats=" ".join(formats),
            embed=" data-embed" if is_embedded else "",
        ).encode("utf-8", "replace")
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        headers = (
            ("Cache-Control", "no-cache"),
            ("ETag", tag),
            ("Content-Security-Policy", POLICY.format(ancestors="*" if is_embedded else "'self'")),
            *_SAFE,
        )
        if has_tag(request, tag):
            return Answer(304, headers)
        return Answer(200, (("Content-Type", "text/html; charset=utf-8"), *headers), (body,))

    def asset(self, name: str, request: Request) -> Answer | None:
        """One of the page's files."""
        found = self.assets.find(name)
        return None if found is None else _asset_answer(found, request)

    async def thumbnail(self, stream_id: StreamId | None, request: Request) -> Answer:
        """What a stream looks like, as a JPEG that may be kept as long as another one would not be made."""
        picture = None if stream_id is None else await self.look(stream_id)
        if picture is None:
            return text_answer(404, "there is no picture of this stream")
        headers = (("Cache-Control", f"public, max-age={FRESH_SECONDS}"), ("ETag", picture.tag), *_SAFE)
        if has_tag(request, picture.tag):
            return Answer(304, headers)
        return Answer(200, (("Content-Type", "image/jpeg"), *headers), (picture.jpeg,))


def has_tag(request: Request, tag: str) -> bool:
    """Whether the client has it already (RFC 9110 §13.1.2)."""
    given = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return tag in given or given == ["*"]


def _asset_answer(asset: Asset, request: Request) -> Answer:
    headers = (
        ("Content-Type", asset.type),
        ("Cache-Control", FOR_EVER),
        ("Vary", "Accept-Encoding"),
        *_SAFE,
    )
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Answer(200, (*headers, ("Content-Encoding", "gzip")), (asset.compressed(),))
    return Answer(200, headers, (asset.data,))
