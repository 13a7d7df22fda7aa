"""Who may hold what at the same time, and how claims change hands. Pure: no server runs."""

from functools import partial

import pytest

from mmids_trio.errors import RegistrationConflict
from mmids_trio.rtmp.server.registrations import ANY_KEY, Claim, Owner, Registration, Registrations, Role
from tests.support.calls import calls

ONE, OTHER, NEWER = Owner("one", "1"), Owner("other", "2"), Owner("one", "3")


@pytest.fixture
def registrations() -> Registrations[str]:
    """Endpoints are texts here."""
    return Registrations()


def wanted(
    key: str = "key", role: Role = Role.PUBLISH, app: str = "live", port: int = 1935, *, tls: bool = False
) -> Registration:
    return Registration(role, port, app, key, tls=tls)


def one_is_leaving(workflow: str, step_id: str) -> bool:
    return (workflow, step_id) == ("one", "1")


def committed(registrations: Registrations[str], registration: Registration, owner: Owner = ONE) -> Claim[str]:
    claim = registrations.reserve(registration, owner, f"{owner.step_id} serves {registration.key}")
    registrations.commit(claim)
    return claim


def served(registrations: Registrations[str], key: str, role: Role = Role.PUBLISH) -> str | None:
    """Who serves, in brackets where it is only reserved."""
    claim = registrations.find(role, 1935, "live", key)
    if claim is None:
        return None
    return claim.endpoint if claim.committed else f"({claim.endpoint})"


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("first", "second"), [("a", "a"), (ANY_KEY, "a"), ("a", ANY_KEY), (ANY_KEY, ANY_KEY)])
@pytest.mark.parametrize("owner", [ONE, OTHER])
def test_overlapping_keys_of_one_role_exclude_each_other_also_within_a_workflow(
    registrations: Registrations[str], role: Role, first: str, second: str, owner: Owner
) -> None:
    committed(registrations, wanted(first, role), ONE)
    with pytest.raises(RegistrationConflict) as caught:
        registrations.reserve(wanted(second, role), owner, "")
    assert str(caught.value) == (
        f"port 1935, application 'live', stream key '{second}' for {role.value} is taken by workflow 'one' "
        f"(step id 1, stream key '{first}')"
    )


@pytest.mark.parametrize(
    "second",
    [
        wanted("b"),
        wanted("a", Role.WATCH),
        wanted(ANY_KEY, Role.WATCH),
        wanted("a", app="other"),
        wanted(ANY_KEY, app="live/room"),
        wanted("a", port=1936),
        wanted(ANY_KEY, port=443, tls=True),
    ],
    ids=str,
)
def test_what_does_not_overlap_stands_side_by_side(registrations: Registrations[str], second: Registration) -> None:
    committed(registrations, wanted("a"), ONE)
    committed(registrations, second, OTHER)
    assert served(registrations, "a") == "1 serves a"


@pytest.mark.parametrize("app", ["/live/", "live/_definst_", "/live/_definst_/", "live?token=x"])
def test_an_application_is_registered_as_clients_ask_for_it(registrations: Registrations[str], app: str) -> None:
    committed(registrations, wanted("a", app=app))
    assert served(registrations, "a") == "1 serves a"
    assert Registration(Role.WATCH, 1935, "/rooms/one/", "a").app == "rooms/one"


@pytest.mark.parametrize(("first", "second", "words"), [(False, True, "RTMP by"), (True, False, "RTMPS by")])
def test_a_port_is_either_rtmp_or_rtmps(
    registrations: Registrations[str], first: bool, second: bool, words: str
) -> None:
    claim = committed(registrations, wanted("a", tls=first), ONE)
    with pytest.raises(RegistrationConflict) as caught:
        registrations.reserve(wanted("b", Role.WATCH, app="x", tls=second), OTHER, "")
    assert f"port 1935 is used for {words} workflow 'one' (step id 1)" in str(caught.value)
    registrations.release(claim)
    registrations.reserve(wanted("b", Role.WATCH, app="x", tls=second), OTHER, "")


