"""Who asks a reactor's service when many want to: bounded, fair, and at nobody's expense but their own."""

from collections import Counter
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import TooManyQuestions
from mmids_trio.reactors.asker import Asker
from mmids_trio.reactors.line import (
    MAX_AT_ONCE,
    MAX_AT_ONCE_OF_ADDRESS,
    MAX_OPEN_OF_ADDRESS,
    MAX_OPEN_OF_CONNECTION,
    QuestionLine,
)
from mmids_trio.reactors.simple_http import SimpleHttpParameters, http_url, open_simple_http
from mmids_trio.stream_request import StreamRequest
from mmids_trio.testing.clients import ClientRefused, Disconnected
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.reactors import FakeReactorService, invalid
from tests.reactors.stand_ins import Bench, Holder, ScriptedExecutor

THEIRS, OURS = "192.0.2.1", "198.51.100.1"
SECONDS = 3.0


async def slow_bench(nursery: trio.Nursery) -> Bench:
    bench = Bench(nursery, executor=ScriptedExecutor(seconds=SECONDS))
    await bench.start()
    return bench


async def flood(bench: Bench, connections: int = 40, streams: int = 16, address: str = THEIRS) -> list[Holder]:
    """As many streams on as many connections of one address; those that were let in."""
    held = []
    for connection in range(connections):
        for stream in range(streams):
            try:
                held.append(bench.hold(f"{connection}/{stream}", asker=Asker(address, f"c{connection}")))
            except TooManyQuestions:
                assert stream >= MAX_OPEN_OF_CONNECTION
    await wait_all_tasks_blocked()
    return held


