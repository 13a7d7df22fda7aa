"""What a private key and its certificates are, and what TLS makes of them.

Everything that can be wrong with the content of a file is decided from bytes alone (PKCS#12 or PEM). Apart from
`certificates` because of what it imports, which a server without TLS does not need.
"""

import os
import secrets
import ssl
from collections.abc import Sequence
from datetime import datetime

from attrs import field, frozen
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

from mmids_trio.net.certificates import CertificateError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, with forward secrecy and authenticated encryption only; those of TLS 1.3 are all like that."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_PEM_MARK = b"-----BEGIN "
_DER_SEQUENCE = b"\x30"
"""First byte of everything in DER that matters here (X.690 §8.9)."""


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
            wrong = secret is not None and ("password" in str(error) or _is_encrypted(content))
            problem = "has another password (tls_cert_password)" if wrong else "cannot be read: expected PEM"
            raise CertificateError(f"{where} {problem}") from None
    raise AssertionError("the second round returns or raises")


def _is_encrypted(content: bytes) -> bool:
    """Of one in 256 wrong passwords nobody can tell that they are wrong: what they decrypt to ends as it should."""
    try:
        load_pem_private_key(content, None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        pass
    return False


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
