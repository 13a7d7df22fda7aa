"""The HTTP client without a socket speaks to the very application that a server serves."""

from collections.abc import AsyncIterator, Callable

import pytest
import trio
from quart import Response
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.parameters import NoParameters
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.http import HttpFailed
from mmids_trio.workflow.events import WorkflowStarted
from mmids_trio.workflow.step import Inbox, Outbox

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"


def add_stream(h: Harness, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
    """A route `/pieces` that answers in pieces."""

    async def answer() -> Response:
        response = Response(pieces())
        response.timeout = None
        return response

    h.server.http_app.add_url_rule("/pieces", view_func=answer)


@pytest.mark.thorough
async def test_the_api_answers_without_a_socket(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        answer = await h.http.get("/workflows")
        assert (answer.status, answer.json()) == (200, [{"name": "live"}])
        assert answer.headers["content-type"] == "application/json"
        assert (await h.http.get("/")).text.startswith("Mmids version")
        assert (await h.http.get("/workflows/none")).status == 404
    h.assert_quiet()


async def test_a_workflow_is_put_and_deleted(autojump_clock: MockClock) -> None:
    async with Harness() as h:
        put = await h.http.put("/workflows", content=LIVE, params={"wait": "5"})
        assert put.status == 200, put.text
        assert h.workflow("live").status == "Running"
        assert (await h.http.delete("/workflows/live")).status == 200
        h.assert_quiet()
        assert (await h.http.post("/workflows")).status == 405


async def test_a_path_is_decoded_once(autojump_clock: MockClock) -> None:
    async with Harness("workflow a%2Fb {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n") as h:
        assert (await h.http.get("/workflows/a%252Fb")).status == 200


async def test_requests_carry_the_token_unless_they_say_otherwise(autojump_clock: MockClock) -> None:
    async with Harness("settings {\n    http_api_token s3cret\n}\n") as h:
        assert (await h.http.get("/workflows")).status == 200
        assert (await h.http.get("/workflows", headers={"Authorization": "Bearer no"})).status == 401
        del h.http.headers["authorization"]
        assert (await h.http.get("/workflows")).status == 401


async def test_an_answer_that_goes_on_is_read_as_it_comes(autojump_clock: MockClock) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            await trio.sleep(10)
            yield b"piece %d\nand" % number

    async with Harness() as h:
        add_stream(h, pieces)
        began = trio.current_time()
        async with h.http.stream("GET", "/pieces") as answer:
            times = [(trio.current_time() - began, piece) async for piece in answer]
        assert times == [(10, b"piece 0\nand"), (20, b"piece 1\nand"), (30, b"piece 2\nand")]
        async with h.http.stream("GET", "/pieces") as answer:
            lines = [await answer.read_line() for _ in range(4)]
        assert lines == ["piece 0", "andpiece 1", "andpiece 2", None]
    h.assert_quiet()


async def test_a_client_that_hangs_up_cancels_the_handler(autojump_clock: MockClock) -> None:
    ends: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await trio.sleep_forever()
        finally:
            ends.append("ended")

    async with Harness() as h:
        add_stream(h, pieces)
        async with h.http.stream("GET", "/pieces") as answer:
            assert await anext(aiter(answer)) == b"first"
            assert ends == []
        assert ends == ["ended"]
        with trio.move_on_after(3):
            await h.http.get("/pieces")
        await wait_all_tasks_blocked()
        assert ends == ["ended"] * 2
    h.assert_quiet()


async def test_an_answer_that_breaks_off_is_an_error(autojump_clock: MockClock) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("no more")

    async with Harness() as h:
        add_stream(h, pieces)
        with pytest.raises(HttpFailed, match="broke off"):
            await h.http.get("/pieces")


async def test_a_change_goes_on_when_the_client_that_asked_for_it_hangs_up(autojump_clock: MockClock) -> None:
    gate = trio.Event()

    class Late:
        flow = Flow.PASSES_ON

        async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
            await gate.wait()
            task_status.started()
            await trio.sleep_forever()

    async with Harness(more_steps=[StepType("late", NoParameters, lambda _parameters, _context: Late())]) as h:
        with trio.move_on_after(1):
            await h.http.put("/workflows", content="workflow w {\n    late\n}\n", params={"wait": "5"})
        assert h.workflow("w").active_steps == ()
        gate.set()
        await h.wait_event(WorkflowStarted, since=0)
        assert h.workflow("w").status == "Running"


async def test_a_request_before_the_block_says_what_is_missing() -> None:
    with pytest.raises(AssertionError, match="enter the harness first"):
        await Harness().http.get("/health")
