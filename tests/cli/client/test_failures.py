"""What goes wrong between a command and a server: one message, status 1, no traceback, nothing secret."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from mmids_trio.__main__ import COMMANDS
from tests.support.commands import Result, invoke, scripted

PLAN = {"changed": True, "publishers": 0, "watchers": 0, "workflows": [], "deleted": ["w"], "cuts": [], "reactors": []}

ROOT = Path(__file__).parents[3]

Handler = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Something to send."""
    path = tmp_path / "a.mmids"
    path.write_text("workflow w {\n    rtmp_receive rtmp_app=a stream_key=b\n}\n")
    return str(path)


def failure(handler: Handler, *arguments: str) -> str:
    """What a command says that fails."""
    done = invoke(*arguments, transport=scripted(handler))
    assert (done.status, "Traceback" in done.err) == (1, False)
    assert done.err.startswith("error: ")
    return done.err.removeprefix("error: ").removesuffix("\n")


def answering(status: int, body: str = "", **headers: str) -> Handler:
    """A server that always says the same."""
    return lambda _request: httpx2.Response(status, text=body, headers=headers)


def raising(error: Exception) -> Handler:
    """A network that always fails."""

    def handler(_request: httpx2.Request) -> httpx2.Response:
        raise error

    return handler


def error_body(message: str) -> str:
    """A refusal of the API's."""
    return json.dumps({"error": message})


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (raising(httpx2.ConnectError("[Errno 111] Connection refused")), "cannot reach http://127.0.0.1:9011: "),
        (raising(httpx2.ConnectTimeout("")), "cannot reach http://127.0.0.1:9011 within 10 s"),
        (raising(httpx2.ReadTimeout("")), "http://127.0.0.1:9011 does not answer"),
        (raising(httpx2.RemoteProtocolError("peer closed")), "the connection to http://127.0.0.1:9011 broke: peer"),
        (raising(httpx2.DecodingError("bad gzip")), "cannot read the answer of http://127.0.0.1:9011: bad gzip"),
        (answering(401, error_body("x")), "the server requires a token: set MMIDS_TOKEN to its http_api_token"),
        (answering(403, error_body("refused: the Host header")), "refused: the Host header"),
        (answering(302, "", location="http://x/"), "http://127.0.0.1:9011 answers 302, a redirect; this command"),
        (answering(404, error_body("no such path; known are /")), "http://127.0.0.1:9011 does not know this request"),
        (answering(500, error_body("internal error")), "http://127.0.0.1:9011 answers 500: internal error"),
        (answering(502, "<html>\nBad"), "http://127.0.0.1:9011 answers 502: <html>; is that the HTTP API"),
        (answering(503, error_body("is being stopped")), "http://127.0.0.1:9011 answers 503: is being stopped"),
        (answering(404, "\x1b[2J" + 400 * "x"), "http://127.0.0.1:9011 answers 404: \\x1b[2Jxxx"),
        (answering(200, "not json"), "the answer is not JSON: not json"),
        (answering(200, "{}"), "the answer is no"),
        (answering(200, "[1]"), "the answer is no"),
    ],
)
@pytest.mark.parametrize("command", ["list", "plan"])
def test_it_is_one_message(handler: Handler, message: str, command: str, file: str) -> None:
    said = failure(handler, *((command,) if command == "list" else (command, file)))
    assert said.startswith(message)
    assert "\n" not in said


def test_a_change_whose_answer_is_lost_is_told_as_uncertain(file: str) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            raise httpx2.ReadError("Connection reset by peer")
        return httpx2.Response(200, json=PLAN)

    assert "the server may have made the change, so run `plan`" in failure(handler, "apply", file).splitlines()[-1]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (409, {"error": "rolled back: x"}, ["not applied: rolled back: x", "the server is as it was before"]),
        (409, {"error": "max_disconnects; nothing was changed"}, ["max_disconnects; nothing was changed"]),
        (412, {"error": "lost", "etag": '"9"'}, ['its ETag is now "9"); nothing was changed.', "Run `plan` again"]),
        (504, {"error": "still pending after 30 s; it goes on"}, ["still pending", "run `wait NAME` or `plan`"]),
        (507, {"error": "the disk is full"}, ["applied, but the server forgets it at a restart: the disk is full"]),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_becomes_of_a_change_is_told_by_its_status(
    status: int, body: dict[str, str], words: list[str], as_json: bool, file: str
) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            assert request.headers["If-Match"] == '"7"'
            return httpx2.Response(status, json=body)
        return httpx2.Response(200, json=PLAN, headers={"ETag": '"7"'})

    done = invoke("apply", file, *(["--json"] if as_json else []), transport=scripted(handler))
    assert done.status == 1
    assert [word for word in words if word not in done.err] == []
    if as_json:
        assert done.document["status"] == status
        assert done.document["error"] in done.err


