"""Who may not come back for a while: addresses, and streams by application and key. Pure, and bounded in number.

A ban is looked up, never searched for: an address is what connections are counted by, so an IPv6 ban is one of a /64.
Times are Unix times in seconds, as a ban may outlive its server.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from attrs import define, field, frozen

from mmids_trio.addresses import source_of
from mmids_trio.errors import MmidsError

MAX_BANS = 1000
"""More than operators tell apart; whoever needs more has a firewall, or `deny_ips`."""

LONGEST_BAN = 366 * 86_400
"""Seconds."""

BanKind = Literal["address", "stream"]


class TooManyBans(MmidsError):
    """There are as many as may be."""


@frozen(kw_only=True)
class Ban:
    """`address`: a host, or the /64 of an IPv6 one; or the application and key of a stream. The others are null."""

    id: str
    kind: BanKind
    address: str | None = None
    app: str | None = None
    key: str | None = None
    since: float
    until: float


@define(eq=False)
class Bans:
    """See the module. `now`: Unix time; `on_change`: somebody was banned, or a ban was lifted."""

    now: Callable[[], float] = field(default=lambda: 0.0)
    nonce: str = ""
    on_change: Callable[[], None] = field(default=lambda: None)
    _bans: dict[str, Ban] = field(factory=dict, init=False)
    _by_address: dict[str, Ban] = field(factory=dict, init=False)
    _by_stream: dict[tuple[str, str], Ban] = field(factory=dict, init=False)
    _count: int = field(default=0, init=False)

    def ban_address(self, host: str, seconds: float) -> Ban:
        """Keep an address out, with all that count as the same. Raises `TooManyBans`."""
        address = source_of(host)
        return self._add(self._by_address.get(address), seconds, kind="address", address=address)

    def ban_stream(self, app: str, key: str, seconds: float) -> Ban:
        """Have nobody publish that. Raises `TooManyBans`."""
        return self._add(self._by_stream.get((app, key)), seconds, kind="stream", app=app, key=key)

    def _add(self, before: Ban | None, seconds: float, **what: Any) -> Ban:
        """A ban of the same takes the place of the one before it."""
        if before is not None:
            self._forget(before)
        self._forget_expired()
        if len(self._bans) >= MAX_BANS:
            if before is not None:
                self._keep(before)
            raise TooManyBans(f"there are as many bans as may be ({MAX_BANS}); lift some, or use deny_ips")
        self._count += 1
        now = self.now()
        ban = Ban(id=f"b-{self.nonce}-{self._count}", since=now, until=now + seconds, **what)
        self._keep(ban)
        self.on_change()
        return ban

    def lift(self, name: str) -> Ban | None:
        """End the ban of that id; what it was."""
        ban = self.get(name)
        if ban is not None:
            self._forget(ban)
            self.on_change()
        return ban

    def of_address(self, host: str) -> Ban | None:
        """What keeps an address out now."""
        return self._valid(self._by_address.get(source_of(host))) if self._by_address else None

    def of_stream(self, app: str, key: str) -> Ban | None:
        """What keeps a stream from being published now."""
        return self._valid(self._by_stream.get((app, key))) if self._by_stream else None

    def get(self, name: str) -> Ban | None:
        """The ban of that id, as long as it lasts."""
        return self._valid(self._bans.get(name))

    def all(self) -> Sequence[Ban]:
        """Those that last, in the order in which they were made."""
        self._forget_expired()
        return list(self._bans.values())

    def _valid(self, ban: Ban | None) -> Ban | None:
        if ban is not None and ban.until <= self.now():
            self._forget(ban)
            return None
        return ban

    def _forget_expired(self) -> None:
        for ban in list(self._bans.values()):
            self._valid(ban)

    def _keep(self, ban: Ban) -> None:
        self._bans[ban.id] = ban
        if ban.address is not None:
            self._by_address[ban.address] = ban
        elif ban.app is not None and ban.key is not None:
            self._by_stream[ban.app, ban.key] = ban

    def _forget(self, ban: Ban) -> None:
        self._bans.pop(ban.id, None)
        if ban.address is not None:
            self._by_address.pop(ban.address, None)
        elif ban.app is not None and ban.key is not None:
            self._by_stream.pop((ban.app, ban.key), None)

    # Over a restart.

    def write(self) -> bytes:
        """All of them, to be read again."""
        return json.dumps([_as_data(ban) for ban in self.all()], indent=1).encode() + b"\n"

    def read(self, data: bytes) -> None:
        """Those of a server before this one. Raises `ValueError` for what `write` has not written."""
        try:
            listed = json.loads(data)
            bans = [Ban(**{**found, "kind": _kind(found)}) for found in listed]
            if (
                type(listed) is not list
                or len(bans) > MAX_BANS
                or not all(isinstance(ban.until, (int, float)) for ban in bans)
            ):
                raise ValueError
        except (ValueError, TypeError, AttributeError):
            raise ValueError("it does not hold bans") from None
        for ban in bans:
            self._keep(ban)


def _as_data(ban: Ban) -> Mapping[str, Any]:
    known = {"id": ban.id, "address": ban.address, "app": ban.app, "key": ban.key}
    return {**known, "since": ban.since, "until": ban.until}


def _kind(found: Mapping[str, Any]) -> BanKind:
    texts = [found.get(name) for name in ("address", "app", "key")]
    match texts:
        case [str(), None, None]:
            return "address"
        case [None, str(), str()]:
            return "stream"
    raise ValueError
