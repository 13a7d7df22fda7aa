"""The files of a page (the player's, the dashboard's): read once, under a name that changes when any of them does.

Only what came with the package is there to be asked for: a name is looked up, and never opened.
"""

import gzip
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from attrs import Factory, define, frozen

TYPES = {
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
"""By the end of a file's name; files of other names are not served."""

VERSION_DIGITS = 12


@define(eq=False)
class Asset:
    """One file."""

    type: str
    data: bytes
    _compressed: bytes | None = None

    def compressed(self) -> bytes:
        """As gzip has it; made once, in some 15 ms for the largest."""
        if self._compressed is None:
            self._compressed = gzip.compress(self.data, mtime=0)
        return self._compressed


@frozen(eq=False, slots=False)
class Assets:
    """All files, by their names (`vendor/mpegts.js`)."""

    by_name: Mapping[str, Asset] = Factory(dict)

    @classmethod
    def load(cls, folder: Traversable | None = None) -> "Assets":
        """Those of a folder, of the player's page where none is given. Blocks."""
        return cls(dict(_read(folder or files("mmids_trio.delivery.page") / "files")))

    @cached_property
    def version(self) -> str:
        """Says what is in all of them. It is a part of their addresses, so they may be kept for ever."""
        digest = sha256()
        for name, asset in sorted(self.by_name.items()):
            digest.update(f"{name}\0{len(asset.data)}\0".encode())
            digest.update(asset.data)
        return digest.hexdigest()[:VERSION_DIGITS]

    def find(self, address: str) -> Asset | None:
        """The file at `<version>/<name>`; `None` where there is none, or of another version."""
        version, _, name = address.partition("/")
        return self.by_name.get(name) if version == self.version else None


def template() -> str:
    """The page itself, with names in braces where it says what it is the page of. Blocks."""
    return (files("mmids_trio.delivery.page") / "files" / "page.html").read_text("utf-8")


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        ending = entry.name.rpartition(".")[2]
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif ending in TYPES:
            yield prefix + entry.name, Asset(TYPES[ending], entry.read_bytes())