def test_a_redirection_takes_no_token_along(file: str) -> None:
    asked = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(307, headers={"location": "http://elsewhere/"})

    failure(handler, "plan", "--token", "t", file)
    assert asked == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--server", "ftp://x"), "--server: expected http://HOST:PORT"),
        (("--server", "localhost:no"), "--server: this is not a URL"),
        (("--server", "hush@host:9011"), "--server: expected a URL without user"),
        (("--server", "http://user:hush@host"), "--server: expected a URL without user"),
        (("--server", "http://[::1"), "--server: this is not a URL"),
        (("--token", "hush\nhush"), "the token has characters"),
    ],
)
def test_an_address_or_token_that_cannot_be_is_told_without_repeating_it(
    arguments: tuple[str, ...], message: str
) -> None:
    said = failure(answering(200, "[]"), "list", *arguments)
    assert said.startswith(message)
    assert "hush" not in said


def test_the_token_goes_where_it_belongs_and_nowhere_else() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Authorization"] == "Bearer open-sesame"
        return httpx2.Response(401, json={"error": "no"})

    done = invoke("list", "--json", transport=scripted(handler), environment={"MMIDS_TOKEN": "open-sesame"})
    assert done.document == {
        "error": "the server refuses this token: set MMIDS_TOKEN to its http_api_token",
        "status": 401,
        "problems": [],
    }
    assert "sesame" not in done.out + done.err


@pytest.mark.parametrize("server", ["localhost:9011", "http://localhost:9011", "http://localhost:9011/"])
@pytest.mark.parametrize("is_before", [True, False])
def test_the_address_may_stand_before_the_command_and_needs_no_scheme(server: str, is_before: bool) -> None:
    asked = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, json=[])

    words = ["--server", server, "list"] if is_before else ["list", "--server", server]
    assert invoke(*words, transport=scripted(handler), environment={"MMIDS_SERVER": "http://other"}).status == 0
    assert asked == ["http://localhost:9011/workflows"]


def test_what_stands_behind_the_command_counts_before_what_stands_in_front_and_that_before_the_environment() -> None:
    tokens = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        tokens.append(request.headers["Authorization"])
        return httpx2.Response(200, json=[])

    words: tuple[str, ...] = ("--json", "--token", "front", "list")
    for arguments in (words, (*words, "--token", "behind")):
        done = invoke(*arguments, transport=scripted(handler), environment={"MMIDS_TOKEN": "environment"})
        assert done.document == []
    assert tokens == ["Bearer front", "Bearer behind"]


@pytest.mark.parametrize("arguments", [("plan",), ("plan", "--bogus", "x"), ("apply", "--wait", "301", "x"), ("show",)])
def test_wrong_arguments_are_an_error_and_no_change(arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).status == 1


def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmids_trio.cli.client.api.MAX_ANSWER_BYTES", 1000)
    assert failure(answering(200, 2000 * "x"), "list").startswith("the answer is larger than")


def test_an_interrupted_command_says_so(file: str) -> None:
    def handler(_request: httpx2.Request) -> httpx2.Response:
        raise KeyboardInterrupt

    assert failure(handler, "plan", file).startswith("interrupted; the server continues a change that it has accepted")


def test_help_names_every_command() -> None:
    done: Result = invoke("--help")
    unnamed = {name for name in COMMANDS if name not in done.out}
    assert unnamed == {"record"}, "the name that `capture` had before is no command to use"


def test_an_apply_without_a_change_is_one_request(file: str) -> None:
    asked = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.method, request.url.path))
        return httpx2.Response(200, json={**PLAN, "changed": False, "deleted": []}, headers={"ETag": '"7"'})

    assert invoke("apply", file, transport=scripted(handler)).status == 0
    assert asked == [("POST", "/config/plan")]


@pytest.mark.thorough
def test_a_command_imports_no_server() -> None:
    program = (
        "import sys; from mmids_trio.__main__ import COMMANDS; from mmids_trio.cli.lazy import load;"
        "[load(place) for place in COMMANDS.values() if '.client.' in place];"
        "heavy = {'trio', 'quart', 'hypercorn', 'structlog', 'mmids_trio.server'};"
        "sys.exit(' '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_somebody_else_has_got_since_the_plan_is_told_with_the_option(file: str) -> None:
    said = "workflow 'w' belongs to the set 'news' of the HTTP API; leave it out, or take it over; nothing was changed"

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            return httpx2.Response(409, json={"error": said, "refused_by": "take_over"})
        return httpx2.Response(200, json=PLAN)

    assert (
        failure(handler, "apply", file)
        .splitlines()[-1]
        .endswith(
            "not applied: workflow 'w' belongs to the set 'news' of the HTTP API;"
            " leave it out, or take it over with --take-over; nothing was changed"
        )
    )
