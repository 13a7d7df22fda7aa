"""Who may not come back, for how long, and over a restart; there are so many bans and no more."""

import pytest
from attrs import define

from mmids_trio.on_air.bans import MAX_BANS, Ban, Bans, TooManyBans


@define
class Calendar:
    time: float = 1_000_000.0

    def __call__(self) -> float:
        return self.time


def test_a_ban_of_an_address_is_one_of_all_that_count_as_the_same() -> None:
    bans = Bans()
    bans.ban_address("2001:db8::7", 60)
    bans.ban_address("::ffff:192.0.2.1", 60)
    assert all(bans.of_address(host) for host in ("2001:db8::1", "2001:db8::ffff:1%eth0", "192.0.2.1"))
    assert not any(bans.of_address(host) for host in ("2001:db8:0:1::7", "192.0.2.2", "somewhere"))


def test_a_ban_of_a_stream_is_one_of_both_its_names() -> None:
    bans = Bans()
    bans.ban_stream("live", "key", 60)
    assert bans.of_stream("live", "key") is not None
    assert bans.of_stream("live", "other") is bans.of_stream("stage", "key") is None


def test_it_ends_by_itself_and_when_it_is_lifted() -> None:
    calendar = Calendar()
    bans = Bans(calendar)
    short, long = bans.ban_address("192.0.2.1", 10), bans.ban_address("192.0.2.2", 20)
    calendar.time += 10
    assert bans.of_address("192.0.2.1") is bans.get(short.id) is None
    assert bans.all() == [long]
    assert bans.lift(short.id) is None
    assert bans.lift(long.id) == long
    assert bans.of_address("192.0.2.2") is None


def test_a_ban_of_the_same_takes_the_place_of_the_one_before() -> None:
    bans = Bans()
    former, latter = bans.ban_address("192.0.2.1", 10), bans.ban_address("192.0.2.1", 99)
    assert bans.all() == [latter]
    assert bans.get(former.id) is None


def test_there_are_so_many_and_those_that_are_over_do_not_count() -> None:
    calendar = Calendar()
    bans = Bans(calendar)
    for number in range(MAX_BANS):
        bans.ban_stream("live", str(number), 10 if number else 5)
    with pytest.raises(TooManyBans):
        bans.ban_address("192.0.2.1", 10)
    assert bans.of_address("192.0.2.1") is None
    assert bans.ban_stream("live", "7", 99).until == calendar.time + 99  # in the place of another
    calendar.time += 5
    bans.ban_address("192.0.2.1", 10)
    assert len(bans.all()) == MAX_BANS


def test_what_is_written_is_read_again() -> None:
    bans, again = Bans(nonce="a1"), Bans(nonce="b2")
    bans.ban_address("2001:db8::7", 60)
    bans.ban_stream("live", "kéy", 60)
    again.read(bans.write())
    assert again.all() == bans.all()
    assert again.of_address("2001:db8::8") is not None
    assert again.of_stream("live", "kéy") is not None
    new = again.ban_address("192.0.2.1", 5)
    assert new.id not in {ban.id for ban in bans.all()}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"id": "b-1"}]',
        b'[{"id": "b-1", "address": "x", "app": "y", "key": "z", "since": 1, "until": 2}]',
        b'[{"id": "b-1", "address": "x", "app": null, "key": null, "since": 1, "until": "2"}]',
        b'[{"id": "b-1", "address": 7, "app": null, "key": null, "since": 1, "until": 2}]',
    ],
)
def test_what_nobody_has_written_is_refused(data: bytes) -> None:
    bans = Bans()
    with pytest.raises(ValueError, match="does not hold bans"):
        bans.read(data)
    assert bans.all() == []


def test_each_change_is_told() -> None:
    told = list[int]()
    bans = Bans(on_change=lambda: told.append(len(bans.all())))
    ban: Ban = bans.ban_address("192.0.2.1", 60)
    bans.lift("b-none")
    bans.lift(ban.id)
    assert told == [1, 0]
