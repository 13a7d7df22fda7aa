"""What top shows: rows in the order asked for, a bitrate over time, lags of the slowest, and what fits 80 columns."""

from typing import Any

import httpx2
import pytest
from rich.console import Console

from mmids_trio.cli.client.api import ApiClient
from mmids_trio.cli.client.board import HISTORY, Board
from mmids_trio.cli.client.screen import picture
from mmids_trio.cli.commands.top import kicked
from tests.support.commands import scripted


def stream(number: int, **more: Any) -> dict[str, Any]:
    track = {"kind": "video", "bitrate_1s": 1_000_000 * number}
    usual = {"id": f"s-{number}", "name": f"show {number}", "workflow": "w", "state": "live", "watchers": 10 - number}
    return {**usual, "tracks": [track], "warnings": [], **more}


def watcher(of: int, lag_ms: int) -> dict[str, Any]:
    return {"role": "watcher", "stream": f"s-{of}", "lag_ms": lag_ms}


def metrics(cpu: float) -> str:
    return (
        f"process_cpu_seconds_total {cpu}\n"
        'mmids_step_targets_up{workflow="a",step_id="1",step_type="rtmp_push"} 2\n'
        'mmids_step_targets_up{workflow="b",step_id="1",step_type="rtmp_push"} 1\n'
        'mmids_step_targets_down{workflow="a",step_id="1",step_type="rtmp_push"} 4\n'
    )


def looked(*streams: dict[str, Any], clients: Any = ()) -> Board:
    board = Board()
    board.look(streams, clients, metrics(1), 10)
    return board


def names(board: Board) -> list[str]:
    return [row.name for row in board.rows]


def test_rows_are_sorted_as_a_key_says() -> None:
    board = looked(stream(1), stream(3, state="slate"), stream(2), clients=[watcher(2, 50), watcher(2, 70)])
    assert names(board) == ["show 3", "show 2", "show 1"]
    for order, expected in {"n": [1, 2, 3], "w": [1, 2, 3], "l": [2, 1, 3], "s": [3, 1, 2]}.items():
        board.order = order
        board.sort()
        assert names(board) == [f"show {number}" for number in expected], order
    assert [row.lag_ms for row in board.rows if row.name == "show 2"] == [70]


def test_the_server_is_one_line_with_targets_and_cpu_since_the_look_before() -> None:
    board = looked(stream(1), stream(2))
    assert board.headline() == "2 streams   17 watchers   targets 3 up, 4 down"
    board.look([stream(1)], [], metrics(1.5), 12)
    assert board.headline() == "1 streams   9 watchers   targets 3 up, 4 down   cpu 25 %"


def test_a_sparkline_has_the_last_looks_and_nobody_who_is_gone() -> None:
    board = looked(stream(1))
    for kbits in range(2 * HISTORY):
        board.look([stream(1, tracks=[{"bitrate_1s": 1000 * kbits}])], [], "", kbits)
    line = board.sparkline(board.rows[0])
    assert (len(line), line[-1]) == (HISTORY, "█")
    assert line == "".join(sorted(line))
    board.look([], [], "", 99)
    board.look([stream(1)], [], "", 100)
    assert board.sparkline(board.rows[0]) == "█"


def test_arrows_choose_a_row_and_stay_on_the_table() -> None:
    board = looked(stream(1), stream(2))
    chosen = []
    for by in (0, 1, 1, -1, -1):
        board.select(by)
        assert board.chosen is not None
        chosen.append(board.chosen.name)
    assert chosen == ["show 2", "show 1", "show 1", "show 2", "show 2"]
    board.look([], [], "", 11)
    board.select(1)
    assert board.chosen is None


def test_who_is_sent_away_is_who_was_asked_about_also_if_it_has_ended_and_another_is_chosen() -> None:
    board = looked(stream(1), stream(2))
    assert board.press("x") is None
    assert board.question == "kick show 2 with its publisher? y/n"
    board.look([stream(1)], [], metrics(2), 12)
    assert board.chosen is not None
    assert (board.chosen.id, board.question) == ("s-1", "kick show 2 with its publisher? y/n")
    row = board.press("y")
    assert row is not None
    assert (row.id, board.question) == ("s-2", "")
    assert board.press("y") is None  # it was answered


@pytest.mark.parametrize("key", ["n", "q", "x", "up", "Y", ""])
def test_any_key_but_yes_sends_nobody_away(key: str) -> None:
    board = looked(stream(1), stream(2))
    board.press("x")
    assert (board.press(key), board.asked, board.order) == (None, None, "b")
    assert [board.press("x") for _ in names(board)] == [None, None]
    board.look([], [], metrics(2), 12)
    assert (board.press("x"), board.asked) == (None, None)


