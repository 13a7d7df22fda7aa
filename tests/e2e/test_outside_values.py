"""Values from outside of a configuration (`${NAME}`, `${file:PATH}`): they work, and nothing that is told shows one."""

import signal
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.certificates import make
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Answer, Program, curl, run_program, serve
from tests.support.waiting import eventually_answered

pytestmark = pytest.mark.e2e

SECRETS = {
    "API_TOKEN": "apiTokenValue7391",
    "HOOK_PATH": "hookPathValue7392",
    "STREAM_KEY": "streamKeyValue7394",
    "PUBLISH_TOKEN": "publishTokenValue7395",
    "PLAY_KEY": "playKeyValue7396",
    "PUSH_KEY": "pushKeyValue7397",
    "REACTOR_PASSWORD": "reactorPasswordValue7398",
    "REACTOR_PATH": "reactorPathValue7399",
    "CERTIFICATE_PASSWORD": "certificatePasswordValue7400",
    "FFMPEG_KEY": "ffmpegKeyValue7403",
    "HEADER_TOKEN": "headerTokenValue7405",
}
IN_FILES = {"hook": "hookSecretValue7393", "team": "teamTokenValue7401"}
OF_CLIENT = {"GUEST_KEY": "guestKeyValue7402", "GUEST_TOKEN": "guestTokenValue7404"}
ALL = [*SECRETS.values(), *IN_FILES.values(), *OF_CLIENT.values()]

SETTINGS = """http_api_token ${API_TOKEN}
    state_path state.mmids
    webhook_url http://127.0.0.1:1/${HOOK_PATH}
    webhook_secret ${file:secrets/hook}
    tls_cert_path server.p12
    tls_cert_password ${CERTIFICATE_PASSWORD}
"""

FILE = """
include teams/*.mmids
reactor lookup executor=simple_http {
    url http://user:${REACTOR_PASSWORD}@127.0.0.1:1/${REACTOR_PATH}
    header "Authorization: Bearer ${HEADER_TOKEN}"
}
workflow show {
    rtmp_receive rtmp_app=live stream_key=${STREAM_KEY} port=PORT publish_token=${PUBLISH_TOKEN}
    rtmp_push target=rtmp://127.0.0.1:1/app/${PUSH_KEY}
    ffmpeg_push target=rtmp://127.0.0.1:1/app/${FFMPEG_KEY}
    rtmp_watch rtmp_app=live stream_key=${STREAM_KEY} port=PORT play_key=${PLAY_KEY}
}
workflow asked {
    rtmp_receive rtmp_app=asked stream_key=* port=PORT reactor=lookup
}
"""
TEAM = (
    "workflow team {\n    rtmp_receive rtmp_app=team stream_key=* port=PORT publish_token=${file:../secrets/team}\n}\n"
)
GUEST = """workflow guest {
    rtmp_receive rtmp_app=guest stream_key=${GUEST_KEY} port=PORT publish_token=${GUEST_TOKEN}
}
"""


def prepare(directory: Path, port: int) -> str:
    """Everything but the file itself, which is returned."""
    for folder in ("teams", "secrets"):
        (directory / folder).mkdir()
    for name, value in IN_FILES.items():
        (directory / "secrets" / name).write_text(value + "\n", "utf-8")
    (directory / "teams" / "team.mmids").write_text(TEAM.replace("PORT", str(port)), "utf-8")
    (directory / "server.p12").write_bytes(make().pkcs12(SECRETS["CERTIFICATE_PASSWORD"]))
    return FILE.replace("PORT", str(port))


async def get(server: Program, path: str, *options: str) -> Answer:
    return await curl(server.api + path, "-H", f"Authorization: Bearer {SECRETS['API_TOKEN']}", *options)


async def client(nursery: trio.Nursery, server: Program, *arguments: str) -> tuple[int, str, str]:
    environment = {"MMIDS_SERVER": server.api, "MMIDS_TOKEN": SECRETS["API_TOKEN"], **OF_CLIENT}
    child = await run_program(nursery, server.directory, *arguments, environment=environment)
    status = await child.end()
    return status, child.out.text, child.err.text


async def events(nursery: trio.Nursery, server: Program) -> str | None:
    code, out, err = await client(nursery, server, "events", "--json")
    return out + err if code == 0 and "stream_over" in out else None


async def failing_target(server: Program) -> str | None:
    text = (await get(server, "/workflows/show")).text
    return text if '"last_error"' in text else None


def shown_in(text: str) -> list[str]:
    return [secret for secret in ALL if secret in text]


