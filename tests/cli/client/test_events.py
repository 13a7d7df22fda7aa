"""`events` against a scripted server: what it asks for, prints, and does when the stream is lost."""

from collections.abc import Iterable

import httpx2
import pytest
from attrs import define, field

from mmids_trio.cli.commands import events as events_command
from mmids_trio.http_api.event_stream import render_event, render_heartbeat, render_start
from tests.support.commands import Result, invoke, scripted


@define
class Feed:
    """Answers requests one after the other with these bodies; a `None` refuses the connection."""

    bodies: list[bytes | None]
    asked: list[tuple[str | None, str]] = field(factory=list)
    """`Last-Event-ID` and `types` of each request."""

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Play the server."""
        self.asked.append((request.headers.get("Last-Event-ID"), request.url.params.get("types", "")))
        if not self.bodies:
            raise KeyboardInterrupt
        body = self.bodies.pop(0)
        if body is None:
            raise httpx2.ConnectError("Connection refused")
        return httpx2.Response(200, content=body, headers={"Content-Type": "text/event-stream"})


def happened(kind: str, number: int) -> bytes:
    """An event of the run `ab`."""
    return render_event(kind, f'{{"time": "2026-11-24T09:00:00.00{number}Z", "workflow": "w{number}"}}', f"ab-{number}")


def run(feed: Feed, *arguments: str) -> Result:
    """The command to its end."""
    return invoke("events", *arguments, transport=scripted(feed.answer))


def lines(kinds: Iterable[tuple[str, int]]) -> str:
    """What is printed of these events."""
    return "".join(f"09:00:00.00{number} {kind} workflow=w{number}\n" for kind, number in kinds)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between tries, which take no time."""
    taken: list[float] = []
    monkeypatch.setattr("time.sleep", taken.append)
    monkeypatch.setattr("time.monotonic", lambda: sum(taken))
    return taken


STARTED, FAILED = "workflow_started", "workflow_failed"


def test_what_the_server_remembers_is_printed_from_the_oldest_to_the_newest() -> None:
    whole = render_start("ab-0") + happened(STARTED, 1) + happened(FAILED, 2) + happened(STARTED, 3)
    feed = Feed([render_start("ab-2"), whole])
    done = run(feed)
    assert (done.status, done.out) == (0, lines([(STARTED, 1), (FAILED, 2)]))  # the third is of the time behind
    assert feed.asked == [(None, ""), ("ab-0", "")]


def test_types_are_picked_without_waiting_for_the_next_event_of_one() -> None:
    whole = render_start("ab-0") + happened(STARTED, 1) + happened(FAILED, 2) + happened(STARTED, 3)
    feed = Feed([render_start("ab-3"), whole])
    assert run(feed, "--types", FAILED).out == lines([(FAILED, 2)])
    assert feed.asked == [(None, FAILED), ("ab-0", "")]  # the first has the server check the names


@pytest.mark.parametrize(
    ("known", "since", "warned"), [("ab-1", "ab-1", False), ("cd-1", "ab-0", True), ("x", "ab-0", True)]
)
def test_it_goes_on_behind_an_id_if_the_server_knows_it(known: str, since: str, warned: bool) -> None:
    feed = Feed([render_start("ab-2"), render_start(since) + happened(STARTED, 2)])
    done = run(feed, "--last-id", known)
    assert (done.out, "does not know the event" in done.err) == (lines([(STARTED, 2)]), warned)
    assert feed.asked[1] == (since, "")


def test_a_follower_comes_back_behind_the_last_event_after_a_loss(pauses: list[float]) -> None:
    feed = Feed([render_start("ab-7") + happened(STARTED, 8), None, None, render_start("ab-8") + happened(FAILED, 9)])
    done = run(feed, "--follow", "--types", f"{STARTED},{FAILED}")
    assert (done.status, done.out) == (0, lines([(STARTED, 8), (FAILED, 9)]))
    assert [last for last, _ in feed.asked] == [None, "ab-8", "ab-8", "ab-8", "ab-9"]
    assert done.err.count("trying again") == 2
    assert pauses == [events_command.AGAIN_SECONDS] * 4


def test_a_follower_gives_up_a_server_that_stays_away() -> None:
    feed = Feed([render_start("ab-7") + render_heartbeat("ab-7"), *([None] * 100)])
    done = run(feed, "--follow")
    assert done.status == 1
    assert "cannot reach" in done.err.splitlines()[-1]
    assert len(feed.bodies) > 50


def test_a_follower_does_not_wait_for_a_server_that_was_never_there() -> None:
    done = run(Feed([None]), "--follow")
    assert (done.status, done.err.count("cannot reach")) == (1, 1)


def test_events_are_documents_for_machines_one_a_line() -> None:
    feed = Feed([render_start("ab-1"), render_start("ab-0") + happened(STARTED, 1)])
    assert run(feed, "--json").document == {
        "id": "ab-1",
        "event": STARTED,
        "type": STARTED,
        "time": "2026-11-24T09:00:00.001Z",
        "workflow": "w1",
    }


def test_what_is_no_stream_of_events_is_told() -> None:
    done = run(Feed([b"hello\n"]))
    assert (done.status, "is this the HTTP API of an mmids_trio?" in done.err) == (1, True)
