"""The dashboard's page, and what a browser lets it do.

All its files stand below one folder whose name is made of all their contents. So plain modules import each other by
relative paths, and a browser may keep every file for ever.
"""

from collections.abc import Mapping
from importlib.resources import files

from attrs import frozen

from mmids_trio.delivery.page.assets import Asset, Assets

FOLDER = "dashboard"
PAGE = "index.html"
PLACEHOLDER = "{{assets}}"
FOR_EVER = "public, max-age=31536000, immutable"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""What the page may do: nothing but run its own files and ask its own server. A text can never become a script."""

PAGE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@frozen
class Dashboard:
    """The page and its files."""

    page: Asset
    files: Assets


PLAYER = "vendor/mpegts.js"
"""What plays previews, of the player's page."""


def load_dashboard(root: str) -> Dashboard:
    """Read them. `root`: the path below which their folder is served. Blocks."""
    folder = files(__package__) / FOLDER
    player = Assets.load().by_name[PLAYER]
    assets = Assets({**Assets.load(folder).by_name, PLAYER: Asset(player.type, as_module(player.data, "mpegts"))})
    text = (folder / PAGE).read_text("utf-8").replace(PLACEHOLDER, f"{root}/{assets.version}")
    return Dashboard(Asset("text/html; charset=utf-8", text.encode()), assets)


def as_module(script: bytes, name: str) -> bytes:
    """A script that puts `name` into `this`, as a module: the page may add no element that loads a script."""
    return b"const place = {};\n(function () {\n%b\n}).call(place);\nexport default place.%b;\n" % (
        script,
        name.encode(),
    )
