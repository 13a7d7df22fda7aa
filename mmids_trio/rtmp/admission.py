"""Which step serves a client, and whether the client may have it."""

from typing import Protocol

import trio

from mmids_trio.guards import Guard
from mmids_trio.rtmp.endpoints import Endpoint, Refused
from mmids_trio.rtmp.protocol.requests import PlayRequest, PublishRequest
from mmids_trio.rtmp.registrations import Claim, Role

ADMISSION_SECONDS = 60.0
"""How long a client waits while what it asks for is only reserved (the specification's bound for any approval)."""

UNKNOWN = {Role.PUBLISH: "NetStream.Publish.BadName", Role.WATCH: "NetStream.Play.StreamNotFound"}
DENIED = {Role.PUBLISH: "NetStream.Publish.Denied", Role.WATCH: "NetStream.Play.Failed"}
"""Status codes for who asks for what nobody has, and for who may not have it."""

MAX_NAME_SHOWN = 100
"""Characters of a client's application or key in answers and log lines; a command may hold 64 kB of them."""


def shown(name: str) -> str:
    """A name that a client made up, as messages quote it."""
    return f"'{name}'" if len(name) <= MAX_NAME_SHOWN else f"'{name[:MAX_NAME_SHOWN]}…'"


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
                what = f"application {shown(request.app)} has no stream key {shown(request.key)} for {role.value}"
                raise Refused(UNKNOWN[role], what, Guard.UNKNOWN_NAME)
            if not claim.registration.rules.permit(peer_host):
                raise Refused(DENIED[role], f"{peer_host} is not allowed here", Guard.ADDRESS)
            if claim.committed:
                return claim.endpoint
            await _settled(claim)
    raise Refused(DENIED[role], f"{shown(request.key)} was not ready within {ADMISSION_SECONDS:.0f} seconds")


async def _settled(claim: Claim[Endpoint]) -> None:
    """Wait until a reservation has become the claim, or was given up."""
    settled = trio.Event()
    claim.on_settled.append(settled.set)
    try:
        await settled.wait()
    finally:
        if settled.set in claim.on_settled:  # the client has lost patience: it may ask again and again
            claim.on_settled.remove(settled.set)
