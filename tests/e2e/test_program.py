"""The program and its command line: what it says, to whom, and how it ends."""

import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
import trio

import mmids_trio
from tests.support.processes import Child, start
from tests.support.program import ROOT, Launch, curl, run_program

pytestmark = pytest.mark.e2e

GOOD = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""
BROKEN = """# Four errors, all to be reported in one run: line 4 (unknown step), line 5 (missing stream_key),
# line 8 (duplicate workflow name), line 11 (unclosed quote).
workflow one {
    rtmp_recieve rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live
}

workflow one {
    rtmp_watch rtmp_app=a stream_key=*
    ffmpeg_hls path=/tmp/x count=5
    ffmpeg_push target="rtmp://h/app/key
}
"""


async def failure(child: Child) -> list[str]:
    """What the program says on stderr when it ends with status 1 and a message."""
    assert await child.end() == 1
    assert child.out.lines == []
    assert "Traceback" not in child.err.text
    return child.err.lines


def write(directory: Path, text: str) -> str:
    """The path of a configuration file with this text."""
    file = directory / "given.mmids"
    file.write_text(text)
    return str(file)


async def test_it_tells_its_version(nursery: trio.Nursery, tmp_path: Path) -> None:
    child = await run_program(nursery, tmp_path, "--version")
    assert (await child.end(), child.out.text) == (0, f"mmids_trio {mmids_trio.__version__}")


async def test_it_finds_its_configuration_in_the_working_directory(nursery: trio.Nursery, tmp_path: Path) -> None:
    (tmp_path / "mmids.config").write_text(GOOD)
    child = await run_program(nursery, tmp_path)
    await child.out.line("publish +rtmp://127.0.0.1:[0-9]+/live/KEY +workflow live")
    await child.out.line("ffplay rtmp://")
    child.process.terminate()
    assert await child.end() == 0


async def test_it_goes_on_when_nobody_reads_its_welcome(nursery: trio.Nursery, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    child = await run_program(nursery, tmp_path, "--config", write(tmp_path, GOOD), stdout=write_end)
    os.close(write_end)
    await child.err.line("the welcome cannot be printed")
    child.process.terminate()
    assert await child.end() == 0
    assert "server stopped" in child.err.lines[-1]


async def test_it_runs_with_its_standard_error_and_input_closed(nursery: trio.Nursery, tmp_path: Path) -> None:
    settings = "settings {\n    http_api_port 0\n}\n"
    command = [sys.executable, "-m", "mmids_trio", "--config", write(tmp_path, settings + GOOD)]
    shell = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *command]
    child = await start(nursery, shell, directory=tmp_path, environment={"PYTHONPATH": str(ROOT)})
    api = (await child.out.line("HTTP API ")).split()[-1]
    assert (await curl(f"{api}/workflows")).json == [{"name": "live"}]
    descriptors = Path(f"/proc/{child.process.pid}/fd")
    assert {(descriptors / number).readlink() for number in "02"} == {
        Path(os.devnull)
    }  # no socket, which would be told
    child.process.terminate()
    assert await child.end() == 0
    assert "server stopped" in (tmp_path / "logs" / "mmids.log").read_text()


