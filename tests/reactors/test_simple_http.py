"""The executor `simple_http` against a scripted server on loopback: real sockets, real HTTP."""

import json
from collections.abc import AsyncIterator
from functools import partial

import h11
import pytest
import trio
from attrs import define, field

from mmids_trio.config.parser import parse
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.reactors import simple_http
from mmids_trio.reactors.executor import Answer, Executor, ExecutorFailure, ExecutorRegistry
from mmids_trio.reactors.simple_http import SIMPLE_HTTP, SimpleHttpParameters, http_url, open_simple_http
from mmids_trio.stream_request import StreamRequest

WORKFLOWS = "workflow a routed_by_reactor {\n    rtmp_watch rtmp_app=x stream_key=ü\n}\nworkflow b {\n    x y=1\n}\n"
HANG_SECONDS = 20
ENDLESS = b"# for ever and ever\n" * 1000


@define(eq=False)
class Service:
    """Answers every path from its script: status, headers, body; `None` as a body is an endless one."""

    port: int = 0
    script: dict[str, tuple[int, dict[str, str], bytes | None]] = field(factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(factory=list)
    connections: int = 0

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        try:
            while connection.our_state is h11.IDLE:
                await self._serve(stream, connection)
                if connection.their_state is h11.DONE:
                    connection.start_next_cycle()
        except trio.BrokenResourceError:
            pass  # the client has had enough
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.SocketStream, connection: h11.Connection) -> None:
        request, body = None, b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        if request is None:  # the client closed
            connection.send(h11.ConnectionClosed())
            return
        path = request.target.decode()
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        self.asked.append((request.method.decode(), path, headers, body))
        await self._answer(stream, connection, *self.script[path])

    async def _answer(
        self,
        stream: trio.SocketStream,
        connection: h11.Connection,
        status: int,
        headers: dict[str, str],
        body: bytes | None,
    ) -> None:
        length = {} if body is None else {"Content-Length": str(len(body))}
        response = h11.Response(status_code=status, headers=list({**headers, **length}.items()))
        await stream.send_all(connection.send(response) or b"")
        while body is None:
            await stream.send_all(connection.send(h11.Data(ENDLESS)) or b"")
        await stream.send_all((connection.send(h11.Data(body)) or b"") + (connection.send(h11.EndOfMessage()) or b""))


@pytest.fixture
async def service(nursery: trio.Nursery) -> Service:
    service = Service()
    listeners = await nursery.start(partial(trio.serve_tcp, service.handle, 0, host="127.0.0.1"))
    service.port = listeners[0].socket.getsockname()[1]
    return service


