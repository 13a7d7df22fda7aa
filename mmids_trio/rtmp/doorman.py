"""What a new connection goes through before its session: TLS, where the port speaks it.

Apart from the server so that whoever records connections, or replays recorded ones, stands where bytes are plain.
"""

from typing import Protocol

from attrs import frozen

from mmids_trio.rtmp.certificates import Certificates
from mmids_trio.rtmp.tls import accept_tls
from mmids_trio.rtmp.transport import Transport


class Doorman(Protocol):
    """Stands between the open ports of a server and its sessions."""

    async def require_tls(self) -> None:
        """Make sure that encrypted connections can be let in. Raises `StepError` where they cannot."""

    async def admit(self, transport: Transport, port: int, tls: bool) -> Transport:
        """The connection as its session shall see it; `port` is the one that was registered.

        Raises `HandshakeFailed` and what transports raise; the connection is then closed.
        """


@frozen
class TlsDoorman:
    """The usual one."""

    certificates: Certificates

    async def require_tls(self) -> None:
        """See `Doorman`."""
        await self.certificates.require()

    async def admit(self, transport: Transport, port: int, tls: bool) -> Transport:
        """See `Doorman`."""
        if not tls:
            return transport
        try:
            context = await self.certificates.context()
        except BaseException:
            transport.close()
            raise
        return await accept_tls(transport, context)
