"""The page for users of the original says what `check` and a running server really do, row by row."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner
from trio.testing import MockClock

from mmids_trio.__main__ import main
from mmids_trio.cli.checking import check_texts
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import StepDefinition, step_ids
from mmids_trio.ffmpeg.file_names import file_stem, segment_prefix
from mmids_trio.ffmpeg.stderr_log import FOLDER
from mmids_trio.reload.source_files import SourceFile
from mmids_trio.server.logs import FILE_NAME, level_from
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.http import HttpAnswer
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService, valid

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-mmids.md").read_text("utf-8")
EXAMPLE = (ROOT / "examples" / "from_mmids.mmids").read_text("utf-8")

SHOW = "workflow show {\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"
BODIES = {
    "`workflow show {}` on two lines": "workflow show {\n}\n",
    "a workflow": SHOW,
    "a reactor and a workflow": f"reactor r executor=simple_http {{\n url http://127.0.0.1/\n}}\n{SHOW}",
    "settings and a workflow": f"settings {{\n}}\n{SHOW}",
    "an unknown step": "workflow show {\n    no_such_step\n}\n",
    "more than 1 MiB": "# " + 1024**2 * "x",
}
"""What rows send."""


def rows(section: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    [text] = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_row_has_its_three_cells() -> None:
    sections = ("Configuration", "HTTP", "Reactors", "RTMP and media", "Process and files")
    cells = [row for section in sections for row in rows(section)]
    assert len(cells) > 50
    assert {len(row) for row in cells} == {3}


@pytest.mark.parametrize("row", rows("Configuration"), ids=lambda row: row[0])
def test_a_configuration_is_taken_as_the_row_says(row: list[str]) -> None:
    written = row[0].strip("`").replace(" ⏎ ", "\n")
    if not written.startswith(("settings", "workflow ")):
        written = f"workflow w {{\n{written}\n}}\n"
    checked = check_texts([SourceFile("mmids.config", written + "\n")])
    came = "error" if checked.problems else "warns" if checked.warnings else "runs"
    assert re.match(came, row[2]), (row, checked)


@pytest.mark.parametrize("row", rows("HTTP"), ids=lambda row: row[0])
async def test_a_request_is_answered_as_the_row_says(row: list[str], autojump_clock: MockClock) -> None:
    method, path, headers, body = read_request(row[0])
    async with Harness(SHOW) as h:
        answer = await h.http.request(method, path, headers=headers, content=body)
        assert answer.status == int(row[2][:3])
        assert ("JSON" not in row[2]) or answer.headers["content-type"] == "application/json"
        assert [word for word in ("apply", "PUT /config") if f"`{word}`" in row[2] and word not in answer.text] == []
        assert answer.status == 200 or h.workflow("show").status == "Running"
        if headers.get("Host"):
            assert await with_hosts(path, headers) == 200


def read_request(cell: str) -> tuple[str, str, Mapping[str, str], str]:
    [(method, path)] = re.findall(r"^`([A-Z]+) (\S+)`", cell)
    headers = dict(re.findall(r"`([A-Z][a-z]+): ([^`]+)`", cell))
    _, _, what = cell.partition(" with ")
    return method, path, headers, "" if headers else BODIES.get(what, "")


async def with_hosts(path: str, headers: Mapping[str, str]) -> int:
    async with Harness("settings {\n http_api_hosts mmids.internal\n}\n" + SHOW) as h:
        answer: HttpAnswer = await h.http.get(path, headers=headers)
        return answer.status


def test_every_row_of_http_that_sends_something_says_what() -> None:
    sent = [row[0].partition(" with ")[2] for row in rows("HTTP") if row[0].startswith("`PUT")]
    assert set(sent) == set(BODIES)


def test_the_id_of_the_pages_step_is_ours() -> None:
    [step_id] = step_ids((StepDefinition("rtmp_receive", {"rtmp_app": "publish", "stream_key": "*"}),))
    assert f"is {step_id}\n(there: " in PAGE


async def test_keys_with_queries_are_one_stream_and_two_questions(autojump_clock: MockClock) -> None:
    service = FakeReactorService({"q2": valid()})
    text = (
        "reactor r executor=scripted {\n}\n"
        "workflow w {\n rtmp_receive rtmp_app=a stream_key=* reactor=r on_busy=takeover\n"
        " rtmp_watch rtmp_app=a stream_key=* reactor=r\n}\n"
    )
    async with Harness(text, more_executors=[service.kind()]) as h:
        first, _ = await h.publish("a/q2?token=1"), await h.publish("a/q2")
        await first.read_until_closed()
        assert service.asked == ["q2?token=1", "q2"]
        for watched in ("a/q2?x=1", "a/q2?x=2"):
            await h.watch(watched)
        assert service.asked == ["q2?token=1", "q2", "q2"]
        fields = service.calls[0].request.as_data()
    [question] = [row for row in rows("Reactors") if row[0].startswith("question")]
    assert set(re.findall(r"`(\w+)`", question[2])) == fields.keys() - {"stream_name"}


@pytest.mark.parametrize("key", ["key", "key1"])
def test_segments_are_called_as_the_page_says(key: str) -> None:
    [row] = [row for row in rows("RTMP and media") if row[0].startswith("segments")]
    assert f"`{segment_prefix(file_stem(key))}3.ts`" in row[2]


def test_levels_and_names_of_logs_are_those_of_the_page() -> None:
    assert level_from({"mmids_log": "trace"}) == level_from({"mmids_log": "debug"})
    assert level_from({"mmids_log": "no such level"}) == level_from({})
    [log], [children] = (
        [row for row in rows("Process and files") if row[0] == what] for what in ("log", "logs of ffmpeg")
    )
    assert f"`{Settings().log_path}/{FILE_NAME}`" in log[2]
    assert children[2].startswith(f"`{Settings().log_path}/{FOLDER}/")


async def test_a_publisher_may_pause_as_there_without_the_timeout(autojump_clock: MockClock) -> None:
    for settings, stays in (("", False), ("settings {\n publisher_timeout 0\n}\n", True)):
        async with Harness(settings + SHOW.replace("rtmp_watch", "rtmp_receive")) as h:
            await h.publish("live/key", generate_stream(seconds=1))
            await trio.sleep(36)
            assert (h.server.rtmp.connections == 1) is stays


def test_the_example_of_the_originals_steps_passes_check(tmp_path: Path) -> None:
    file = tmp_path / "from_mmids.mmids"
    file.write_text(EXAMPLE, "utf-8")
    result = CliRunner().invoke(main, ["check", str(file)])
    assert (result.exit_code, result.output) == (0, f"{file}: no errors, 4 workflows, 0 reactors\n")
    used = set(re.findall(r"^    (\w+) ", EXAMPLE.partition("workflow")[2], re.MULTILINE))
    assert used == {
        *("rtmp_receive", "rtmp_watch", "ffmpeg_hls", "ffmpeg_pull", "ffmpeg_push", "ffmpeg_transcode"),
        *("basic_transcode", "workflow_forwarder"),
    }


async def test_the_example_is_applied_to_a_running_server_and_works(tmp_path: Path, autojump_clock: MockClock) -> None:
    text = EXAMPLE[EXAMPLE.index("workflow publish") :].replace("path=hls", f'path="{tmp_path}/hls"')
    async with Harness("", spawner=FakeFfmpeg()) as h:
        put = partial(h.http.put, "/config?prune=true&wait=30", content=text)
        assert (await put()).status == 200
        for name in ("publish", "small", "restricted", "tv"):
            assert h.workflow(name).status == "Running"
        assert (await put()).json()["changed"] is False
        await h.publish("publish/key", generate_stream(seconds=1))
        watcher = await h.watch("watch/key")
        await watcher.receive(4)