def test_a_port_turns_from_rtmp_to_rtmps_when_all_that_use_it_give_way(registrations: Registrations[str]) -> None:
    old = committed(registrations, wanted("a"), ONE)
    new = registrations.reserve(wanted("b", tls=True), NEWER, "new", one_is_leaving)
    with pytest.raises(RegistrationConflict, match="is used for RTMPS by workflow 'one'"):
        registrations.reserve(wanted("c"), OTHER, "")
    assert not registrations.wants_tls(1935)
    registrations.commit(new)
    assert registrations.wants_tls(1935)
    assert registrations.find(Role.PUBLISH, 1935, "live", "b") is None
    assert registrations.find(Role.PUBLISH, 1935, "live", "b", tls=True) is new
    registrations.release(old)
    registrations.release(new)
    registrations.reserve(wanted("a"), OTHER, "")
    assert not registrations.wants_tls(1935)


def test_a_port_stays_what_it_is_if_it_does_not_turn_after_all(registrations: Registrations[str]) -> None:
    committed(registrations, wanted("a", tls=True), ONE)
    claim = registrations.reserve(wanted("a"), NEWER, "new", one_is_leaving)
    assert registrations.wants_tls(1935)
    registrations.release(claim)
    assert registrations.wants_tls(1935)
    with pytest.raises(RegistrationConflict, match="is used for RTMPS by workflow 'one'"):
        registrations.reserve(wanted("b"), NEWER, "new")


def test_a_port_that_somebody_else_uses_too_does_not_turn(registrations: Registrations[str]) -> None:
    committed(registrations, wanted("a"), ONE)
    committed(registrations, wanted("b"), OTHER)
    with pytest.raises(RegistrationConflict, match="is used for RTMP by workflow 'other'"):
        registrations.reserve(wanted("a", tls=True), NEWER, "new", one_is_leaving)


def test_a_reservation_excludes_like_a_claim(registrations: Registrations[str]) -> None:
    registrations.reserve(wanted(), ONE, "")
    with pytest.raises(RegistrationConflict):
        registrations.reserve(wanted(), OTHER, "")


def test_who_leaves_serves_until_the_reservation_is_committed(registrations: Registrations[str]) -> None:
    committed(registrations, wanted(ANY_KEY), ONE)
    claim = registrations.reserve(wanted("key"), NEWER, "new", one_is_leaving)
    assert served(registrations, "key") == served(registrations, "any") == "1 serves *"
    registrations.commit(claim)
    assert served(registrations, "key") == "new"
    assert served(registrations, "any") is None


def test_a_reservation_given_up_leaves_the_holder_as_it_was(registrations: Registrations[str]) -> None:
    committed(registrations, wanted(), ONE)
    registrations.release(registrations.reserve(wanted(), NEWER, "new", one_is_leaving))
    assert served(registrations, "key") == "1 serves key"
    registrations.release(registrations.reserve(wanted(), NEWER, "newer", one_is_leaving))


def test_what_is_reserved_over_a_leaving_holder_is_nobody_elses(registrations: Registrations[str]) -> None:
    old = committed(registrations, wanted(), ONE)
    registrations.reserve(wanted(), NEWER, "new", one_is_leaving)
    registrations.release(old)  # it may end before the swap
    with pytest.raises(RegistrationConflict, match="step id 3"):
        registrations.reserve(wanted(), OTHER, "")
    assert served(registrations, "key") == "(new)"


def test_two_new_steps_cannot_reserve_the_same(registrations: Registrations[str]) -> None:
    committed(registrations, wanted(), ONE)
    registrations.reserve(wanted(), NEWER, "", lambda *_: True)
    with pytest.raises(RegistrationConflict, match="step id 3"):
        registrations.reserve(wanted(), Owner("one", "4"), "", lambda *_: True)