async def test_a_port_of_the_api_that_is_in_use_ends_the_program_with_one_message(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = write(tmp_path, f"settings {{\n    http_api_port {port}\n}}\n{GOOD}")
        [message] = await failure(await run_program(nursery, tmp_path, "--config", file))
    assert message.startswith(f"error: the HTTP API cannot listen on 127.0.0.1 port {port}: the port is in use")


@pytest.mark.parametrize(("name", "reason"), [("absent.mmids", "No such file"), ("folder", "Is a directory")])
async def test_a_file_that_cannot_be_read_ends_the_program_with_one_message(
    nursery: trio.Nursery, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    [message] = await failure(await run_program(nursery, tmp_path, "--config", name))
    assert message.startswith(f"error: cannot read the configuration file {name}: {reason}")


async def test_an_unknown_log_level_is_warned_of(nursery: trio.Nursery, tmp_path: Path) -> None:
    child = await run_program(
        nursery, tmp_path, "--config", write(tmp_path, GOOD), environment={"MMIDS_LOG": "deafening"}
    )
    await child.err.line("unknown log level.*deafening")


async def test_logs_that_cannot_be_written_end_the_program_with_one_message(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    file = write(tmp_path, f'settings {{\n    log_path "{Path(__file__)}"\n}}\n{GOOD}')
    [message] = await failure(await run_program(nursery, tmp_path, "--config", file))
    assert message.startswith(f"error: cannot write logs to {Path(__file__)}")


async def test_every_error_of_a_configuration_is_reported_and_nothing_starts(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    file = write(tmp_path, BROKEN)
    for command in (["--config", file], ["check", file]):
        lines = await failure(await run_program(nursery, tmp_path, *command))
        places = [int(line) for line in re.findall(re.escape(file) + r":(\d+):", "\n".join(lines))]
        assert places == [4, 5, 8, 11]
        assert "did you mean 'rtmp_receive'?" in "\n".join(lines)
    assert lines[-1] == f"{file}: 4 errors"
    assert not (tmp_path / "logs").exists()


async def test_check_approves_of_a_good_file(nursery: trio.Nursery, tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    child = await run_program(nursery, tmp_path, "check", file)
    assert await child.end() == 0
    assert child.out.text == f"{file}: no errors, 1 workflow, 0 reactors"


@pytest.mark.parametrize("example", sorted(Path(mmids_trio.__file__).parents[1].glob("examples/*.mmids")), ids=str)
async def test_check_approves_of_the_examples(nursery: trio.Nursery, tmp_path: Path, example: Path) -> None:
    shutil.copy(example, tmp_path)
    child = await run_program(nursery, tmp_path, "check", example.name)
    assert await child.end() == 0, child.err.text


async def test_a_media_port_that_is_in_use_puts_its_workflow_in_error_until_another_is_given(
    launch: Launch, free_port: int
) -> None:
    program = await launch("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = await program.put(GOOD.replace("port=0", f"port={port}"))
        assert answer.status == 409
        status = (await program.status("live"))["status"]
        assert f"port {port} cannot be opened: " in status
        assert status.startswith("Step id ")
        assert answer.json["error"] == status
        assert (await program.get("/")).status == 200
        healed = await program.put(GOOD.replace("port=0", f"port={free_port}"))
    assert healed.status == 200, healed.text
    assert (await program.status("live"))["status"] == "Running"
    with socket.create_connection(("127.0.0.1", free_port), timeout=10):
        pass


async def test_a_media_port_in_use_at_the_start_does_not_end_the_program(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = await launch(GOOD.replace("port=0", f"port={port}") + GOOD.replace("live", "fine"))
        assert program.url(app="fine") in program.child.out.text.replace("KEY", "show")
        assert f":{port}/" not in program.child.out.text
        assert f"port {port} cannot be opened: " in (await program.status("live"))["status"]
        assert (await program.status("fine"))["status"] == "Running"


async def test_the_welcome_names_what_runs_and_leaves_out_what_has_failed(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    thief = "workflow thief {\n    rtmp_receive rtmp_app=live stream_key=* port=0\n}\n"
    child = await run_program(nursery, tmp_path, "--config", write(tmp_path, GOOD + thief))
    await child.out.line("ffplay rtmp://")
    assert "workflow live" in child.out.text
    assert "thief" not in child.out.text
    assert "Warning: anybody who reaches this machine may publish (workflow live)." in child.out.text
    child.process.terminate()
    assert await child.end() == 0


async def test_a_service_may_log_json_to_its_console_and_nothing_to_the_disk(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    file = write(tmp_path, f"settings {{\n    log_console json\n    log_path none\n}}\n{GOOD}")
    child = await run_program(nursery, tmp_path, "--config", file)
    await child.out.line("ffplay rtmp://")
    child.process.terminate()
    assert await child.end() == 0
    told = [json.loads(line) for line in child.err.lines]
    assert {"timestamp", "level", "event", "logger"} <= told[0].keys()
    assert "stopping" in [line["event"] for line in told]
    assert os.listdir(tmp_path) == ["given.mmids"]