@pytest.mark.parametrize(
    ("status", "note"),
    [
        (200, ""),
        (404, "show 1 has ended before"),
        (409, "show 1: nobody publishes it"),
        (403, "show 1: nobody publishes it"),
    ],
)
def test_what_keeps_a_stream_from_being_kicked_is_a_word_and_no_end_of_the_table(status: int, note: str) -> None:
    board = looked(stream(1))
    error = {"error": "nobody publishes it"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(404 if request.url.path.startswith("/clients") else status, json=error)

    assert board.chosen is not None
    with httpx2.Client(transport=scripted(answer), base_url="http://server") as http:
        board.note = kicked(ApiClient("http://server", http), board.chosen)
    assert board.note == note
    console = Console(width=80, height=24, force_terminal=False)
    with console.capture() as capture:
        console.print(picture(board, console))
    assert capture.get().splitlines()[-1].startswith(note or "sort: ")
    board.press("up")
    assert board.note == ""


def test_a_screen_of_80_columns_shows_all_columns_and_the_chosen_row() -> None:
    warning = {"code": "sound_far_from_picture", "text": "", "remedy": ""}
    board = looked(
        *(stream(number, name=f"a show with a long name {number}", warnings=[warning]) for number in range(50))
    )
    board.select(40)
    console = Console(width=80, height=24, force_terminal=False)
    with console.capture() as capture:
        console.print(picture(board, console))
    lines = capture.get().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["STREAM", "STATE", "KBIT/S", "WATCH", "LAG", "MS", "WARNINGS"]
    assert board.chosen is not None
    assert any(f" {board.chosen.kbits} " in line for line in lines)
    assert "sort: n name" in lines[-1]
    assert "sound_far" in lines[2]


def test_lines_for_no_terminal_have_one_stream_each_and_no_control_characters() -> None:
    board = looked(stream(1, name="evil\x1b[2J", warnings=[{"code": "clock_jumps"}]))
    first, line = board.lines()
    assert first.startswith("1 streams")
    assert "\x1b" not in line
    assert line.endswith("state=live kbits=1000 watchers=9 lag_ms=0 warnings=clock_jumps")


def of_node(name: str, **more: Any) -> dict[str, Any]:
    counts = {"revision": 7, "streams": 2, "publishers": 1, "watchers": 20, "interrupted": 0}
    return {"node": name, "draining": False, **counts, **more}


def of_cluster(*warnings: str, registry: str = "up") -> dict[str, Any]:
    unknown = dict.fromkeys(("streams", "publishers", "watchers", "interrupted"))
    nodes = [of_node("a", interrupted=1), of_node("b", draining=True, **unknown)]
    return {"name": "tv", "registry": registry, "nodes": nodes, "warnings": list(warnings)}


def at(node: str, number: int) -> dict[str, Any]:
    shown = {"name": f"show {number}", "workflow": "w", "state": "live", "bitrate": 1_000_000 * number}
    return {"node": node, "id": f"s-{number}", **shown, "watchers": 5}


def test_a_cluster_is_its_nodes_and_the_streams_of_each() -> None:
    board = Board(order="n")
    board.look_at_cluster(of_cluster("node b is ill\x1b[2J"), [at("b", 1), at("a", 1), at("a", 2)])
    assert board.lines() == [
        "cluster tv: 2 nodes, 1 draining, registry up   2 streams   20 watchers",
        board.lines()[1],
        "node=a draining=false revision=7 streams=2 publishers=1 watchers=20 interrupted=1",
        "node=b draining=true revision=7 streams=? publishers=? watchers=? interrupted=?",
        "stream=show 1 node=a workflow=w state=live kbits=1000 watchers=5",
        "stream=show 1 node=b workflow=w state=live kbits=1000 watchers=5",
        "stream=show 2 node=a workflow=w state=live kbits=2000 watchers=5",
    ]
    assert board.lines()[1].startswith("warning: node b is ill")
    assert "\x1b" not in board.lines()[1]
    document = board.document()
    assert [(row["node"], row["kbits"]) for row in document["streams"]] == [("a", 1000), ("b", 1000), ("a", 2000)]
    assert (document["registry"], len(document["nodes"])) == ("up", 2)


def test_without_the_registry_the_streams_of_before_are_shown() -> None:
    board = Board()
    board.look_at_cluster(of_cluster(), [at("a", 1)])
    board.look_at_cluster(of_cluster("the registry is away", registry="away"), None)
    assert "registry away" in board.headline()
    assert names(board) == ["show 1"]


def test_a_screen_of_a_cluster_has_a_column_of_nodes_its_warnings_and_no_kick() -> None:
    board = Board()
    board.look_at_cluster(of_cluster(*["node b is ill " * 10] * 9), [at("edge-1", number) for number in range(50)])
    console = Console(width=80, height=24, force_terminal=False)
    with console.capture() as capture:
        console.print(picture(board, console))
    lines = capture.get().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert [line.startswith("node b is ill") for line in lines[:5]] == [False, True, True, True, False]
    assert lines[4].split() == ["NODE", "STREAM", "STATE", "KBIT/S", "WATCH"]
    assert lines[5].split()[:3] == ["edge-1", "show", "49"]
    assert "kick" not in lines[-1]
