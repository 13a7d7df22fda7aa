"""Which settings change while a server runs."""

from attrs import evolve

from mmids_trio.config.live_settings import LIVE_SETTINGS, compare
from mmids_trio.config.settings import Settings

LOCAL = Settings(http_api_token="old")
OPEN = Settings(http_api_host="0.0.0.0", http_api_token="old")


def test_settings_that_are_the_same_change_nothing() -> None:
    change = compare(LOCAL, LOCAL)
    assert (change.running, change.changed, change.needs_restart) == (LOCAL, (), ())


def test_live_settings_change_and_the_others_are_listed() -> None:
    wanted = Settings(
        ffmpeg_path="/ffmpeg",
        http_api_token="new",
        publisher_timeout=5,
        changes_in_place=True,
        reload_max_disconnects=3,
        log_path="/logs",
        http_api_port=80,
    )
    change = compare(LOCAL, wanted)
    assert change.changed == LIVE_SETTINGS
    assert change.needs_restart == ("http_api_port", "log_path")
    assert change.running == Settings(
        ffmpeg_path="/ffmpeg",
        http_api_token="new",
        publisher_timeout=5,
        changes_in_place=True,
        reload_max_disconnects=3,
    )


def test_what_needs_a_restart_is_listed_until_there_was_one() -> None:
    wanted = evolve(LOCAL, log_path="/logs")
    assert compare(compare(LOCAL, wanted).running, wanted).needs_restart == ("log_path",)


def test_a_token_does_not_go_while_other_machines_reach_the_api() -> None:
    change = compare(OPEN, Settings())
    assert change.running == OPEN
    assert set(change.needs_restart) == {"http_api_host", "http_api_token"}


def test_a_token_may_go_where_only_this_machine_reaches_the_api() -> None:
    assert compare(LOCAL, Settings()).running.http_api_token is None
