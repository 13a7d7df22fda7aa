"""The media listener: ports that are open while a step serves media over HTTP on them, and their connections.

Ports, registrations, address rules, the limit of connections and TLS are those of the RTMP server; what is said on a
connection is not.
"""

import trio

from mmids_trio.delivery.session import MediaBounds, MediaSession
from mmids_trio.net.certificates import Certificates
from mmids_trio.net.crowd_reader import CrowdReader
from mmids_trio.net.limits import ConnectionLimiter
from mmids_trio.net.transport import Network, Transport
from mmids_trio.rejections import RejectCounters
from mmids_trio.rtmp.server.registrations import HTTP_NAMES
from mmids_trio.rtmp.server.server import Entrance, RtmpServer


class MediaServer(RtmpServer):
    """Serves HTTP where an `RtmpServer` serves RTMP. `bounds`: what its sessions share."""

    def __init__(
        self,
        network: Network,
        bounds: MediaBounds,
        *,
        host: str | None = None,
        limiter: ConnectionLimiter | None = None,
        certificates: Certificates | None = None,
        rejections: RejectCounters | None = None,
    ) -> None:
        super().__init__(
            network,
            host=host,
            limiter=limiter,
            certificates=certificates,
            rejections=rejections,
            protocols=HTTP_NAMES,
        )
        self._media_bounds = bounds
        self._crowd = CrowdReader()

    def _start_helpers(self, nursery: trio.Nursery) -> None:
        """The RTMP server warns of certificates, which are the same."""
        nursery.start_soon(self._crowd.run)

    async def _converse(self, transport: Transport, port: int) -> None:
        """Serve a client that may be here."""
        tls = self._registrations.wants_tls(port)
        transport = await self._gate.admit(transport, port, tls)
        await MediaSession(
            transport, port, Entrance(self._registrations, tls), self.rejections, self._media_bounds, self._crowd
        ).run()
