"""`--load` and the setting `load`: whoever starts the program names modules, nobody else does."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.cli.known_kinds import KnownKinds
from mmids_trio.errors import ConfigurationError
from mmids_trio.plugins.loading import Plugins
from mmids_trio.server import Configuration
from mmids_trio.steps import StreamWentLive, WorkflowStarted
from mmids_trio.testing import Harness, generate_stream, run_replay
from tests.support.commands import invoke
from tests.support.plugins import LISTED, STUDIO, WORKFLOW, imports_undone
from tests.support.tapes import capturing

LOADS = "settings {\n    load studio\n}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with the module `studio`; what a test imports is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studio.py").write_text(STUDIO + LISTED)
    with imports_undone():
        yield tmp_path


def write(folder: Path, text: str, name: str = "my.mmids") -> str:
    (folder / name).write_text(text)
    return name


@pytest.mark.parametrize("words", [("--load", "studio", "check"), ("check", "--load", "studio")])
def test_check_knows_the_steps_of_a_module(folder: Path, words: tuple[str, ...]) -> None:
    file = write(folder, WORKFLOW)
    assert "unknown step type 'passing'" in invoke("check", file).err
    done = invoke(*words, file)
    assert (done.status, done.out) == (0, "my.mmids: no errors, 1 workflow, 0 reactors\n")


def test_check_knows_the_modules_of_the_setting_beside_the_file(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "studio.py").rename(folder / "below" / "studio.py")
    write(folder / "below", LOADS + WORKFLOW)
    assert invoke("check", "below/my.mmids").status == 0


def test_a_module_of_the_setting_that_fails_is_a_problem_with_its_place(folder: Path) -> None:
    (folder / "studio.py").write_text("1 / 0")
    done = invoke("check", write(folder, LOADS))
    assert done.status == 1
    assert done.err.startswith("my.mmids:2:10: cannot load the module 'studio': ZeroDivisionError: division by zero (")
    [problem] = invoke("check", "--json", "my.mmids").document["problems"]
    assert (problem["line"], problem["column"]) == (2, 10)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--load", "nowhere", "my.mmids"),
        ("--load", "nowhere", "--config", "my.mmids"),
        ("capture", "--load", "nowhere", "--config", "my.mmids", "--out", "tape"),
        ("steps", "--load", "nowhere"),
    ],
)
def test_a_module_that_does_not_import_is_one_message_and_a_status(folder: Path, words: tuple[str, ...]) -> None:
    write(folder, WORKFLOW)
    done = invoke(*words)
    assert done.status == 1
    assert done.err.startswith("error: there is no module 'nowhere' where Python looks")
    assert len(done.err.splitlines()) == 1
    assert not (folder / "tape").exists()


def test_a_module_whose_step_has_a_name_that_is_taken_is_one_message(folder: Path) -> None:
    (folder / "studio.py").write_text(STUDIO.replace('"passing"', '"slate"') + LISTED)
    for words in (("check", "my.mmids"), ("--config", "my.mmids"), ("steps",)):
        write(folder, WORKFLOW)
        done = invoke("--load", "studio", *words)
        assert done.status == 1
        assert done.err == "error: two kinds of steps are called 'slate': one of mmids_trio, and one of module studio\n"


@pytest.mark.parametrize("name", ["studio.py", "./studio", "3d", "a..b", '""'])
def test_what_is_no_name_of_a_module_is_a_problem(folder: Path, name: str) -> None:
    done = invoke("check", write(folder, LOADS.replace("studio", name)))
    says = "expected names of Python modules, separated by commas, as in studio or studio.steps"
    assert says in done.err
    assert invoke("steps", "--load", name).err == f"error: --load: {says}\n"


def test_a_command_that_talks_to_a_server_takes_no_modules() -> None:
    done = invoke("--load", "studio", "list")
    assert "the command 'list' takes no --load" in done.err


def start(folder: Path, text: str) -> tuple[KnownKinds, Configuration]:
    known = KnownKinds.of(())
    return known, known.read(folder / write(folder, text))


def test_a_reload_takes_the_modules_of_the_start(folder: Path) -> None:
    known, first = start(folder, LOADS + WORKFLOW)
    write(folder, LOADS + WORKFLOW.replace("2s", "3s"))
    again = known.read_again(folder / "my.mmids")
    assert again.settings == first.settings
    assert again.document.workflows[0].steps[1].parameters == {"after": "3s"}


def test_a_reload_imports_nothing_and_says_what_a_restart_would(folder: Path) -> None:
    known, _ = start(folder, "workflow live {\n}\n")
    file = folder / write(folder, LOADS + WORKFLOW)
    with pytest.raises(ConfigurationError) as caught:
        known.read_again(file)
    assert [problem.message.partition(";")[0] for problem in caught.value.problems] == [
        "the module 'studio' is loaded when the server starts",
        "unknown step type 'passing'",
    ]
    assert "studio" not in sys.modules


async def test_a_reload_whose_file_loads_more_says_that_it_needs_a_restart(
    folder: Path, autojump_clock: MockClock
) -> None:
    known, configuration = start(folder, "workflow live {\n}\n")
    file = folder / write(folder, LOADS + "workflow live {\n}\n")
    async with Harness(configuration.text, load_again=lambda: known.read_again(file)) as h:
        answer = await h.http.post("/config/reload", params={"wait": "5"})
        assert answer.status == 200, answer.text
        assert "load" in answer.json()["needs_restart"]
    assert "studio" not in sys.modules


async def test_a_reload_that_loads_less_keeps_what_runs(folder: Path, autojump_clock: MockClock) -> None:
    known, configuration = start(folder, LOADS + WORKFLOW)
    file = folder / write(folder, WORKFLOW)
    async with Harness(configuration.text, known.plugins.steps, load_again=lambda: known.read_again(file)) as h:
        answer = await h.http.post("/config/reload", params={"wait": "5"})
        assert answer.status == 200, answer.text
        assert "load" in answer.json()["needs_restart"]
        assert h.workflow("live").status == "Running"


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/workflows", "workflow a {\n    load studio\n}\n", "unknown step type 'load'"),
        ("/workflows", LOADS + WORKFLOW, "expected one workflow node and nothing else; found a settings node"),
        ("/config", LOADS + WORKFLOW, "settings belong in the server's own file"),
        ("/config", "load studio\n", "<request>:1:1"),
    ],
)
async def test_no_body_of_the_api_names_a_module(path: str, body: str, says: str, autojump_clock: MockClock) -> None:
    async with Harness() as h:
        answer = await h.http.put(path, content=body)
        assert answer.status == 400
        assert says in answer.json()["error"]
    assert "studio" not in sys.modules


async def test_no_included_file_of_a_request_names_a_module(folder: Path, autojump_clock: MockClock) -> None:
    write(folder, LOADS, "settings.mmids")
    async with Harness() as h:
        answer = await h.http.put("/config", content=f'include "{folder}/settings.mmids"\n')
        assert answer.status == 400
    assert "studio" not in sys.modules


async def captured(text: str) -> bytes:
    """A tape of a server that knew the steps of `studio`, with a publisher."""
    plugins = Plugins().with_modules(["studio"], Path())
    async with capturing(text, more_steps=plugins.steps) as (h, tape):
        await trio.sleep(1)
        await h.publish("live/show", generate_stream(seconds=1))
        await trio.sleep(1)
    return bytes(tape.data)


@pytest.fixture
def tape(folder: Path) -> bytes:
    """In a file of that name, too; what was imported for it is forgotten."""
    with imports_undone():
        data = trio.run(captured, LOADS + WORKFLOW, clock=MockClock(autojump_threshold=0))
    (folder / "tape").write_bytes(data)
    return data


def test_a_tape_is_replayed_with_the_modules_that_the_command_names(tape: bytes) -> None:
    done = invoke("replay", "tape", "--load", "studio")
    assert done.status == 0, done.err
    assert "event stream_began(" in done.out


def test_a_tape_has_no_module_imported_and_is_told_what_to_load(tape: bytes) -> None:
    done = invoke("replay", "tape")
    assert done.status == 1
    assert "unknown step type 'passing'" in done.err
    assert done.err.endswith("the captured server had loaded modules: replay with --load studio\n")
    assert "studio" not in sys.modules


def test_a_program_replays_a_tape_with_steps_of_its_own(tape: bytes) -> None:
    plugins = Plugins().with_modules(["studio"], Path())
    replayed = run_replay(tape, more_steps=plugins.steps, more_executors=plugins.executors)
    assert replayed.left == ()
    assert [type(event) for event in replayed.events][:2] == [WorkflowStarted, StreamWentLive]