def test_two_exact_keys_may_follow_a_wildcard(registrations: Registrations[str]) -> None:
    committed(registrations, wanted(ANY_KEY), ONE)
    claims = [registrations.reserve(wanted(key), NEWER, f"new {key}", one_is_leaving) for key in "ab"]
    for claim in claims:
        registrations.commit(claim)
    assert [served(registrations, key) for key in "abc"] == ["new a", "new b", None]


def test_a_wildcard_may_follow_several_exact_keys(registrations: Registrations[str]) -> None:
    for key in "ab":
        committed(registrations, wanted(key), ONE)
    registrations.commit(registrations.reserve(wanted(ANY_KEY), NEWER, "new", one_is_leaving))
    assert [served(registrations, key) for key in "abc"] == ["new"] * 3


def test_who_waits_for_a_reservation_is_told_once_however_it_ends(registrations: Registrations[str]) -> None:
    told: list[str] = []
    for number, settle in enumerate((registrations.commit, registrations.release)):
        claim = registrations.reserve(wanted(str(number)), ONE, "")
        claim.on_settled.append(partial(told.append, settle.__name__))
        settle(claim)
        registrations.release(claim)
    assert told == ["commit", "release"]


def test_the_holder_that_a_commitment_replaces_may_release_later(registrations: Registrations[str]) -> None:
    old = committed(registrations, wanted(), ONE)
    registrations.commit(registrations.reserve(wanted(), NEWER, "new", one_is_leaving))
    registrations.release(old)
    assert served(registrations, "key") == "new"
    assert registrations.uses_port(1935)


def test_ports_and_applications_are_known_from_the_first_registration_to_the_last(
    registrations: Registrations[str],
) -> None:
    assert registrations.is_empty
    publishers = registrations.reserve(wanted(), ONE, "")
    watchers = committed(registrations, wanted("x", Role.WATCH), OTHER)
    registrations.release(publishers)
    assert registrations.has_application(1935, "live")
    assert not registrations.has_application(1935, "Live")
    assert not registrations.has_application(1936, "live")
    assert registrations.uses_port(1935)
    registrations.release(watchers)
    assert not registrations.has_application(1935, "live")
    assert not registrations.uses_port(1935)
    assert registrations.is_empty


def test_what_is_expected_is_waited_for_and_keeps_nothing_from_anybody(registrations: Registrations[str]) -> None:
    expected = registrations.expect(wanted("*"))
    assert registrations.expected(Role.PUBLISH, 1935, "live", "any") is expected
    for other in (("watchers", "live", False), ("publishers", "other", False), ("publishers", "live", True)):
        role, app, tls = other
        assert registrations.expected(Role(role), 1935, app, "any", tls=tls) is None
    assert registrations.has_application(1935, "live")
    assert not registrations.uses_port(1935)
    registrations.reserve(wanted("any"), OTHER, "")
    looks: list[None] = []
    expected.on_settled.append(lambda: looks.append(None))
    registrations.forget(expected)
    registrations.forget(expected)
    assert len(looks) == 1
    assert registrations.expected(Role.PUBLISH, 1935, "live", "any") is None


def calls_of_a_registration(registrations: Registrations[str]) -> int:
    """What one exact key takes from its reservation to its release."""

    def come_and_go() -> None:
        claim = registrations.reserve(wanted("one more"), ONE, "")
        registrations.commit(claim)
        registrations.find(Role.PUBLISH, 1935, "live", "one more")
        registrations.find(Role.PUBLISH, 1935, "live", "another")
        registrations.release(claim)

    return calls(come_and_go).total()


def test_a_key_costs_the_same_however_many_its_application_has(registrations: Registrations[str]) -> None:
    alone = calls_of_a_registration(registrations)
    for number in range(1_000):
        committed(registrations, wanted(str(number)))
    assert calls_of_a_registration(registrations) <= alone
