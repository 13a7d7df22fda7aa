"""Which step serves a client, and whether the client may have it."""

from typing import Protocol

import trio

from mmids_trio.rtmp.endpoints import Endpoint, Refused
from mmids_trio.rtmp.protocol.requests import PlayRequest, PublishRequest
from mmids_trio.rtmp.registrations import Claim, Role

ADMISSION_SECONDS = 60.0
"""How long a client waits while what it asks for is only reserved (the specification's bound for any approval)."""

UNKNOWN = {Role.PUBLISH: "NetStream.Publish.BadName", Role.WATCH: "NetStream.Play.StreamNotFound"}
DENIED = {Role.PUBLISH: "NetStream.Publish.Denied", Role.WATCH: "NetStream.Play.Failed"}


class Directory(Protocol):
    """Who serves what, as far as a session needs it."""

    def find(self, role: Role, port: int, app: str, key: str) -> Claim[Endpoint] | None:
        """See `Registrations.find`."""

    def has_application(self, port: int, app: str) -> bool:
        """See `Registrations.has_application`."""


async def admit(
    directory: Directory, role: Role, port: int, request: PublishRequest | PlayRequest, peer_host: str
) -> Endpoint:
    """The endpoint that serves `request`; waits while a change that is under way has only reserved it.

    Raises `Refused`.
    """
    with trio.move_on_after(ADMISSION_SECONDS):
        while True:
            claim = directory.find(role, port, request.app, request.key)
            if claim is None:
                what = f"application '{request.app}' has no stream key '{request.key}' for {role.value}"
                raise Refused(UNKNOWN[role], what)
            if not claim.registration.rules.permit(peer_host):
                raise Refused(DENIED[role], f"{peer_host} is not allowed here")
            if claim.committed:
                return claim.endpoint
            await _settled(claim)
    raise Refused(DENIED[role], f"'{request.key}' was not ready within {ADMISSION_SECONDS:.0f} seconds")


async def _settled(claim: Claim[Endpoint]) -> None:
    """Wait until a reservation has become the claim, or was given up."""
    settled = trio.Event()
    claim.on_settled.append(settled.set)
    await settled.wait()
