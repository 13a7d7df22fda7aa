"""The server's certificates: the files that they are read from, and when they are read again.

What they hold is the business of `identity`, which is imported with the first certificate.  New connections
alone need a certificate, so the files are looked at when one arrives, every few seconds at most; who is connected
keeps what it has.  A new file that cannot be used leaves the old certificate in place.  Of several certificates a
client gets the one for the name that it asks for (SNI, RFC 6066 §3).
"""

import ssl
import stat
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.errors import StepError
from mmids_trio.late import late
from mmids_trio.offload import in_thread

if TYPE_CHECKING:
    from mmids_trio.net import identity as identities
else:
    identities = late("mmids_trio.net.identity")

log = structlog.get_logger()

CHECK_SECONDS = 10.0
"""How often the files are looked at, at most: a renewal has weeks, and looking costs two calls of `stat`."""

DAY = 86_400.0
"""Seconds between two warnings of an expired certificate."""

MAX_FILE_BYTES = 1024 * 1024
"""Size of a certificate or key file: long chains have some 20 kB."""


class CertificateError(StepError):
    """A certificate that cannot be used; says why, and which setting to look at. Never holds a password or a key."""


@frozen
class CertificateFiles:
    """Where the certificate is; see the settings `tls_*`."""

    certificate: Path
    password: str | None = field(default=None, repr=False)
    key: Path | None = None

    def state(self) -> "_State":
        """What changes when a file does. Raises `CertificateError`."""
        return tuple(_state_of(path) for path in (self.certificate, self.key) if path is not None)

    def read(self) -> "identities.Identity":
        """Read the files; blocks. Raises `CertificateError`."""
        content = _content(self.certificate)
        key_content = None if self.key is None else _content(self.key)
        try:
            return identities.read_identity(content, key_content, self.password)
        except CertificateError as error:
            raise _about(self.certificate, error) from None


_State = tuple[tuple[int, int, int, int], ...]


@frozen
class _Loaded:
    identity: "identities.Identity"
    context: ssl.SSLContext
    names: frozenset[str]


