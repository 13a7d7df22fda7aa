"""Connections for tests of the fan-out alone, without a network."""

from attrs import define


@define(eq=False)
class Wire:
    """A transport that takes everything, and counts how often it was asked."""

    peer_host: str = "192.0.2.1"
    peer_port: int = 1
    takes_ahead: bool = False
    has_unsent: bool = False
    sends: int = 0

    def send_nowait(self, data: bytes | memoryview) -> int:
        self.sends += 1
        return len(data)

    async def receive_some(self, max_bytes: int) -> bytes:
        raise NotImplementedError

    def has_arrived(self, size: int) -> bool:
        raise NotImplementedError

    def receive_nowait(self, max_bytes: int) -> bytes:
        raise NotImplementedError

    async def send_all(self, data: bytes) -> None:
        raise NotImplementedError

    async def wait_writable(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
