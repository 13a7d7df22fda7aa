"""What the directory of streams and clients hears, told as events: the directory is pure and knows no events."""

from collections.abc import Callable
from typing import Literal

import trio
from attrs import frozen

from mmids_trio.errors import shortened
from mmids_trio.on_air.directory import ClientEntry, StreamEntry
from mmids_trio.on_air.views import ClientNow
from mmids_trio.workflow.events import ClientJoined, ClientLeft, HubEvent, StreamChanged


@frozen
class OnAirEvents:
    """See `on_air.directory.Listener`."""

    _publish: Callable[[HubEvent], None]

    def joined(self, client: ClientEntry) -> None:
        """See `Listener`."""
        owner, peer, asked = client.owner, client.peer, client.asked
        self._publish(
            ClientJoined(
                owner.workflow,
                owner.step_id,
                client.id,
                asked.role,
                peer.protocol,
                peer.address,
                asked.key,
                asked.token,
            )
        )

    def left(self, client: ClientEntry, last: ClientNow, seconds: float, why: str) -> None:
        """See `Listener`."""
        owner, peer, asked = client.owner, client.peer, client.asked
        self._publish(
            ClientLeft(
                owner.workflow,
                owner.step_id,
                client.id,
                asked.role,
                peer.protocol,
                peer.address,
                asked.key,
                round(seconds, 3),
                last.bytes,
                why,
            )
        )

    def changed(self, stream: StreamEntry, kind: Literal["video", "audio"]) -> None:
        """See `Listener`."""
        tracks = {track.kind: track for track in stream.meter.tracks(trio.current_time())}
        if (track := tracks.get(kind)) is not None:
            self._publish(
                StreamChanged(
                    stream.owner.workflow,
                    stream.owner.step_id,
                    stream.id,
                    shortened(stream.name),
                    kind,
                    track.codec,
                    track.width,
                    track.height,
                    track.sample_rate,
                    track.channels,
                )
            )