@pytest.fixture
async def executor(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Executor]:
    """Asks `/ask`; the environment names a proxy that does not exist."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    [definition] = parse(
        f"reactor r executor=simple_http {{\nurl http://127.0.0.1:{service.port}/ask\n}}", "x"
    ).reactors
    async with ExecutorRegistry([SIMPLE_HTTP]).choose(definition).open() as executor:
        yield executor


async def ask(executor: Executor, name: str = "s") -> Answer:
    with trio.fail_after(HANG_SECONDS):
        return await executor.ask(StreamRequest(key=name))


async def failure(executor: Executor) -> str:
    with pytest.raises(ExecutorFailure) as caught:
        await ask(executor)
    return str(caught.value)


async def test_200_with_workflows_is_valid(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (200, {}, WORKFLOWS.encode())
    answer = await ask(executor)
    assert answer.valid
    assert [(flow.name, flow.routed_by_reactor) for flow in answer.workflows] == [("a", True), ("b", False)]


@pytest.mark.parametrize("body", [b"", b"\n# nothing\n"])
async def test_200_with_nothing_to_run_is_valid(service: Service, executor: Executor, body: bytes) -> None:
    service.script["/ask"] = (200, {}, body)
    assert await ask(executor) == Answer(valid=True)


async def test_404_is_not_valid(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (404, {}, b"whatever \xff")
    assert await ask(executor) == Answer(valid=False)


@pytest.mark.parametrize("name", ["s", 'a "quoted" \\ name', "ü\u2028"])
async def test_the_question_is_json(service: Service, executor: Executor, name: str) -> None:
    service.script["/ask"] = (404, {}, b"")
    await ask(executor, name)
    [(method, path, headers, body)] = service.asked
    assert (method, path, headers["content-type"]) == ("POST", "/ask", "application/json")
    asked = json.loads(body)
    assert asked.pop("stream_name") == asked.pop("stream_key") == name
    assert asked == {"query": "", "app": None, "port": None, "protocol": None, "address": None, "action": "publish"}


async def test_the_question_has_the_name_as_mmids_sends_it_and_its_parts(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (404, {}, b"")
    with trio.fail_after(HANG_SECONDS):
        await executor.ask(
            StreamRequest(key="k", query="secret=x&y", action="watch", app="a", port=1, protocol="rtmps", address="::1")
        )
    [(_, _, _, body)] = service.asked
    assert json.loads(body) == {
        "stream_name": "k?secret=x&y",
        "stream_key": "k",
        "query": "secret=x&y",
        "app": "a",
        "port": 1,
        "protocol": "rtmps",
        "address": "::1",
        "action": "watch",
    }


def reactor(service: Service, *lines: str) -> ReactorDefinition:
    text = "\n".join([f"url http://127.0.0.1:{service.port}/ask", *lines])
    document = parse(f"reactor r executor=simple_http {{\n{text}\n}}\n", "x")
    assert document.problems == ()
    return document.reactors[0]


async def test_a_header_goes_to_the_named_server_and_not_to_where_it_points(service: Service) -> None:
    service.script["/ask"] = (302, {"Location": "/here"}, b"")
    service.script["/here"] = (302, {"Location": f"http://localhost:{service.port}/elsewhere"}, b"")
    service.script["/elsewhere"] = (404, {}, b"")
    definition = reactor(service, 'header "Authorization: Bearer abc=1"')
    async with ExecutorRegistry([SIMPLE_HTTP]).choose(definition).open() as executor:
        await ask(executor)
    assert [(path, headers.get("authorization")) for _, path, headers, _ in service.asked] == [
        ("/ask", "Bearer abc=1"),
        ("/here", "Bearer abc=1"),
        ("/elsewhere", None),
    ]


async def test_a_release_is_posted_to_its_own_address(service: Service) -> None:
    service.script["/gone"] = (204, {}, b"")
    definition = reactor(service, f"release_url http://127.0.0.1:{service.port}/gone", 'header "X-Key: s"')
    async with ExecutorRegistry([SIMPLE_HTTP]).choose(definition).open() as executor:
        with trio.fail_after(HANG_SECONDS):
            await executor.release(StreamRequest(key="k", query="q=1"))
            [(method, path, headers, body)] = service.asked
            assert (method, path, headers["x-key"]) == ("POST", "/gone", "s")
            assert json.loads(body)["stream_name"] == "k?q=1"
            service.script["/gone"] = (500, {}, b"")
            with pytest.raises(ExecutorFailure, match="expected a status from 200 to 299, got 500"):
                await executor.release(StreamRequest(key="k"))


async def test_without_an_address_nobody_is_told_of_a_release(service: Service, executor: Executor) -> None:
    await executor.release(StreamRequest(key="k"))
    assert service.asked == []


@pytest.mark.parametrize(
    "header", ["Authorization", ": x", "A b: c", "Host: a", "Content-Length: 1", "X: \u00e4", "X:", "X: a\tb"]
)
def test_a_header_is_a_name_and_a_value_and_its_message_does_not_show_it(header: str) -> None:
    definition = ReactorDefinition("r", "simple_http", parameters={"url": "http://h/", "header": header})
    [problem] = ExecutorRegistry([SIMPLE_HTTP]).problems(definition)
    assert 'expected "NAME: VALUE" of ASCII characters' in problem.message
    assert header not in problem.message


async def test_a_name_that_is_no_text_is_a_failure_and_not_a_fault_of_ours(executor: Executor) -> None:
    with pytest.raises(ExecutorFailure, match=r"the stream's name is not UTF-8"):
        await executor.ask(StreamRequest(key="\udcff"))


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 405, 429, 500, 503])
async def test_any_other_status_is_a_failure(service: Service, executor: Executor, status: int) -> None:
    service.script["/ask"] = (status, {}, b"")
    assert await failure(executor) == f"expected status 200 or 404, got {status}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "<answer>:1:1: "),
        (b"workflow a {\n", "<answer>:1:"),
        (b"settings {\n}\n", "<answer>:1:1: expected workflow nodes only; found a settings node"),
        (b"settings {\n    load os\n}\n", "<answer>:1:1: expected workflow nodes only; found a settings node"),
        (b"load os\n", "<answer>:1:1: "),
        (
            b"workflow a {\n    x y=${HOME}\n}\n",
            "<answer>:2:9: a variable cannot stand here: only a file that the server",
        ),
        (b"include /etc/passwd\n", "<answer>:1:1: other files cannot be included here: only a file that the server"),
        (b'values {\n    A "b"\n}\n', "<answer>:1:1: values stand only in what a client sends"),
        (b"# \xff", "<answer>:1:3: byte 0xFF is not UTF-8"),
        (b"workflow a {\n}\nworkflow a {\n}\n", "duplicate workflow name 'a'"),
    ],
)
async def test_garbage_is_a_failure(service: Service, executor: Executor, body: bytes, message: str) -> None:
    service.script["/ask"] = (200, {}, body)
    assert message in await failure(executor)


async def test_an_error_does_not_show_the_source(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (200, {}, b"workflow a {\n    ffmpeg_push target=rtmp://h/secret {\n}\n")
    assert "secret" not in await failure(executor)


@pytest.mark.thorough
async def test_a_body_of_a_mebibyte_is_read(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (200, {}, b"# 45678\n" * (1024 * 1024 // 8))
    assert await ask(executor) == Answer(valid=True)


@pytest.mark.parametrize("body", [None, b"# 45678\n" * (1024 * 1024 // 8) + b"\n"])
async def test_a_larger_or_endless_body_is_cut(service: Service, executor: Executor, body: bytes | None) -> None:
    service.script["/ask"] = (200, {}, body)
    assert await failure(executor) == "the answer is larger than 1048576 bytes"


async def test_a_packed_body_is_not_unpacked(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08rest")
    assert "not UTF-8" in await failure(executor)
    assert service.asked[0][2]["accept-encoding"] == "identity"


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n# bu"])
async def test_a_slow_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, cut: bytes) -> None:
    monkeypatch.setattr(simple_http, "REQUEST_SECONDS", 0.2)

    async def stall(stream: trio.SocketStream) -> None:
        await stream.send_all(cut)
        await trio.sleep_forever()

    listeners = await nursery.start(partial(trio.serve_tcp, stall, 0, host="127.0.0.1"))
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
    async with open_simple_http(SimpleHttpParameters(http_url(url))) as executor:
        assert await failure(executor) == "no whole answer within 0.2 s"


async def test_a_refused_connection_is_a_failure() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    async with open_simple_http(SimpleHttpParameters(http_url(f"http://127.0.0.1:{port}/"))) as executor:
        assert (await failure(executor)).startswith("the request failed: ")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_three_redirects_are_followed_with_the_question(
    service: Service, executor: Executor, status: int
) -> None:
    for here, there in [("/ask", "/1"), ("/1", "2"), ("/2", f"http://localhost:{service.port}/3")]:
        service.script[here] = (status, {"Location": there}, b"")
    service.script["/3"] = (200, {}, WORKFLOWS.encode())
    assert len((await ask(executor)).workflows) == 2
    assert [(asked[0], json.loads(asked[3])["stream_name"]) for asked in service.asked] == [("POST", "s")] * 4


async def test_see_other_turns_the_question_into_a_get(service: Service, executor: Executor) -> None:
    service.script = {"/ask": (303, {"Location": "/1"}, b""), "/1": (200, {}, b"")}
    assert await ask(executor) == Answer(valid=True)
    assert [asked[0] for asked in service.asked] == ["POST", "GET"]


async def test_a_fourth_redirect_is_not_followed(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (307, {"Location": "/ask"}, b"")
    assert await failure(executor) == "more than 3 redirects"
    assert len(service.asked) == 4


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://h/", "http://", "http://[x/", "gopher:x", "http://h:99999/"]
)
async def test_a_redirect_to_elsewhere_is_not_followed(service: Service, executor: Executor, location: str) -> None:
    service.script["/ask"] = (302, {"Location": location}, b"")
    assert "redirect" in await failure(executor) or "request failed" in await failure(executor)
    assert {asked[1] for asked in service.asked} == {"/ask"}


async def test_one_connection_serves_many_questions_and_keeps_no_cookies(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (404, {"Set-Cookie": "stream=s"}, b"")
    for _ in range(5):
        await ask(executor)
    assert (service.connections, len(service.asked)) == (1, 5)
    assert all("cookie" not in asked[2] for asked in service.asked)


@pytest.mark.thorough
async def test_many_streams_are_asked_about_at_once(service: Service, executor: Executor) -> None:
    service.script["/ask"] = (404, {}, b"")
    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(ask, executor, f"s{number}")
    assert len(service.asked) == 30
