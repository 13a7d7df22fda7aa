"""Who owns which RTMP application and stream key: claims, their conflicts, and how they move over in a change.

For publishers, and separately for watchers, (port, application, key) is exclusive; the wildcard conflicts with every
key of its application.  A change to a workflow may *reserve* what a step that gives way to it still claims; the old
holder keeps serving until the reservation is committed.  Pure: no sockets, no tasks.
"""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Generic, Protocol, TypeVar

from attrs import define, field, frozen

from mmids_trio.addresses import AddressRules
from mmids_trio.errors import RegistrationConflict
from mmids_trio.rtmp.protocol.requests import normalise_app

ANY_KEY = "*"
"""The stream key that stands for all of an application's."""

RTMP_NAMES, HTTP_NAMES = ("RTMP", "RTMPS"), ("HTTP", "HTTPS")
"""What is served on ports, without TLS and with it."""

Endpoint = TypeVar("Endpoint")
"""Whatever serves the clients of a claim; nothing in here looks into it."""


class Role(Enum):
    """What a registration is for."""

    PUBLISH = "publishers"
    WATCH = "watchers"


@frozen
class Owner:
    """A step that registers."""

    workflow: str
    step_id: str


class Registrant(Protocol):
    """The step that registers, whose id may change while it is here."""

    @property
    def workflow(self) -> str:
        """Name of its workflow."""

    @property
    def step_id(self) -> str:
        """Its identity within the workflow."""


def _bare(app: str) -> str:
    bare, _query = normalise_app(app)
    return bare


@frozen
class Registration:
    """What a step wants to serve. `key` is exact or `ANY_KEY`; `tls` makes it RTMPS, for the whole port.

    `app` becomes bare, as a client's does: no slashes around it, no `/_definst_`, no query.
    """

    role: Role
    port: int
    app: str = field(converter=_bare)
    key: str
    tls: bool = False
    rules: AddressRules = field(factory=AddressRules)

    def __str__(self) -> str:
        return f"port {self.port}, application '{self.app}', stream key '{self.key}' for {self.role.value}"


@define(eq=False)
class Claim(Generic[Endpoint]):
    """One granted registration. It serves once it is `committed`; until then its clients wait."""

    registration: Registration
    owner: Registrant
    endpoint: Endpoint
    committed: bool = field(default=False, init=False)
    """Whether it serves now: no more once it is released."""
    on_settled: list[Callable[[], None]] = field(factory=list, init=False)
    """Called once, when the claim is committed or released: what waits for it looks again."""


@define(eq=False)
class Expectation:
    """What a step that is about to start will register. Its clients wait; it keeps nothing from anybody."""

    registration: Registration
    on_settled: list[Callable[[], None]] = field(factory=list, init=False)
    """Called once, when it is over, whatever came of it: what waits for it looks again."""


_Key = TypeVar("_Key")
_Item = TypeVar("_Item")
_Place = tuple[Role, int, str]
_Claims = dict[Claim[Endpoint], None]
"""A set in order of insertion."""


