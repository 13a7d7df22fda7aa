"""Certificates made on the spot, for tests of TLS: an authority, what it signs, and the files they come in."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import trio
from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from mmids_trio.net.certificates import CertificateFiles

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2100, 1, 1, tzinfo=UTC)
HOST = "localhost"

T = TypeVar("T")
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def a_key() -> Key:
    """A private key; elliptic curves make one in no time."""
    return ec.generate_private_key(ec.SECP256R1())


@frozen
class Made:
    """A certificate for `HOST` and 127.0.0.1, with its key and what signed it."""

    key: Key
    certificate: x509.Certificate
    authority: x509.Certificate = field(repr=False)

    def pem(self, *, chain: bool = False) -> bytes:
        """The certificate, and with `chain` the authority's behind it."""
        certificates = (self.certificate, self.authority) if chain else (self.certificate,)
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)

    def key_pem(self, password: str | None = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
        """The key."""
        return self.key.private_bytes(Encoding.PEM, form, encryption(password))

    def pkcs12(self, password: str | None = None) -> bytes:
        """Everything."""
        return serialize_key_and_certificates(
            b"test", self.key, self.certificate, [self.authority], encryption(password)
        )

    def write(self, path: Path) -> CertificateFiles:
        """Key and chain in one PEM file."""
        path.write_bytes(self.key_pem() + self.pem(chain=True))
        return CertificateFiles(path)

    def client_context(self) -> ssl.SSLContext:
        """For a client that trusts the authority, and nobody else."""
        return ssl.create_default_context(cadata=self.authority.public_bytes(Encoding.PEM).decode())


async def at_once(load: Callable[[], T]) -> T:
    """For `Certificates.offload`: in place of a thread, which the mock clock knows nothing of."""
    await trio.lowlevel.checkpoint()
    return load()


def encryption(password: str | None) -> KeySerializationEncryption:
    """How to protect a file with a password, or not."""
    return NoEncryption() if password is None else BestAvailableEncryption(password.encode())


def make(
    *, begin: datetime = BEGIN, end: datetime = END, key: Key | None = None, host: str = HOST, authority: str = "Test"
) -> Made:
    """A certificate, signed by an authority of its own."""
    root_key, own_key = a_key(), key or a_key()
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{authority} authority")])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ip_address("127.0.0.1"))])
    root_usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    root = (
        _builder(root_name, root_name, root_key, BEGIN - timedelta(days=1), END + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(root_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    own = (
        _builder(own_name, root_name, own_key, begin, end)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return Made(own_key, own, root)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
