"""What the program says when it has started: addresses that may be used as they stand, for here and for elsewhere."""

import shlex
from collections.abc import Callable

import pytest

from mmids_trio.cli.welcome import (
    MAX_LINES,
    QUERIES,
    Reach,
    address_for_others,
    addresses,
    open_doors,
    pages,
    welcome,
)
from mmids_trio.config.parser import parse
from mmids_trio.definitions import WorkflowDefinition

OUTSIDE = "192.0.2.7"


def workflows(*steps: str, name: str = "w") -> tuple[WorkflowDefinition, ...]:
    """One workflow with these steps."""
    document = parse("\n    ".join([f"workflow {name} {{", *steps]) + "\n}\n", "test")
    assert document.problems == ()
    return document.workflows


def said(*steps: str, bound: str | None = None, port: Callable[[int], int | None] = lambda port: port) -> str:
    """The welcome of a server with this workflow on a machine that others call by `OUTSIDE`."""
    reach, found = Reach.of(bound, lambda: OUTSIDE), workflows(*steps)
    return welcome(list(addresses(found, reach.host, port)), None, reach, open_doors(found))


def tried(text: str) -> list[str]:
    """The URLs in the commands to try, as a shell reads them."""
    commands = text.partition("Try it:\n")[2].splitlines()
    return [shlex.split(line)[-1] for line in commands]


def test_commands_to_try_have_a_key_in_the_place_of_the_key_alone() -> None:
    text = said("rtmp_receive rtmp_app=KEYNOTE stream_key=*", "rtmp_watch rtmp_app=KEYNOTE stream_key=KEY")
    assert "publish  rtmp://127.0.0.1/KEYNOTE/KEY " in text
    assert tried(text) == ["rtmp://127.0.0.1/KEYNOTE/test", "rtmp://127.0.0.1/KEYNOTE/KEY"]


def test_urls_go_through_a_shell_as_they_are() -> None:
    text = said(
        "rtmp_receive rtmp_app=live stream_key=* publish_token=abcdefgh",
        'rtmp_watch rtmp_app="a b" stream_key=it\'s play_key=abcdefghijklmnop',
    )
    assert tried(text) == [
        "rtmp://127.0.0.1/live/test?token=TOKEN",
        "rtmp://127.0.0.1/a b/it's?expires=TIME&token=SIGNATURE",
    ]
    assert "'rtmp://127.0.0.1/live/test?token=TOKEN'" in text


@pytest.mark.parametrize(
    ("bound", "host", "others"),
    [
        (None, "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "[::1]", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("192.0.2.9", "192.0.2.9", False),
        ("2001:db8::9", "[2001:db8::9]", False),
        ("media.example.com", "media.example.com", False),
    ],
)
def test_addresses_are_those_from_here_with_a_word_for_others(bound: str | None, host: str, others: bool) -> None:
    text = said("rtmp_receive rtmp_app=live stream_key=* port=1936", bound=bound)
    assert f"publish  rtmp://{host}:1936/live/KEY" in text
    assert (f"From other machines: {OUTSIDE} in place of " in text) == others


def test_a_machine_without_a_network_has_no_address_for_others() -> None:
    reach = Reach.of(None, lambda: None)
    found = workflows("rtmp_receive rtmp_app=live stream_key=*")
    assert "From other machines" not in welcome(list(addresses(found, reach.host, lambda port: port)), None, reach)
    assert (address_for_others() or "") not in ("127.0.0.1", "0.0.0.0")


@pytest.mark.parametrize(
    ("step", "bound", "is_open"),
    [
        ("rtmp_receive rtmp_app=live stream_key=*", None, True),
        ("rtmp_receive rtmp_app=live stream_key=* deny_ips=192.0.2.1", "192.0.2.9", True),
        ("rtmp_receive rtmp_app=live stream_key=*", "127.0.0.1", False),
        ("rtmp_receive rtmp_app=live stream_key=*", "localhost", False),
        ("rtmp_receive rtmp_app=live stream_key=* publish_token=abcdefgh", None, False),
        ("rtmp_receive rtmp_app=live stream_key=* allow_ips=10.0.0.0/8", None, False),
        ("rtmp_receive rtmp_app=live stream_key=* reactor=lookup", None, False),
        ("rtmp_watch rtmp_app=live stream_key=*", None, False),
    ],
)
def test_a_door_that_is_open_to_everybody_is_told_of(step: str, bound: str | None, is_open: bool) -> None:
    text = said(step, bound=bound)
    assert ("Warning: anybody who reaches this machine may publish (workflow w)." in text) == is_open
    assert ("publish_token, allow_ips, reactor, or the setting rtmp_host 127.0.0.1" in text) == is_open


def test_many_open_doors_and_addresses_are_told_of_in_a_few_lines() -> None:
    found = [
        workflow
        for number in range(40)
        for workflow in workflows(f"rtmp_receive rtmp_app=a{number} stream_key=*", name=f"w{number}")
    ]
    text = welcome(
        list(addresses(found, "127.0.0.1", lambda port: port)), None, Reach.of(None, lambda: None), open_doors(found)
    )
    assert f"... and {40 - MAX_LINES} more addresses" in text
    assert "(workflows w0, w1, w2 and 37 more)" in text
    assert len(text.splitlines()) < MAX_LINES + 10


def test_what_has_no_port_is_not_named() -> None:
    text = said("rtmp_receive rtmp_app=live stream_key=*", "rtmp_watch rtmp_app=live stream_key=*", port=lambda _: None)
    assert "rtmp://" not in text


def page_lines(*steps: str, bound: str | None = None) -> str:
    found, rtmp, web = workflows(*steps), Reach.of(None, lambda: OUTSIDE), Reach.of(bound, lambda: OUTSIDE)
    lines = [*addresses(found, rtmp.host, lambda port: port), *pages(found, web, 8080, lambda port: port)]
    return welcome(lines, None, rtmp)


def test_a_page_has_the_address_by_which_others_reach_it() -> None:
    text = page_lines("rtmp_receive rtmp_app=live stream_key=*", "http_watch app=live stream_key=*")
    assert f"page     http://{OUTSIDE}:8080/live/KEY" in text
    assert text.endswith(f"  and open http://{OUTSIDE}:8080/live/test")
    assert "http://127.0.0.1:8080/live/KEY" in page_lines("http_watch app=live stream_key=*", bound="127.0.0.1")


@pytest.mark.parametrize(
    ("step", "address"),
    [
        ("http_watch app=live stream_key=* port=80", f"http://{OUTSIDE}/live/KEY "),
        ("http_watch app=live stream_key=* port=443 https", f"https://{OUTSIDE}/live/KEY "),
        ('http_watch app="a b/c" stream_key="d e/f"', f"http://{OUTSIDE}:8080/a%20b/c/d%20e%2Ff "),
        ("http_watch app=live stream_key=* play_key=secret", f"/live/KEY{QUERIES['play_key']} "),
    ],
)
def test_the_address_of_a_page_is_one_that_a_browser_takes(step: str, address: str) -> None:
    assert address in page_lines(step)


def test_only_rtmp_has_an_address_that_others_write_otherwise() -> None:
    assert "From other machines" not in page_lines("http_watch app=live stream_key=*")