class Registrations(Generic[Endpoint]):
    """All claims of a server. `protocols`: what it serves is called without TLS, and with it."""

    def __init__(self, protocols: tuple[str, str] = RTMP_NAMES) -> None:
        self._protocols = protocols
        self._claims: dict[_Place, dict[str, _Claims[Endpoint]]] = {}
        """By place, then by key: thousands of keys of one application cost no more than one."""
        self._ports: dict[tuple[int, bool], _Claims[Endpoint]] = {}
        """By port, and whether they want TLS: the same for all of a port, but while it turns from one to the other."""
        self._turned: dict[int, bool] = {}
        """What the latest claim of each port wanted that was committed."""
        self._expected: dict[_Place, dict[str, dict[Expectation, None]]] = {}

    def reserve(
        self,
        registration: Registration,
        owner: Registrant,
        endpoint: Endpoint,
        is_leaving: Callable[[str, str], bool] = lambda _workflow, _step_id: False,
    ) -> Claim[Endpoint]:
        """Grant a registration, to be committed later.

        Raises `RegistrationConflict` where somebody else has it, unless the holder `is_leaving` (a step that the
        running change will stop) and does not merely hold a reservation itself.
        """
        for claim in self._ports.get((registration.port, not registration.tls), ()):
            if not _gives_way(claim, is_leaving):
                raise RegistrationConflict(_mixed_port(registration, claim, self._protocols))
        for claim in self._overlapping(registration):
            if not _gives_way(claim, is_leaving):
                raise RegistrationConflict(
                    f"{registration} is taken by workflow '{claim.owner.workflow}' (step id {claim.owner.step_id}"
                    f", stream key '{claim.registration.key}')"
                )
        granted = Claim(registration, owner, endpoint)
        keys = self._claims.setdefault(_place(registration), {})
        keys.setdefault(registration.key, {})[granted] = None
        self._ports.setdefault((registration.port, registration.tls), {})[granted] = None
        return granted

    def commit(self, claim: Claim[Endpoint]) -> None:
        """Make a reservation the claim: whoever held what it overlaps has lost it."""
        for other in list(self._overlapping(claim.registration)):
            if other is not claim and other.committed:
                self.release(other)
        claim.committed = True
        self._turned[claim.registration.port] = claim.registration.tls
        _settle(claim)

    def release(self, claim: Claim[Endpoint]) -> None:
        """Give a claim or a reservation up. Repeating it does nothing."""
        place, key = _place(claim.registration), claim.registration.key
        keys = self._claims.get(place, {})
        if claim not in keys.get(key, ()):
            return
        _remove(keys, key, claim)
        claim.committed = False
        if not keys:
            del self._claims[place]
        port = claim.registration.port
        _remove(self._ports, (port, claim.registration.tls), claim)
        if not self.uses_port(port):
            self._turned.pop(port, None)
        _settle(claim)

    @property
    def ports(self) -> list[int]:
        """On which anything is registered."""
        return sorted({port for port, _ in self._ports})

    def expect(self, registration: Registration) -> Expectation:
        """Have clients wait for a registration that will be asked for; `forget` must follow."""
        expected = Expectation(registration)
        keys = self._expected.setdefault(_place(registration), {})
        keys.setdefault(registration.key, {})[expected] = None
        return expected

    def forget(self, expected: Expectation) -> None:
        """What was expected has been committed, or will not come. Repeating it does nothing."""
        place, key = _place(expected.registration), expected.registration.key
        keys = self._expected.get(place, {})
        if expected not in keys.get(key, ()):
            return
        _remove(keys, key, expected)
        if not keys:
            del self._expected[place]
        _settle(expected)

    def expected(self, role: Role, port: int, app: str, key: str, *, tls: bool = False) -> Expectation | None:
        """What a client has to wait for that asks for what nobody has claimed or reserved yet; see `find`."""
        keys = self._expected.get((role, port, app), {})
        covering = (expected for spelling in (key, ANY_KEY) for expected in keys.get(spelling, ()))
        return next((expected for expected in covering if expected.registration.tls == tls), None)

    def find(self, role: Role, port: int, app: str, key: str, *, tls: bool = False) -> Claim[Endpoint] | None:
        """Who serves a client that asks for this: a committed claim, else a reservation to wait for, else nobody.

        `tls`: whether the client's connection is encrypted; only claims that want just that are meant.
        """
        found = None
        for claim in self._covering((role, port, app), key):
            if claim.registration.tls != tls:
                continue
            if claim.committed:
                return claim
            found = claim
        return found

    def _covering(self, place: _Place, key: str) -> Iterator[Claim[Endpoint]]:
        """What a client that asks for `key` may be meant by: claims of this very key, and of all keys."""
        keys = self._claims.get(place, {})
        for spelling in dict.fromkeys((key, ANY_KEY)):
            yield from keys.get(spelling, ())

    def _overlapping(self, registration: Registration) -> Iterator[Claim[Endpoint]]:
        """The claims that cannot stand together with a registration."""
        place = _place(registration)
        if registration.key != ANY_KEY:
            yield from self._covering(place, registration.key)
            return
        for claims in self._claims.get(place, {}).values():
            yield from claims

    def has_application(self, port: int, app: str) -> bool:
        """Whether anybody registered anything for this application, or is about to."""
        return any((role, port, app) in places for places in (self._claims, self._expected) for role in Role)

    @property
    def is_empty(self) -> bool:
        """Whether nobody holds a claim or a reservation, or is expected to."""
        return not self._claims and not self._expected

    @property
    def claims(self) -> list[Claim[Endpoint]]:
        """All claims and reservations, by port."""
        return [claim for claims in self._ports.values() for claim in claims]

    def uses_port(self, port: int) -> bool:
        """Whether any claim or reservation needs the port open."""
        return (port, False) in self._ports or (port, True) in self._ports

    def wants_tls(self, port: int) -> bool:
        """Whether a new connection to a port is to be encrypted: as its committed claims have it, else as reserved."""
        return self._turned.get(port, (port, True) in self._ports)


def _place(registration: Registration) -> _Place:
    return (registration.role, registration.port, registration.app)


def _gives_way(claim: Claim[Endpoint], is_leaving: Callable[[str, str], bool]) -> bool:
    return claim.committed and is_leaving(claim.owner.workflow, claim.owner.step_id)


def _remove(index: dict[_Key, dict[_Item, None]], key: _Key, item: _Item) -> None:
    del index[key][item]
    if not index[key]:
        del index[key]


def _settle(awaited: Claim[Endpoint] | Expectation) -> None:
    waiting, awaited.on_settled = awaited.on_settled, []
    for look_again in waiting:
        look_again()


def _mixed_port(wanted: Registration, claim: Claim[Endpoint], protocols: tuple[str, str]) -> str:
    has, wants = protocols[claim.registration.tls], protocols[wanted.tls]
    return (
        f"port {wanted.port} is used for {has} by workflow '{claim.owner.workflow}' (step id {claim.owner.step_id}), "
        f"so it cannot serve {wants} as well"
    )
