"""The file of named tokens: looked at again as requests come, and changed by one program at a time.

A token that was revoked is worth nothing a second later, without a reload. All functions but `refresh` may block.
"""

import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from time import time

import structlog
import trio
from attrs import define, field

from mmids_trio.http_api.tokens import NamedToken, TokenFileError, bearer_of, read_tokens, write_tokens
from mmids_trio.moments import rfc3339
from mmids_trio.offload import in_thread
from mmids_trio.state.file import MODE, StateFile

CHECK_SECONDS = 1.0
"""How long what was read counts without a look at the file."""

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Largest file: a thousand tokens with long patterns."""

log = structlog.get_logger(__name__)

_Tokens = tuple[NamedToken, ...]
_State = tuple[int, int, int, int] | None


@define(eq=False)
class TokenFile:
    """The tokens in the file at `path`. Where there is none nobody has a token, and everybody is kept out."""

    path: Path
    _offload: Callable[[Callable[[], _Tokens]], Awaitable[_Tokens]] = in_thread
    _now: Callable[[], float] = time
    """The calendar's time, in seconds since 1970 UTC; tokens expire by it."""
    tokens: _Tokens = field(default=(), init=False)
    """Those that the file had, also those that have expired by now."""
    _state: _State | str = field(default="not read", init=False)
    """What the file was like when it was read last, or what was wrong with it."""
    _checked_at: float = field(default=-inf, init=False)
    _refreshing: trio.Lock = field(factory=trio.Lock, init=False)

    async def load(self) -> None:
        """Read it for the first time. Raises `TokenFileError`."""
        self._checked_at = trio.current_time()
        state = self._look()
        self.tokens = await self._offload(lambda: read_file(self.path))
        self._state = state
        if state is None:
            log.warning("the file of tokens is missing, so no named token is valid", path=str(self.path))

    async def refresh(self) -> None:
        """Go by the file as it is now. One that cannot be used leaves the tokens of before, which the log has."""
        async with self._refreshing:  # who comes meanwhile is not judged by what was before
            await self._refresh()

    async def _refresh(self) -> None:
        if trio.current_time() < self._checked_at + CHECK_SECONDS:
            return
        self._checked_at = trio.current_time()
        try:
            state = self._look()
            if state == self._state:
                return
            self.tokens = await self._offload(lambda: read_file(self.path))
        except TokenFileError as error:
            if self._state != str(error):
                log.error("the file of tokens cannot be used, those of before stay valid", reason=str(error))
            self._state = str(error)
            return
        self._state = state
        log.info("tokens read", path=str(self.path), tokens=len(self.tokens))

    def bearer(self, secret: bytes) -> NamedToken | None:
        """The one that this is, if it still holds."""
        found = bearer_of(secret, self.tokens)
        return found if found is not None and found.holds_at(rfc3339(self._now())) else None

    def _look(self) -> _State:
        """What changes when the file does; `None` where there is none. Raises `TokenFileError`."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.path, error.strerror or str(error)) from None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def read_file(path: Path) -> _Tokens:
    """What stands in the file, nothing where there is none. Raises `TokenFileError`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    if len(content) > MAX_FILE_BYTES:
        raise _unusable(path, f"it has more than {MAX_FILE_BYTES} bytes")
    try:
        return read_tokens(content)
    except TokenFileError as error:
        raise _unusable(path, str(error)) from None


@contextmanager
def changed(path: Path) -> Iterator[list[NamedToken]]:
    """The tokens, to be changed: written when the block ends well, whole or not at all. Raises `TokenFileError`."""
    file = StateFile(path.absolute())
    try:
        lock = os.open(file.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = list(read_file(path))
        yield tokens
        file.replace(write_tokens(tokens))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    finally:
        os.close(lock)


def _unusable(path: Path, reason: str) -> TokenFileError:
    return TokenFileError(f"the file of tokens {path} cannot be used: {reason}")