async def test_nothing_that_is_told_shows_a_value_from_outside(
    nursery: trio.Nursery, tmp_path: Path, free_port: int, clip: Recording
) -> None:
    tape = tmp_path / "session.mmtape"
    server = await serve(
        nursery,
        tmp_path,
        prepare(tmp_path, free_port),
        settings=SETTINGS,
        command=["capture", "--out", str(tape)],
        environment=SECRETS,
    )
    url = f"rtmp://127.0.0.1:{free_port}/live/{SECRETS['STREAM_KEY']}?token={SECRETS['PUBLISH_TOKEN']}"
    publisher = await Crew(nursery).publish(clip, url)
    told: dict[str, str] = {}
    told["status"] = await eventually_answered(partial(failing_target, server), "target that cannot be reached")
    guest = tmp_path / "guest.mmids"
    guest.write_text(GUEST.replace("PORT", str(free_port)), "utf-8")
    other = tmp_path / "other.mmids"
    other.write_text(guest.read_text("utf-8").replace("guest", "other"), "utf-8")
    code, out, err = await client(nursery, server, "plan", str(guest))
    assert code == 2, err
    told["plan"] = out + err
    code, out, err = await client(nursery, server, "apply", "--json", str(guest))
    assert code == 0, err
    told["apply"] = out + err
    code, out, err = await client(nursery, server, "apply", "--on-error", "error", str(other))
    assert code == 0, err
    told["apply one by one"] = out + err
    code, told["export"], err = await client(nursery, server, "export")
    assert code == 0, err
    assert "stream_key=${GUEST_KEY}" in told["export"]
    assert "target=rtmp://127.0.0.1:1/app/${PUSH_KEY}" in told["export"]
    assert "publish_token=${file:../secrets/team}" in told["export"]
    assert 'header "Authorization: Bearer ${HEADER_TOKEN}"' in told["export"]
    await publisher.end()
    for path in (
        "/config",
        "/config/status",
        "/workflows",
        "/workflows/guest",
        "/workflows/team",
        "/reactors",
        "/metrics",
    ):
        answer = await get(server, path)
        assert answer.status == 200
        told[path] = answer.text
    told["events"] = await eventually_answered(partial(events, nursery, server), "end of the stream")
    assert "target_down" in told["events"]
    server.child.send(signal.SIGHUP)
    await server.logged("configuration reloaded")
    server.child.send(signal.SIGTERM)
    assert await server.child.end() == 0, server.child.err.text
    told["console"] = server.child.err.text + server.child.out.text
    for file in [*(tmp_path / "logs").rglob("*"), tmp_path / "state.mmids", tape]:
        if file.is_file():
            told[file.name] = file.name + file.read_bytes().decode("utf-8", "replace")
    assert "${GUEST_TOKEN}" in told["state.mmids"]
    replay = await run_program(nursery, tmp_path, "replay", str(tape))
    assert await replay.end() == 0, replay.err.text
    assert "event workflow_started(workflow='guest')" in replay.out.text
    assert {what: shown for what, text in told.items() if (shown := shown_in(text))} == {}


RELOADED = """include teams/*.mmids
workflow main {
    rtmp_receive rtmp_app=main stream_key=* port=0 publish_token=${file:token}
}
"""


async def test_a_reload_reads_included_files_and_values_again_whoever_asks_for_it(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    (tmp_path / "teams").mkdir()
    (tmp_path / "token").write_text("first\n")
    server = await serve(nursery, tmp_path, RELOADED, settings="watch_config true")

    async def reloaded(asked: str) -> tuple[list[str], str]:
        """By whom, and to what: the names, and the identity of the step that has the token."""
        await server.logged("configuration reloaded", after=length)
        last = (await server.get("/config/status")).json["last_reload"]
        assert (last["by"], last["result"]) == (asked, "applied")
        names = [listed["name"] for listed in (await server.get("/workflows")).json]
        return names, (await server.status("main"))["active_steps"][0]["step_id"]

    before = (await server.status("main"))["active_steps"][0]["step_id"]
    length = server.log_length
    (tmp_path / "token").write_text("second\n")
    names, step = await reloaded("watch")
    assert names == ["main"]
    assert step != before
    length = server.log_length
    (tmp_path / "teams" / "a.mmids").write_text(
        RELOADED.partition("\n")[2].replace("main", "a").replace("file:", "file:../")
    )
    assert await reloaded("watch") == (["main", "a"], step)
    length = server.log_length
    (tmp_path / "teams" / "a.mmids").unlink()
    server.child.send(signal.SIGHUP)
    assert await reloaded("signal") == (["main"], step)
    (tmp_path / "token").unlink()
    answer = await curl(f"{server.api}/config/reload", "-X", "POST")
    assert answer.status == 400
    assert "mmids.config:7:66: cannot read the file '" in answer.json["error"]
    assert (await server.status("main"))["active_steps"][0]["step_id"] == step


async def test_what_a_client_has_applied_works_after_a_restart(
    nursery: trio.Nursery, tmp_path: Path, free_port: int, clip: Recording
) -> None:
    settings = f"http_api_token {SECRETS['API_TOKEN']}\n    state_path state.mmids"
    server = await serve(nursery, tmp_path, settings=settings)
    (tmp_path / "guest.mmids").write_text(GUEST.replace("PORT", str(free_port)))
    code, _, err = await client(nursery, server, "apply", "guest.mmids")
    assert code == 0, err
    server.child.send(signal.SIGTERM)
    assert await server.child.end() == 0
    assert shown_in((tmp_path / "state.mmids").read_text()) == []
    server = await serve(nursery, tmp_path, settings=settings)
    url = f"rtmp://127.0.0.1:{free_port}/guest/{OF_CLIENT['GUEST_KEY']}?token={OF_CLIENT['GUEST_TOKEN']}"
    publisher = await Crew(nursery).publish(clip, url)
    await server.logged("publisher joined")
    await publisher.end()
    assert shown_in(server.child.err.text) == []
    code, exported, _ = await client(nursery, server, "export")
    assert "publish_token=${GUEST_TOKEN}" in exported
