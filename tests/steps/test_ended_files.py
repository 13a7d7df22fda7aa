"""What streams leave on the disk: deleted when its time is up, and never what is somebody else's or live."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from mmids_trio.ffmpeg.ended_files import JOURNAL, EndedFiles, FileKind, hls_trace, log_trace, name_in
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.ffmpeg import FakeFfmpeg, Script
from mmids_trio.testing.harness import Harness, inline
from mmids_trio.testing.processes import FakeProcess
from tests.support.scripted_source import Camera, Take, workflow

HOUR = 3600.0


def files(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@define(eq=False)
class Writer(FakeFfmpeg):
    """Children that write two segments when they start, and say that the first one is whole, as ffmpeg does."""

    async def spawn(self, arguments: Sequence[str], *, stdin: bool, stdout: bool, outputs: int = 0) -> FakeProcess:
        """See `Spawner`."""
        process = await super().spawn(arguments, stdin=stdin, stdout=stdout, outputs=outputs)
        if "-hls_segment_filename" in arguments:
            write_segments(process)
        return process


def write_segments(child: FakeProcess) -> None:
    pattern = child.arguments[child.arguments.index("-hls_segment_filename") + 1]
    first = int(child.arguments[child.arguments.index("-start_number") + 1])
    paths = [Path(pattern.replace("%d", str(number))) for number in (first, first + 1)]
    for path in paths:
        path.write_text("media")
    assert child.stdout is not None
    child.stdout.write(f"#EXTINF:1.0,\n{paths[0].name}\n".encode())


def harness(camera: Camera, directory: Path, step: str = "count=5", **settings: str | int) -> Harness:
    wanted = {"log_path": f'"{directory}/logs"', **settings}
    lines = "\n".join(f"{name} {value}" for name, value in wanted.items())
    text = f"settings {{\n{lines}\n}}\n" + workflow(f"ffmpeg_hls path={directory}/hls {step}")
    return Harness(text, camera.steps, spawner=Writer(script=Script().logs("fine")))


async def show(camera: Camera, take: Take) -> None:
    await camera.send([*take.events, *take.end])
    await trio.sleep(1)


async def test_what_ended_streams_leave_is_deleted_when_its_time_is_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera = Camera()
    async with harness(camera, tmp_path) as h:
        (tmp_path / "hls" / "foreign.m3u8").write_text("x")
        (tmp_path / "hls" / "index.html").write_text("x")
        await camera.send(Take("live", "live").events)
        await show(camera, Take("a", "a"))
        await trio.sleep(HOUR / 2)
        await show(camera, Take("b", "b"))
        everything = files(tmp_path / "hls")
        assert {"a.m3u8", "a0.ts", "a1.ts", "b.m3u8", "live.m3u8"} < set(everything)
        assert "mmids_ended_files 8" in (await h.http.get("/metrics")).text
        await trio.sleep(HOUR / 2)
        assert set(everything) - set(files(tmp_path / "hls")) == {"a.m3u8", "a0.ts", "a1.ts"}
        await trio.sleep(HOUR)
        assert files(tmp_path / "hls") == [
            *("foreign.m3u8", "index.html"),
            *("live.m3u8", "live0.ts", "live1.ts"),
        ]
        [log] = [name for name in files(tmp_path / "logs" / "ffmpeg") if name != JOURNAL]
        assert log.endswith("-live.log")
        text = (await h.http.get("/metrics")).text
        assert 'mmids_ended_files_deleted_total{kind="hls"} 6' in text
        assert 'mmids_ended_files_deleted_total{kind="log"} 2' in text
    h.assert_quiet()


@pytest.mark.parametrize(
    ("step", "settings"),
    [("count=0", {}), ("", {}), ("count=5 delete=false", {}), ("count=5", {"ended_files_keep": 0})],
)
async def test_whole_shows_are_kept_and_everything_where_the_operator_wants_it(
    step: str, settings: dict[str, int], tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera = Camera()
    async with harness(camera, tmp_path, step, **settings):
        await show(camera, Take("a", "a"))
        await trio.sleep(100 * HOUR)
        assert files(tmp_path / "hls") == ["a.m3u8", "a0.ts", "a1.ts"]


async def test_a_stream_that_comes_back_takes_its_files_over(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera = Camera()
    async with harness(camera, tmp_path):
        await camera.send(Take("a", "a").events)
        (tmp_path / "hls" / "a17.ts").write_text("a segment that is in the next playlist too")
        await camera.send(Take("a", "a").end)
        await trio.sleep(1)
        await trio.sleep(HOUR - 10)
        again = Take("a2", "a")
        await camera.send(again.events)
        await trio.sleep(2 * HOUR)
        assert files(tmp_path / "hls") == ["a.m3u8", "a0.ts", "a1.ts", "a17.ts", "a2.ts"]
        await camera.send(again.end)
        await trio.sleep(HOUR + 10)
        assert files(tmp_path / "hls") == []


@pytest.mark.thorough
async def test_new_keys_without_end_leave_a_bounded_number_of_files(tmp_path: Path, autojump_clock: MockClock) -> None:
    camera = Camera()
    async with harness(camera, tmp_path) as h:
        h.server.ffmpeg.ended_files.max_files = 12
        for number in range(30):
            await show(camera, Take(str(number), f"key{number}"))
        assert h.server.ffmpeg.ended_files.kept == 12
        left = {name.partition(".")[0].partition("=")[0] for name in files(tmp_path / "hls")}
        assert left == {"key27", "key28", "key29"}
        assert len(files(tmp_path / "logs" / "ffmpeg")) == 3 + 1


async def test_without_a_log_on_the_disk_children_write_none_and_their_segments_go_all_the_same(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    camera = Camera()
    async with harness(camera, tmp_path, log_path="none"):
        await show(camera, Take("a", "a"))
        assert files(tmp_path) == ["hls"]
        assert files(tmp_path / "hls") == ["a.m3u8", "a0.ts", "a1.ts"]
        await trio.sleep(HOUR + 1)
        assert files(tmp_path / "hls") == []


# Without a server.


async def run_for(seconds: float, ended: EndedFiles) -> None:
    with trio.move_on_after(seconds):
        await ended.run()


def keeper(tmp_path: Path, **options: object) -> EndedFiles:
    return EndedFiles(tmp_path / "logs", offload=inline, **options)  # type: ignore[arg-type]  # of several kinds


async def test_files_that_are_not_ours_stay(tmp_path: Path, autojump_clock: MockClock) -> None:
    ended = keeper(tmp_path)
    old = tmp_path / "a0.ts"
    old.write_text("of somebody before us")
    os.utime(old, (1, 1))
    (tmp_path / "a2.ts").symlink_to(old)
    (tmp_path / "a3.ts").mkdir()
    with ended.writing(hls_trace(str(tmp_path), "a")):
        for name in ("a.m3u8", "a1.ts", "a-b-1.ts", "a-1.mp3", "aa-1.ts"):
            (tmp_path / name).write_text("ours")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended.run)
        await trio.sleep(10)
        (tmp_path / "a1.ts").unlink()
        (tmp_path / "a1.ts").write_text("somebody else's, later")
        await trio.sleep(HOUR)
        nursery.cancel_scope.cancel()
    assert files(tmp_path) == ["a-1.mp3", "a-b-1.ts", "a0.ts", "a1.ts", "a2.ts", "a3.ts", "aa-1.ts", "logs"]
    assert ended.deleted[FileKind.HLS] == 1


async def test_the_next_life_deletes_what_a_killed_server_has_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    killed = keeper(tmp_path)
    killed.begin(hls_trace(str(tmp_path), "a"))
    killed.begin(log_trace(tmp_path / "logs" / "w-1-a.log"))
    await run_for(1, killed)
    (tmp_path / "a.m3u8").write_text("playlist")
    for name in ("w-1-a.log", "w-1-a.log.1", "w-1-b.log"):
        (tmp_path / "logs" / name).write_text("line")
    with (tmp_path / "logs" / JOURNAL).open("a") as journal:
        journal.write('null\n{"kind": "hls", "directory": "/", "na')
    again = keeper(tmp_path)
    await run_for(HOUR - 1, again)
    assert "a.m3u8" in files(tmp_path)
    await run_for(HOUR + 1, again)
    assert files(tmp_path) == ["logs"]
    assert files(tmp_path / "logs") == [JOURNAL, "w-1-b.log"]


async def test_a_stream_that_is_back_before_the_note_is_read_takes_its_files_over(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    killed, times = keeper(tmp_path, now=lambda: 1.0), iter([10.0**10, 10.0**10])
    trace = hls_trace(str(tmp_path), "a")
    killed.begin(trace)
    await run_for(1, killed)
    (tmp_path / "a1.ts").write_text("of the last life")
    again = keeper(tmp_path, now=lambda: next(times))
    again.begin(trace)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(again.run)
        await trio.sleep(2 * HOUR)
        assert files(tmp_path) == ["a1.ts", "logs"]
        again.end(trace)
        await trio.sleep(HOUR + 1)
        nursery.cancel_scope.cancel()
    assert files(tmp_path) == ["logs"]


@pytest.mark.thorough
async def test_the_journal_does_not_grow_without_end(tmp_path: Path, autojump_clock: MockClock) -> None:
    ended = keeper(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended.run)
        for number in range(2_500):
            with ended.writing(hls_trace(str(tmp_path), f"key{number}")):
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert len((tmp_path / "logs" / JOURNAL).read_text().splitlines()) <= 1_010


async def test_where_nothing_can_be_noted_or_deleted_the_server_goes_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    (tmp_path / "logs").write_text("no directory")
    ended = keeper(tmp_path)
    with ended.writing(hls_trace(str(tmp_path / "nowhere"), "a")):
        pass
    await run_for(2 * HOUR, ended)
    assert ended.kept == 0


async def test_cancelled_anywhere_it_knows_what_is_live(tmp_path: Path, autojump_clock: MockClock) -> None:
    trace = hls_trace(str(tmp_path), "a")
    ended = keeper(tmp_path, keep_seconds=10)

    async def life() -> None:
        nonlocal ended
        ended = keeper(tmp_path, keep_seconds=10)
        (tmp_path / "a.m3u8").write_text("x")
        with trio.move_on_after(30):
            async with trio.open_nursery() as nursery:
                await nursery.start(ended.run)
                for _ in range(2):
                    with ended.writing(trace):
                        await trio.sleep(2)

    def check() -> None:
        ended.begin(trace)
        ended.end(trace)

    assert await cancel_everywhere(life, check) > 5


@pytest.mark.parametrize(
    ("kind", "file_name", "name"),
    [
        (FileKind.HLS, "a.m3u8", "a"),
        (FileKind.HLS, "a.m3u8.tmp", "a"),
        (FileKind.HLS, "a12.ts", "a"),
        (FileKind.HLS, "a12.m4s.tmp", "a"),
        (FileKind.HLS, "a7.mp4", "a"),
        (FileKind.HLS, "a-1=12.ts", "a-1"),
        (FileKind.HLS, "a-12.ts", "a-"),
        (FileKind.HLS, "7=12.ts", "7"),
        (FileKind.HLS, "=12.ts", "="),
        (FileKind.HLS, "712.ts", None),
        (FileKind.HLS, "ax.ts", None),
        (FileKind.HLS, "a.ts", None),
        (FileKind.HLS, ".m3u8", None),
        (FileKind.LOG, "w-1-a.log", "w-1-a.log"),
        (FileKind.LOG, "w-1-a.log.2", "w-1-a.log"),
        (FileKind.LOG, "w-1-a.log.gz", None),
        (FileKind.LOG, JOURNAL, None),
    ],
)
def test_whose_a_file_is_stands_in_its_name(kind: FileKind, file_name: str, name: str | None) -> None:
    assert name_in(kind, file_name) == name
