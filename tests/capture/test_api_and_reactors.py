"""What is noted of requests to the API and of questions to reactors, whatever becomes of them."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, cast

import pytest
import trio
from attrs import define, field
from hypercorn.typing import ASGIFramework
from trio.testing import MockClock

from mmids_trio.capture import records
from mmids_trio.capture.masking import KEEP, Masking
from mmids_trio.capture.taps import MAX_BODY, CapturedApi, CapturedExecutors
from mmids_trio.capture.writer import CaptureWriter
from mmids_trio.config.parameters import NoParameters
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.reactors.executor import Answer, Executor, ExecutorFailure, ExecutorKind, ExecutorRegistry
from mmids_trio.stream_request import StreamRequest
from mmids_trio.testing.http import HttpClient, HttpFailed
from tests.support.tapes import MEBIBYTE, SECRET, MemoryTape

ASK = ReactorDefinition("lookup", "scripted", 0, {}, None)


def a_capture() -> CaptureWriter:
    return CaptureWriter(MemoryTape(), Masking(SECRET, secrets=KEEP), 16 * MEBIBYTE)


def noted(capture: CaptureWriter) -> list[records.Record]:
    return list(capture._queue)


async def echo(_scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with what it was sent."""
    message = await receive()
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": message["body"], "more_body": False})


async def refuse_unread(_scope: Any, _receive: Any, send: Any) -> None:
    """An application that does not read what it was sent."""
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def wait_for_the_end(_scope: Any, receive: Any, _send: Any) -> None:
    """An application that does not answer."""
    await receive()
    assert (await receive())["type"] == "http.disconnect"


def client(app: Any, capture: CaptureWriter, nursery: trio.Nursery) -> HttpClient:
    captured = CapturedApi(cast(ASGIFramework, app), capture)
    return HttpClient(lambda: cast(ASGIFramework, captured), lambda: nursery)


async def test_a_request_is_noted_with_the_headers_that_count(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    capture = a_capture()
    headers = {"If-Match": '"1"', "Cookie": "c=secret", "Host": "here"}
    answer = await client(echo, capture, nursery).put("/a%20b", content="text", params={"wait": "5"}, headers=headers)
    assert (answer.status, answer.content) == (201, b"text")
    assert noted(capture) == [
        records.Requested(0, 1, "PUT", "/a%20b?wait=5", 'host: here\nif-match: "1"', b"text"),
        records.Responded(0, 1, 201),
    ]


async def test_a_request_that_was_not_read_is_noted_before_its_answer(nursery: trio.Nursery) -> None:
    capture = a_capture()
    await client(refuse_unread, capture, nursery).put("/", content="text")
    [asked, answered] = noted(capture)
    assert isinstance(asked, records.Requested)
    assert asked.body == b""
    assert isinstance(answered, records.Responded)
    assert answered.status == 413


async def test_who_hangs_up_had_no_answer(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    capture = a_capture()
    with trio.move_on_after(1):
        await client(wait_for_the_end, capture, nursery).get("/")
    await trio.sleep(1)
    assert noted(capture)[1:] == [records.HungUp(1_000_000, 1), records.Responded(1_000_000, 1, None)]


async def test_no_more_of_a_body_is_kept_than_the_api_would_read(nursery: trio.Nursery) -> None:
    capture = a_capture()
    await client(echo, capture, nursery).put("/", content=bytes(MAX_BODY + 1))
    [asked, _] = noted(capture)
    assert isinstance(asked, records.Requested)
    assert len(asked.body) == MAX_BODY


async def test_nothing_is_noted_when_the_capture_is_over(nursery: trio.Nursery) -> None:
    capture = a_capture()
    capture.is_over = True
    assert (await client(echo, capture, nursery).get("/")).status == 201
    assert noted(capture) == []


async def test_an_application_that_crashes_is_as_broken_as_before(nursery: trio.Nursery) -> None:
    async def crash(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError("broken")

    capture = a_capture()
    with pytest.raises(HttpFailed):
        await client(crash, capture, nursery).get("/")
    assert [type(record) for record in noted(capture)] == [records.Requested, records.Responded]


@define
class Scripted:
    """An executor that gives one answer, or raises it."""

    answer: Answer | BaseException
    asked: list[str] = field(factory=list)

    async def release(self, request: StreamRequest) -> None:
        """See `Executor`."""

    async def ask(self, request: StreamRequest) -> Answer:
        """See `Executor`."""
        self.asked.append(request.name)
        await trio.sleep(2)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def open(self) -> AbstractAsyncContextManager[Executor]:
        """As a captured registry makes it."""
        return nullcontext(self)


async def asked(capture: CaptureWriter, executor: Scripted) -> Answer:
    kinds = ExecutorRegistry([ExecutorKind("scripted", NoParameters, lambda _parameters: executor.open())])
    async with CapturedExecutors(kinds, capture).choose(ASK).open() as captured:
        return await captured.ask(StreamRequest(key="show", query="token=secret"))


async def test_an_answer_is_noted_and_passed_on(autojump_clock: MockClock) -> None:
    capture, answer = a_capture(), Answer(True)
    assert await asked(capture, Scripted(answer)) is answer
    assert noted(capture) == [
        records.Asked(0, 1, "lookup", "show"),
        records.Told(2_000_000, 1, records.VALID, b""),
    ]


@pytest.mark.parametrize(
    ("error", "text"),
    [(ExecutorFailure("it is busy"), b"it is busy"), (ValueError("private"), b"the request crashed: ValueError")],
)
async def test_a_failure_is_noted_and_passed_on(error: Exception, text: bytes, autojump_clock: MockClock) -> None:
    capture = a_capture()
    with pytest.raises(type(error)):
        await asked(capture, Scripted(error))
    assert noted(capture)[1] == records.Told(2_000_000, 1, records.FAILED, text)


async def test_a_question_that_nobody_waits_for_any_more_has_no_answer(autojump_clock: MockClock) -> None:
    capture = a_capture()
    with trio.move_on_after(1):
        await asked(capture, Scripted(Answer(False)))
    assert noted(capture)[1] == records.Told(1_000_000, 1, records.CANCELLED, b"")


async def test_a_reactor_with_mistakes_is_refused_as_ever() -> None:
    problems = CapturedExecutors(ExecutorRegistry([]), a_capture()).problems(ASK)
    assert "unknown executor" in problems[0].message


async def test_two_questions_about_one_stream_are_noted_apart_with_an_answer_each(autojump_clock: MockClock) -> None:
    recorder, executor = a_capture(), Scripted(Answer(False))
    kinds = ExecutorRegistry([ExecutorKind("scripted", NoParameters, lambda _values: executor.open())])
    async with CapturedExecutors(kinds, recorder).choose(ASK).open() as recorded, trio.open_nursery() as nursery:
        nursery.start_soon(recorded.ask, StreamRequest(key="show"))
        await trio.sleep(1)
        nursery.start_soon(recorded.ask, StreamRequest(key="show"))
    assert executor.asked == ["show", "show"]
    assert noted(recorder) == [
        records.Asked(0, 1, "lookup", "show"),
        records.Asked(1_000_000, 2, "lookup", "show"),
        records.Told(2_000_000, 1, records.INVALID, b""),
        records.Told(3_000_000, 2, records.INVALID, b""),
    ]
