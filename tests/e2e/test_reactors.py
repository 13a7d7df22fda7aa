"""Reactors with a real web service and real publishers and players: streams bring their workflows, and take them away.

What the service answers are files, so that a test changes an answer by writing one.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import frozen

from mmids_trio.cli.commands.reactor_test_server import serve_workflows
from tests.support.ffmpeg import Crew, Recording, place_of
from tests.support.program import ROOT, Launch, Program, run_program

pytestmark = pytest.mark.e2e

EXAMPLES = ROOT / "examples"
ANSWER = """workflow {name} routed_by_reactor {{
    rtmp_watch rtmp_app=live stream_key={name} port=0
}}
"""
PREVIEW = "    rtmp_watch rtmp_app=preview stream_key=show port=0\n}\n"


@frozen
class Lookup:
    """What the service knows."""

    directory: Path

    def knows(self, name: str, answer: str = ANSWER) -> None:
        """From now on."""
        (self.directory / f"{name}.mmids").write_text(answer.format(name=name))

    def forgets(self, name: str) -> None:
        """From now on."""
        (self.directory / f"{name}.mmids").unlink()


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    """A service that knows nothing yet."""
    directory = tmp_path / "answers" / "streams"
    directory.mkdir(parents=True)
    return Lookup(directory)


@pytest.fixture
async def program(nursery: trio.Nursery, launch: Launch, lookup: Lookup) -> Program:
    """A server that asks the service, every second."""
    serving: Callable[..., Awaitable[None]] = partial(serve_workflows, lookup.directory.parent, 0)
    port = await nursery.start(partial(serving, shutdown=trio.Event()))
    return await launch(f"""reactor lookup executor=simple_http update_interval=1 {{
    url http://127.0.0.1:{port}/streams
}}
workflow entry {{
    rtmp_receive rtmp_app=in stream_key=* port=0 reactor=lookup
    workflow_forwarder reactor=lookup
}}
workflow private {{
    rtmp_watch rtmp_app=private stream_key=* port=0 reactor=lookup
}}
""")


async def names(program: Program) -> set[str]:
    """Of the workflows that run."""
    return {workflow["name"] for workflow in (await program.get("/workflows")).json}


async def test_an_unknown_key_is_refused_to_publishers_and_watchers(
    program: Program, crew: Crew, show: Recording
) -> None:
    for client in (
        await crew.publish(show, program.url("nobody", app="in")),
        (await crew.play(program.url("nobody", app="private"))).child,
    ):
        assert await client.end() != 0
        assert program.count_logged("joined") == 0
    assert (await program.get("/reactors")).json[0]["leases"] == []
    assert await names(program) == {"entry", "private"}


async def test_a_known_key_is_approved_and_routed_to_the_workflow_that_it_brought(
    program: Program, lookup: Lookup, crew: Crew, show: Recording
) -> None:
    lookup.knows("show")
    await crew.publish(show, program.url(app="in"))
    await program.logged("workflow changed.*'show'")
    player = await crew.play(program.url())
    await player.gets(45)
    assert player.packets.video[0] in show.key_frames
    place_of(player.packets.video, show.packets.video)
    place_of(player.packets.audio, show.packets.audio)
    owner = {"kind": "reactor", "name": "lookup", "stream": "show"}
    assert (await program.status("show"))["owner"] == owner
    assert (await program.status("entry"))["owner"]["kind"] == "config"
    [lease] = (await program.get("/reactors/lookup")).json["leases"]
    told = [lease[name] for name in ("stream", "holders", "valid", "workflows", "last_error")]
    assert told == ["show", 2, True, ["show"], None]


async def test_when_a_publisher_leaves_its_workflows_are_gone_and_nobody_elses(
    program: Program, lookup: Lookup, crew: Crew, show: Recording
) -> None:
    for name in ("show", "short"):
        lookup.knows(name)
    await crew.publish(show, program.url(app="in"))
    publisher = await crew.publish(show, program.url("short", app="in"))
    await program.logged("workflow changed.*'short'")
    player = await crew.play(program.url("short"))
    await player.gets(1)
    assert await names(program) == {"entry", "private", "show", "short"}
    publisher.send(signal.SIGTERM)
    await program.logged("workflow ended.*'short'")
    await player.child.end()
    assert await names(program) == {"entry", "private", "show"}
    assert [lease["stream"] for lease in (await program.get("/reactors/lookup")).json["leases"]] == ["show"]


async def test_a_publisher_whose_approval_is_taken_back_is_disconnected(
    program: Program, lookup: Lookup, crew: Crew, show: Recording
) -> None:
    lookup.knows("show")
    publisher = await crew.publish(show, program.url(app="in"))
    await program.logged("workflow changed.*'show'")
    watcher = await crew.play(program.url(app="private"))
    await program.logged("watcher joined.*app='private'")
    player = await crew.play(program.url())
    await player.gets(1)
    lookup.forgets("show")
    for client in (publisher, watcher.child, player.child):
        await client.end()
    await program.logged("workflow ended.*'show'")
    assert await names(program) == {"entry", "private"}


async def test_an_answer_that_adds_a_step_keeps_publisher_and_player(
    program: Program, lookup: Lookup, crew: Crew, show: Recording
) -> None:
    lookup.knows("show")
    publisher = await crew.publish(show, program.url(app="in"))
    await program.logged("workflow changed.*'show'")
    player = await crew.play(program.url())
    await player.gets(1)
    lookup.knows("show", ANSWER.replace("}}\n", PREVIEW.replace("}", "}}")))
    await program.logged("workflow changed.*steps=2 .*'show'")
    preview = await crew.play(program.url(app="preview"))
    await preview.gets(1)
    await player.gets_more()
    place_of(player.packets.video, show.packets.video)
    assert publisher.is_running


async def test_a_deleted_workflow_is_brought_back_by_the_next_update(
    program: Program, lookup: Lookup, crew: Crew, show: Recording
) -> None:
    lookup.knows("show")
    await crew.publish(show, program.url(app="in"))
    await program.logged("workflow changed.*'show'")
    before = program.log_length
    assert (await program.delete("show")).status == 200
    await program.logged("workflow changed.*'show'", after=before)
    await (await crew.play(program.url())).gets(30)


async def test_a_step_that_names_no_reactor_that_there_is_is_refused(program: Program) -> None:
    answer = await program.put("workflow w {\n    workflow_forwarder reactor=lokup\n}\n")
    assert answer.status == 400
    assert "there is no reactor 'lokup'; did you mean 'lookup'?" in answer.json["error"]


@pytest.fixture
async def example(nursery: trio.Nursery, free_port: int, tmp_path: Path) -> AsyncIterator[str]:
    """The workflows of the example of reactors, and the service that they ask, on free ports."""
    answers = tmp_path / "per_publisher" / "publishers"
    answers.mkdir(parents=True)
    for answer in EXAMPLES.glob("per_publisher/publishers/*"):
        (answers / answer.name).write_text(_on_free_ports(answer.read_text("utf-8")), "utf-8")
    options = ("--port", str(free_port), "--directory", str(answers.parent))
    service = await run_program(nursery, tmp_path, "reactor-test-server", *options)
    await service.out.line(f":{free_port}/")
    text = (EXAMPLES / "per_publisher.mmids").read_text("utf-8").replace("9055", str(free_port))
    yield _on_free_ports(text[text.index("reactor publishers") :])
    service.send(signal.SIGTERM)
    assert await service.end() == 0


def _on_free_ports(text: str) -> str:
    return text.replace("rtmp_app=", "port=0 rtmp_app=")


async def test_the_example_runs_with_the_test_server(example: str, launch: Launch, crew: Crew, show: Recording) -> None:
    program = await launch(example)
    assert await (await crew.publish(show, program.url("carla", app="in"))).end() != 0
    await crew.publish(show, program.url("anna", app="in"))
    await program.logged("workflow changed.*'anna'")
    await (await crew.play(program.url("anna"))).gets(30)
    assert (await program.status("anna"))["owner"] == {"kind": "reactor", "name": "publishers", "stream": "anna"}
