"""The end of a registration: every client is told, and waited for, but not for ever."""

import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import DISMISS_SECONDS, NO_QUERY, Client, Endpoint, Viewing
from mmids_trio.rtmp.server.registrations import Owner

OWNER = Owner("w", "1")


class Handler:
    async def watch(self, key: str, client: Client, query: Query = NO_QUERY) -> Viewing:
        raise AssertionError("nobody asks")


@define(eq=False)
class Guest:
    """Leaves after a while."""

    endpoint: Endpoint
    nursery: trio.Nursery
    seconds: float = 0
    peer_host: str = "192.0.2.1"
    mark: object = field(factory=object)
    dismissals: int = field(default=0, init=False)

    def dismiss(self, reason: str = "") -> None:
        self.dismissals += 1
        self.nursery.start_soon(self._leave)

    async def _leave(self) -> None:
        await trio.sleep(self.seconds)
        self.endpoint.detach(self)


async def test_without_clients_there_is_nothing_to_wait_for(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    await Endpoint(OWNER, Handler()).dismiss_all()
    assert trio.current_time() == began


async def test_all_clients_are_told_at_once_and_waited_for(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    endpoint = Endpoint(OWNER, Handler())
    guests = [Guest(endpoint, nursery, seconds) for seconds in (0.5, 1, 0)]
    for guest in guests:
        endpoint.attach(guest)
        endpoint.attach(guest)  # a client that both publishes and plays, say
    began = trio.current_time()
    await endpoint.dismiss_all()
    assert trio.current_time() - began == 1
    assert [guest.dismissals for guest in guests] == [1, 1, 1]


async def test_who_has_left_is_not_told(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    endpoint = Endpoint(OWNER, Handler())
    guest = Guest(endpoint, nursery)
    endpoint.attach(guest)
    endpoint.detach(guest)
    await endpoint.dismiss_all()
    assert guest.dismissals == 0


async def test_a_client_that_does_not_leave_is_not_waited_for_for_ever(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    endpoint = Endpoint(OWNER, Handler())
    endpoint.attach(Guest(endpoint, nursery, 1000))
    began = trio.current_time()
    await endpoint.dismiss_all()
    assert trio.current_time() - began == DISMISS_SECONDS
    nursery.cancel_scope.cancel()


async def test_a_cancelled_end_still_waits_for_its_clients(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    endpoint = Endpoint(OWNER, Handler())
    endpoint.attach(Guest(endpoint, nursery, 1))
    began = trio.current_time()
    with trio.CancelScope() as scope:
        scope.cancel()
        await endpoint.dismiss_all()
    assert trio.current_time() - began == 1
