"""The server's certificates: what a key and its certificates are, and the files that they are read from again.

Everything that can be wrong with the content of a file is decided from bytes alone (PKCS#12 or PEM).  New connections
alone need a certificate, so the files are looked at when one arrives, every few seconds at most; who is connected
keeps what it has.  A new file that cannot be used leaves the old certificate in place.  Of several certificates a
client gets the one for the name that it asks for (SNI, RFC 6066 §3).
"""

import os
import secrets
import ssl
import stat
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path

import structlog
import trio
from attrs import define, field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from mmids_trio.errors import StepError
from mmids_trio.offload import in_thread

log = structlog.get_logger()

CHECK_SECONDS = 10.0
"""How often the files are looked at, at most: a renewal has weeks, and looking costs two calls of `stat`."""

DAY = 86_400.0
"""Seconds between two warnings of an expired certificate."""

MAX_FILE_BYTES = 1024 * 1024
"""Size of a certificate or key file: long chains have some 20 kB."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, with forward secrecy and authenticated encryption only; those of TLS 1.3 are all like that."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_PEM_MARK = b"-----BEGIN "
_DER_SEQUENCE = b"\x30"
"""First byte of everything in DER that matters here (X.690 §8.9)."""


class CertificateError(StepError):
    """A certificate that cannot be used; says why, and which setting to look at. Never holds a password or a key."""


@frozen
class Identity:
    """A private key, its certificate, and what leads from there to an authority."""

    key: PrivateKey = field(repr=False)
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def expires(self) -> datetime:
        """The certificate's last moment, in UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def names(self) -> frozenset[str]:
        """Of hosts that it is for, in lower case; one may begin with `*.` for any label."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, ValueError):
            return frozenset()
        return frozenset(name.lower() for name in found.get_values_for_type(x509.DNSName))

    def check_validity(self, now: datetime) -> None:
        """Raises `CertificateError` if the certificate is not valid at `now`."""
        if now > self.expires:
            raise CertificateError(f"it expired on {_moment(self.expires)}")
        begin = self.certificate.not_valid_before_utc
        if now < begin:
            raise CertificateError(f"it is not valid before {_moment(begin)}")

    def pem(self, password: bytes) -> bytes:
        """Key (encrypted) and certificates, in the order that OpenSSL wants."""
        encryption = BestAvailableEncryption(password)
        parts = [self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)]
        parts += [certificate.public_bytes(Encoding.PEM) for certificate in (self.certificate, *self.chain)]
        return b"".join(parts)


def read_identity(content: bytes, key_content: bytes | None = None, password: str | None = None) -> Identity:
    """Read what `tls_cert_path` holds, told apart by content; `key_content` is what `tls_key_path` holds, if it is set.

    An empty password is none.  Raises `CertificateError`, whose message follows on the name of a file.
    """
    secret = password.encode() if password else None
    if _PEM_MARK in content:
        return _read_pem(content, key_content, secret)
    if not content.startswith(_DER_SEQUENCE):
        raise CertificateError("it is not a certificate: expected PKCS#12 or PEM")
    if key_content is not None:
        raise CertificateError("it is PKCS#12, which holds its key itself: leave out tls_key_path")
    return _read_pkcs12(content, secret)


def _read_pkcs12(content: bytes, password: bytes | None) -> Identity:
    try:
        key, certificate, others = load_key_and_certificates(content, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(_pkcs12_problem(content, password, error)) from None
    if key is None or certificate is None:
        raise CertificateError("it is PKCS#12 without a private key and its certificate")
    return _matched(key, [certificate, *others])


def _pkcs12_problem(content: bytes, password: bytes | None, error: Exception) -> str:
    if "password" in str(error):
        return "its password is wrong (tls_cert_password)" if password else "it needs a password (tls_cert_password)"
    try:
        x509.load_der_x509_certificate(content)
    except ValueError:
        return "it is damaged, or not a certificate: expected PKCS#12 or PEM"
    return "it is a certificate in DER form, without a key: expected PKCS#12 or PEM"


def _read_pem(content: bytes, key_content: bytes | None, password: bytes | None) -> Identity:
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise CertificateError("it holds no certificate that can be read") from None
    if key_content is None and b"PRIVATE KEY-----" not in content:
        raise CertificateError("it holds no private key: set tls_key_path, or name its key behind it")
    where = "its private key" if key_content is None else "the private key of tls_key_path"
    return _matched(_read_pem_key(content if key_content is None else key_content, password, where), certificates)


def _read_pem_key(content: bytes, password: bytes | None, where: str) -> object:
    for secret in (password, None):
        try:
            return load_pem_private_key(content, secret)
        except TypeError:
            if secret is None:
                raise CertificateError(f"{where} needs a password (tls_cert_password)") from None
            # A password for a key that has none: that other things in the file are protected is not our business.
        except (ValueError, UnsupportedAlgorithm) as error:
            wrong = secret is not None and "password" in str(error)
            problem = "has another password (tls_cert_password)" if wrong else "cannot be read: expected PEM"
            raise CertificateError(f"{where} {problem}") from None
    raise AssertionError("the second round returns or raises")


def _matched(key: object, certificates: Sequence[x509.Certificate]) -> Identity:
    """The identity of `key`, whichever of the certificates is its own: the order in such files varies."""
    if not isinstance(key, PrivateKey):
        raise CertificateError("its private key is of a kind that TLS does not use: expected RSA, EC or Ed25519")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for certificate in certificates:
        if _public_bytes(certificate) == public:
            return Identity(key, certificate, tuple(other for other in certificates if other is not certificate))
    raise CertificateError("its private key does not match: it belongs to another certificate")


def _public_bytes(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return b""


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


@frozen
class CertificateFiles:
    """Where the certificate is; see the settings `tls_*`."""

    certificate: Path
    password: str | None = field(default=None, repr=False)
    key: Path | None = None

    def state(self) -> "_State":
        """What changes when a file does. Raises `CertificateError`."""
        return tuple(_state_of(path) for path in (self.certificate, self.key) if path is not None)

    def read(self) -> Identity:
        """Read the files; blocks. Raises `CertificateError`."""
        content = _content(self.certificate)
        key_content = None if self.key is None else _content(self.key)
        try:
            return read_identity(content, key_content, self.password)
        except CertificateError as error:
            raise _about(self.certificate, error) from None


_State = tuple[tuple[int, int, int, int], ...]


@frozen
class _Loaded:
    identity: Identity
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


def server_context(identity: Identity) -> ssl.SSLContext:
    """What handshakes with `identity` need. The key goes through memory alone, encrypted even there.

    Raises `CertificateError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could have us compute for nothing
    context.num_tickets = 0  # connections last: resuming one would save little, and a publisher may never read tickets
    password = secrets.token_hex(32)
    descriptor = os.memfd_create("certificate")  # a file that is on no disk; OpenSSL reads nothing else
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(identity.pem(password.encode()))
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=password)
    except OSError as error:  # a refusal, or there is no /proc
        reason = getattr(error, "reason", None) or error.strerror or error
        raise CertificateError(f"OpenSSL refuses it: {reason}") from None
    finally:
        os.close(descriptor)
    return context


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
        return _Loaded(identity, server_context(identity), identity.names)
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