@define(eq=False)
class Certificates:
    """The certificate of one server, in `files` (`None`: none is set), with those for `more` names, which have none
    themselves; `now` is the calendar's time in UTC.

    `offload` runs what reads and decrypts: that may take a tenth of a second, so by default it is done in a thread.
    """

    files: CertificateFiles | None = None
    more: "Sequence[Certificates]" = field(default=(), kw_only=True)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), kw_only=True)
    offload: Callable[[Callable[[], _Loaded]], Awaitable[_Loaded]] = field(default=in_thread, kw_only=True)
    allow_expired: bool = field(default=False, kw_only=True)
    """Whether one that has expired is served all the same, with a warning each day."""
    _loaded: _Loaded | None = field(default=None, init=False)
    _tried: "_State | str | None" = field(default=None, init=False)
    """What the files were like when they were read last, or what was wrong with them."""
    _checked_at: float = field(default=-inf, init=False)
    _is_loading: bool = field(default=False, init=False)
    _expiry_was_logged: bool = field(default=False, init=False)
    _warned_at: float = field(default=-inf, init=False)

    @property
    def expires(self) -> datetime | None:
        """When the certificate in use ends; `None` without one."""
        return None if self._loaded is None else self._loaded.identity.expires

    async def require(self) -> None:
        """Have certificates that can be used now. Raises `CertificateError`."""
        for one in self._all:
            await one._require()

    async def _require(self) -> None:
        if self.files is None:
            raise CertificateError("TLS needs a certificate, and the setting tls_cert_path names none")
        try:
            await self._refresh(self.files)
        except CertificateError as error:
            if self._loaded is None:
                raise
            self._complain(str(error))
        assert self._loaded is not None
        self._check_validity(self._loaded, self.files)

    async def reload(self) -> None:
        """Read the files again, if they are in use; logs what comes of it, and never raises for what is wrong."""
        for one in self._all:
            one._tried = None
            await one._renew()

    async def context(self) -> ssl.SSLContext:
        """For the handshake of a new connection. Something must have called `require` with success before."""
        for one in self._all:
            if trio.current_time() >= one._checked_at + CHECK_SECONDS:
                await one._renew()
        assert self._loaded is not None
        return self._loaded.context

    @property
    def _all(self) -> "Sequence[Certificates]":
        return (self, *self.more)

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """OpenSSL asks: a client has named the host that it wants. Without one of that name it gets the first."""
        found = None if name is None else self._named(name.lower().rstrip("."))
        if found is not None:
            connection.context = found

    def _named(self, name: str) -> ssl.SSLContext | None:
        for wanted in (name, f"*.{name.partition('.')[2]}"):
            for one in self._all:
                if one._loaded is not None and wanted in one._loaded.names:
                    return one._loaded.context
        return None

    async def _renew(self) -> None:
        if self.files is None or self._loaded is None or self._is_loading:
            return  # whoever comes while another one loads gets what there is
        try:
            await self._refresh(self.files)
        except CertificateError as error:
            self._complain(str(error))
        self._watch_expiry(self._loaded, self.files)

    async def _refresh(self, files: CertificateFiles) -> None:
        """Load what is in the files, if they changed since the last time. Raises `CertificateError`."""
        self._checked_at = trio.current_time()
        state = files.state()
        if self._loaded is not None and state == self._tried:
            return
        self._is_loading = True
        try:
            loaded = await self.offload(partial(_load, files))
            if self._loaded is None or self._has_expired(self._loaded):
                self._check_validity(loaded, files)
            else:  # one that is good is not given up for one that is not
                self._check_strictly(loaded, files)
            self._loaded = loaded
            if self.more:
                loaded.context.sni_callback = self._choose
        finally:
            self._is_loading = False
        self._tried, self._expiry_was_logged = state, False
        log.info("TLS certificate loaded", path=str(files.certificate), expires=loaded.identity.expires.isoformat())

    async def warn_daily(self) -> None:
        """Warn of an expired certificate that is served, each day, until cancelled; connections may be rare."""
        while self.allow_expired:
            await trio.sleep(DAY)
            for one in self._all:
                if one._loaded is not None and one.files is not None:
                    one._watch_expiry(one._loaded, one.files)

    def _has_expired(self, loaded: _Loaded) -> bool:
        return self.now() > loaded.identity.expires

    def _check_validity(self, loaded: _Loaded, files: CertificateFiles) -> None:
        """Raises `CertificateError` for one that may not be served."""
        if not (self.allow_expired and self._has_expired(loaded)):
            self._check_strictly(loaded, files)
        elif trio.current_time() >= self._warned_at + DAY:
            self._warned_at = trio.current_time()
            expired = loaded.identity.expires.isoformat()
            log.warning("TLS certificate has expired and is served", path=str(files.certificate), expired=expired)

    def _check_strictly(self, loaded: _Loaded, files: CertificateFiles) -> None:
        try:
            loaded.identity.check_validity(self.now())
        except CertificateError as error:
            raise _about(files.certificate, error) from None

    def _complain(self, problem: str) -> None:
        """Once for each problem, however many connections come."""
        if self._tried != problem:
            log.error("TLS certificate cannot be renewed, the old one stays in use", reason=problem)
        self._tried = problem

    def _watch_expiry(self, loaded: _Loaded, files: CertificateFiles) -> None:
        """Go on with a certificate that expires while it is in use: clients decide for themselves what it is worth."""
        try:
            self._check_validity(loaded, files)
        except CertificateError as error:
            if not self._expiry_was_logged:
                log.error("TLS certificate is used beyond its time", reason=str(error))
            self._expiry_was_logged = True


def check_files(files: CertificateFiles, now: datetime, *, allow_expired: bool) -> None:
    """Read the files as a server does; blocks. Raises `CertificateError` where it could not use them at `now`."""
    identity = _load(files).identity
    if allow_expired and now > identity.expires:
        return
    try:
        identity.check_validity(now)
    except CertificateError as error:
        raise _about(files.certificate, error) from None


def _load(files: CertificateFiles) -> _Loaded:
    identity = files.read()
    try:
        return _Loaded(identity, identities.server_context(identity), identity.names)
    except CertificateError as error:
        raise _about(files.certificate, error) from None


def _state_of(path: Path) -> tuple[int, int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise CertificateError(f"the certificate '{path}' cannot be used: it is not a file")
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > MAX_FILE_BYTES:
        raise CertificateError(f"the certificate '{path}' cannot be used: it has more than {MAX_FILE_BYTES} bytes")
    return content


def _unreadable(path: Path, error: OSError) -> CertificateError:
    return CertificateError(f"the certificate '{path}' cannot be read: {error.strerror or error}")


def _about(path: Path, error: CertificateError) -> CertificateError:
    return CertificateError(f"the certificate '{path}' cannot be used: {error}")
