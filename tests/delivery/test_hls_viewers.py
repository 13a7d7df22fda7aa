"""Sessions of HLS: bounded, found by their id and key, and forgotten in time."""

import pytest

from mmids_trio.delivery.hls_viewers import ENDS_AT_ONCE, MAX_OF_ADDRESS, HlsViewer, HlsViewers, rest_of


def viewers() -> HlsViewers:
    count = iter(range(1 << 20))
    return HlsViewers(lambda size: next(count).to_bytes(size, "big"))


def come(there: HlsViewers, host: str = "192.0.2.1", query: str = "", now: float = 0.0) -> HlsViewer:
    viewer = there.begin("key", host, query, object(), now)
    there.admit(viewer)
    return viewer


def test_one_address_has_a_part_of_all_sessions() -> None:
    there = viewers()
    last = [come(there) for _ in range(MAX_OF_ADDRESS)][-1]
    assert not there.has_room("192.0.2.1")
    assert there.has_room("192.0.2.2")
    last.dismiss("kicked")
    assert there.has_room("192.0.2.1")
    assert there.turned_away == 1


def test_who_asks_for_nothing_is_forgotten() -> None:
    there = viewers()
    silent, active = come(there), come(there)
    ended: list[str] = []
    silent.when_over(lambda: ended.append("silent"))
    assert there.find(f"session={active.id}", "key", 5.0) is active
    assert not there.end_silent(10.0)
    assert there.all == [active]
    assert ended == ["silent"]
    silent.dismiss("again")
    assert ended == ["silent"]


def test_many_who_are_silent_go_in_portions() -> None:
    there = viewers()
    for _ in range(2 * ENDS_AT_ONCE + 1):
        come(there)
    assert there.end_silent(10.0)
    assert len(there) == ENDS_AT_ONCE + 1
    assert there.end_silent(10.0)
    assert not there.end_silent(10.0)
    assert not len(there)


def test_what_was_granted_to_who_was_sent_away_meanwhile_is_let_go_of_at_once() -> None:
    there = viewers()
    viewer = there.begin("key", "192.0.2.1", "", object(), 0.0)
    viewer.dismiss("kicked")
    ended: list[str] = []
    viewer.when_over(lambda: ended.append("approval"))
    assert ended == ["approval"]


def test_a_session_is_of_one_key() -> None:
    there = viewers()
    viewer = come(there)
    assert there.find(f"session={viewer.id}", "other", 0.0) is None
    assert there.find("session=" + "0" * 31 + "f", "key", 0.0) is None
    assert there.find("", "key", 0.0) is None


@pytest.mark.parametrize(
    ("query", "has_session", "rest"),
    [
        ("", False, ""),
        ("session=" + "a" * 32, True, ""),
        ("token=x&session=" + "a" * 32 + "&b", True, "token=x&b"),
        ("session=short", False, ""),
        ("xsession=" + "a" * 32, False, "xsession=" + "a" * 32),
        ("a=1&_HLS_msn=2&_HLS_part=3", False, "a=1"),
        ('a="<>\\', False, "a=%22%3C%3E%5C"),
    ],
)
def test_what_is_ours_in_a_query_is_found_and_the_rest_can_stand_in_a_playlist(
    query: str, has_session: bool, rest: str
) -> None:
    there = HlsViewers(lambda size: b"\xaa" * size)
    viewer = come(there)
    assert there.find(query, "key", 0.0) is (viewer if has_session else None)
    assert rest_of(query) == rest