@pytest.mark.thorough
async def test_who_comes_from_elsewhere_does_not_wait_behind_a_crowd(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bench = await slow_bench(nursery)
    assert len(await flood(bench)) == 40 * MAX_OPEN_OF_CONNECTION
    honest = bench.hold("honest", asker=Asker(OURS, "ours"))
    await honest.hold.wait_answer()
    assert bench.asked("honest") == [0]
    assert trio.current_time() - bench.began == SECONDS


@pytest.mark.thorough
async def test_another_connection_of_the_same_address_waits_for_one_question_of_each(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bench = await slow_bench(nursery)
    await flood(bench)
    honest = bench.hold("honest", asker=Asker(THEIRS, "ours"))
    await honest.hold.wait_answer()
    assert bench.asked("honest") == [SECONDS]  # in the next round, not in the fifth


@pytest.mark.thorough
async def test_addresses_take_turns(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """All places are taken, and many of two addresses wait; the third is asked about in the next round."""
    bench = await slow_bench(nursery)
    await flood(bench, connections=40, address=THEIRS)
    for number in range(200):
        bench.hold(f"other {number}", asker=Asker("203.0.113.1", number))
    await wait_all_tasks_blocked()
    assert len(bench.executor.busy) == MAX_AT_ONCE
    honest = bench.hold("honest", asker=Asker(OURS, "ours"))
    await honest.hold.wait_answer()
    assert bench.asked("honest") == [SECONDS]


@pytest.mark.thorough
async def test_a_service_is_asked_so_much_at_once_and_one_address_has_not_all_of_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bench = await slow_bench(nursery)
    await flood(bench)
    assert len(bench.executor.busy) == MAX_AT_ONCE_OF_ADDRESS
    for number in range(50):
        bench.hold(f"other {number}", asker=Asker(f"198.51.100.{number}", "x"))
    await wait_all_tasks_blocked()
    assert len(bench.executor.busy) == MAX_AT_ONCE
    assert bench.reactor.questions == 40 * MAX_OPEN_OF_CONNECTION + 50
    await trio.sleep(60)
    assert bench.reactor.questions == 0
    assert len(bench.executor.asked) == 40 * MAX_OPEN_OF_CONNECTION + 50


@pytest.mark.thorough
async def test_one_address_has_only_so_many_open(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    bench = await slow_bench(nursery)
    for number in range(MAX_OPEN_OF_ADDRESS):
        bench.hold(str(number), asker=Asker(THEIRS, number))
    with pytest.raises(TooManyQuestions, match="of one address"):
        bench.hold("more", asker=Asker(THEIRS, "more"))
    bench.hold("0", asker=Asker(THEIRS, "joins what is asked already"))
    bench.hold("elsewhere", asker=Asker(OURS, "x"))
    bench.hold("a step forwards", asker=Asker("step 1 of workflow w"))


async def test_queries_of_one_key_are_questions_of_their_own_and_bounded_as_such(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    bench = await slow_bench(nursery)
    asker = Asker(THEIRS, "c")
    for number in range(MAX_OPEN_OF_CONNECTION):
        bench.hold(StreamRequest(key="key", query=f"q={number}"), asker=asker)
    with pytest.raises(TooManyQuestions, match="of one connection"):
        bench.hold(StreamRequest(key="key", query="q=more"), asker=asker)
    bench.hold(StreamRequest(key="key", query="q=0"), asker=asker)  # joins
    watched = [StreamRequest(key="other", query=f"q={number}", action="watch") for number in range(1000)]
    for request in watched:
        bench.hold(request, asker=Asker(OURS, "w"))
    assert len(bench.reactor.view().leases) == MAX_OPEN_OF_CONNECTION + 1


async def test_who_has_an_answer_may_ask_again(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    bench = await slow_bench(nursery)
    asker = Asker(THEIRS, "c")
    for number in range(MAX_OPEN_OF_CONNECTION):
        bench.hold(f"first {number}", asker=asker)
    with pytest.raises(TooManyQuestions, match="of one connection"):
        bench.hold("one more", asker=asker)
    await trio.sleep(SECONDS + 0.1)
    for number in range(MAX_OPEN_OF_CONNECTION):
        bench.hold(f"second {number}", asker=asker)


def test_one_answer_frees_one_place() -> None:
    line, asker = QuestionLine(), Asker(THEIRS, "c")
    place, *_ = [line.place(asker) for _ in range(MAX_OPEN_OF_CONNECTION)]
    for _ in range(2):
        place.settle()
    line.place(asker)
    with pytest.raises(TooManyQuestions, match="of one connection"):
        line.place(asker)


@pytest.mark.thorough
async def test_who_lets_go_frees_its_places(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    bench = await slow_bench(nursery)
    for holder in await flood(bench):
        holder.hold.release()
    await wait_all_tasks_blocked()
    assert bench.reactor.questions == 0
    assert len(await flood(bench)) == 40 * MAX_OPEN_OF_CONNECTION


@pytest.mark.thorough
async def test_whoever_is_cancelled_whenever_nothing_is_lost(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    line, random = QuestionLine(), Random(16)
    asked: Counter[str] = Counter()

    async def ask(address: str, scope: trio.CancelScope) -> None:
        with scope:
            async with line.turn(Asker(address, random.randrange(5))):
                asked[address] += 1
                assert asked[address] <= MAX_AT_ONCE_OF_ADDRESS
                assert asked.total() <= MAX_AT_ONCE
                try:
                    await trio.sleep(random.random())
                finally:
                    asked[address] -= 1

    for number in range(3_000):
        scope = trio.CancelScope()
        nursery.start_soon(ask, f"192.0.2.{number % 7}", scope)
        if random.random() < 0.3:
            scope.deadline = trio.current_time() + random.random()
        if number % 100 == 0:
            await trio.sleep(random.random() / 4)
    await trio.sleep(100)
    assert (line.at_once, line.waiting, asked.total()) == (0, 0, 0)
    async with line.turn(Asker(OURS)):
        assert line.at_once == 1


@pytest.mark.thorough
async def test_the_client_of_simple_http_has_no_line_of_its_own() -> None:
    """A service that answers when all questions have come: a wait in the client would count as the service's time."""
    questions, all_came = 2 * MAX_AT_ONCE, trio.Event()
    came = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal came
        async with stream:
            await stream.receive_some(10_000)
            came += 1
            if came == questions:
                all_came.set()
            await all_came.wait()
            await stream.send_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        async with (
            open_simple_http(SimpleHttpParameters(http_url(f"http://127.0.0.1:{port}/"))) as executor,
            trio.open_nursery() as asking,
        ):
            for number in range(questions):
                asking.start_soon(executor.ask, StreamRequest(key=str(number)))
        nursery.cancel_scope.cancel()
    assert came == questions


@pytest.mark.thorough
async def test_who_asks_about_too_much_is_refused_and_counted(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmids_trio.reactors.line.MAX_OPEN_OF_ADDRESS", 50)
    service = FakeReactorService(otherwise=invalid(after=5.0))
    text = "reactor r executor=scripted {\n}\nworkflow w {\nrtmp_receive rtmp_app=live stream_key=* reactor=r\n}\n"
    async with Harness(text, more_executors=[service.kind()]) as h:
        async with trio.open_nursery() as nursery:
            for number in range(55):
                nursery.start_soon(_try_to_publish, h, f"live/{number}")
        assert h.server.rejections.raised() == {
            "not_approved": 50,
            "too_many_questions_to_reactor": 5,
        }
        assert len(service.calls) == 50
    h.assert_quiet()


async def _try_to_publish(h: Harness, name: str) -> None:
    with pytest.raises((ClientRefused, Disconnected)):
        await h.publish(name, peer_host=THEIRS)
