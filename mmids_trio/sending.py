"""Sending everything over what sends without waiting: sockets, TLS, pipes and the network of tests all do it alike."""

from typing import Protocol

import trio


class Sender(Protocol):
    """The two halves of sending."""

    def send_nowait(self, data: memoryview, /) -> int:
        """Send what is taken at once: the number of bytes, 0 when it would block."""

    async def wait_writable(self) -> None:
        """Wait until `send_nowait` is worth another try (or would raise)."""


async def send_everything(sender: Sender, data: bytes) -> None:
    """Send all of `data`, and wait while nothing is taken. Always a checkpoint. Raises what `sender` raises."""
    await trio.lowlevel.checkpoint()
    rest = memoryview(data)
    while rest:
        sent = sender.send_nowait(rest)
        rest = rest[sent:]
        if not sent:
            await sender.wait_writable()
