"""Texts that a registry keeps and must not show: compressed, and encrypted where the cluster has a secret."""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mmids_trio.errors import MmidsError

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""Of one text, as `PUT /config` has it; what was sealed elsewhere is not trusted to be smaller."""

MAX_SEALED_BYTES = 384 * 1024
"""Of one text in the registry, in base64: two of them are far below the 1.5 MiB that etcd takes in one request.

Configurations become a tenth by compression, so that is some 30,000 workflows."""

KEY_BYTES, NONCE_BYTES = 32, 12
CLEAR, SEALED = "clear:", "sealed:"


class CannotSeal(MmidsError):
    """The text is too large."""


class CannotUnseal(MmidsError):
    """The text was sealed with another secret, or is damaged."""


@frozen
class Seal:
    """Seals with what is derived from a `secret`; without one it only compresses."""

    _secret: str | None = field(repr=False)
    _entropy: Callable[[int], bytes]

    def _cipher(self) -> ChaCha20Poly1305 | None:
        if self._secret is None:
            return None
        derive = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"mmids_trio fleet")
        return ChaCha20Poly1305(derive.derive(self._secret.encode()))

    def seal(self, text: str, place: str) -> str:
        """`text` for nobody to read, and good in this `place` alone. Raises `CannotSeal`."""
        data = zlib.compress(text.encode())
        kind, cipher = CLEAR, self._cipher()
        if cipher is not None:
            nonce = self._entropy(NONCE_BYTES)
            kind, data = SEALED, nonce + cipher.encrypt(nonce, data, place.encode())
        sealed = kind + b64encode(data).decode()
        if len(sealed) > MAX_SEALED_BYTES:
            raise CannotSeal(
                f"the configuration takes {len(sealed)} bytes in the registry, and {MAX_SEALED_BYTES} are allowed"
            )
        return sealed

    def unseal(self, sealed: str, place: str) -> str:
        """The text. Raises `CannotUnseal`."""
        cipher = self._cipher()
        kind = CLEAR if cipher is None else SEALED
        try:
            if not sealed.startswith(kind):
                raise ValueError(kind)
            data = b64decode(sealed.removeprefix(kind), validate=True)
            if cipher is not None:
                data = cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], place.encode())
            return _decompressed(data).decode()
        except (ValueError, InvalidTag, zlib.error):
            message = "the fleet's configuration in the registry cannot be read; do all nodes have the same secret?"
            raise CannotUnseal(message) from None


def _decompressed(data: bytes) -> bytes:
    """Raises `ValueError` for what is incomplete, or becomes too large."""
    reader = zlib.decompressobj()
    text = reader.decompress(data, MAX_TEXT_BYTES)
    if not reader.eof:
        raise ValueError("too large or incomplete")
    return text
