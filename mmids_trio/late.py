"""Modules that are imported when something of them is used for the first time, as few servers need all of them.

What a server without TLS, tokens, webhooks or an API never does must not be paid for at each start, in time and in
memory. A module that is late is named twice, so that types are checked as ever:

    if TYPE_CHECKING:
        import httpx2
    else:
        httpx2 = late("httpx2")

Its names must not be needed while the module itself is imported: annotations are not, with
`from __future__ import annotations`. `tests/server/test_imports.py` holds which modules a plain server does without.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


class Late:
    """Stands for a module: looks names up in it."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> object:
        return getattr(import_module(self._module), name)


def late(module: str) -> Late:
    """What stands for `module`, which is imported with the first name that is looked up."""
    return Late(module)


@contextmanager
def without(module: str) -> Iterator[None]:
    """Has `module` look as if it were not installed to what is imported in the block; one that is there already stays.

    For libraries that take another one along where they find it, and do as well without.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # importlib's own way to say that there is none
    try:
        yield
    finally:
        del sys.modules[module]
