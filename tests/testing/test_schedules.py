"""One test under many schedules: that they differ, that a seed repeats one, and what the report says."""

import re
import textwrap
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing.schedules import schedule, seeds

RACE = """
    import pytest, trio

    async def race(order, *more):
        async def racer(name):
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                order.append(name)
        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(racer, name)
"""

FRAIL = (
    RACE
    + """
    @pytest.mark.schedules(200)
    async def test_a_is_never_last(autojump_clock):
        order = []
        await race(order)
        print(*order)
        assert order[-1] != "a"
"""
)

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """pytest in this process, on one file and with the options given."""

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makeini("[pytest]\ntrio_mode = true\n")
        pytester.makepyfile(textwrap.dedent(source))
        return pytester.runpytest_inprocess("-p", "mmids_trio.testing.plugin", "-p", "no:randomly", *options)

    return run


def finishing_order() -> str:
    order: list[str] = []

    async def racer(name: str) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(name)

    async def race() -> None:
        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(racer, name)

    trio.run(race, clock=MockClock(autojump_threshold=0))
    return "".join(order)


def order_of(seed: int) -> str:
    with schedule(seed):
        return finishing_order()


def printed(result: pytest.RunResult, pattern: str) -> str:
    [found] = set(re.findall(pattern, result.stdout.str(), re.MULTILINE))
    return str(found)


def test_a_seed_is_a_schedule_and_another_seed_is_another() -> None:
    orders = [order_of(seed) for seed in range(20)]
    assert [order_of(seed) for seed in range(20)] == orders
    assert len(set(orders)) > 10


def test_schedules_outside_go_on_as_if_nothing_had_been() -> None:
    with schedule(1):
        alone = [finishing_order() for _ in range(5)]
    with schedule(1):
        assert [finishing_order() for number in range(5) if order_of(number)] == alone


def test_seeds_follow_from_the_base_seed_and_the_name_of_the_test() -> None:
    assert seeds(1, "a", 5)[:3] == seeds(1, "a", 3)
    assert len({*seeds(1, "a", 100), *seeds(2, "a", 100), *seeds(1, "b", 100)}) == 300


@pytest.mark.thorough
def test_a_failing_schedule_ends_the_test_and_its_seed_fails_in_the_same_way_again(run: Run) -> None:
    first = run(FRAIL)
    first.assert_outcomes(failed=1)
    seed = printed(first, r"replay with --schedule-seed=(\d+)$")
    assert f"--schedule-seed={seed}" in first.stdout.str().partition("schedules that failed")[2]
    again = run(FRAIL, f"--schedule-seed={seed}")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines([f"schedules: only seed {seed}", f"schedule seed {seed} (1 of 1)*"])
    order = r"^((?:[abcd] ){11}a)$"
    assert printed(again, order) == printed(first, order)


@pytest.mark.thorough
def test_the_base_seed_of_the_header_repeats_the_whole_run(run: Run) -> None:
    first = run(FRAIL)
    base = printed(first, r"base seed (\d+) \(repeat with --schedule-base\)$")
    again = run(FRAIL, f"--schedule-base={base}")
    failing = r"^schedule seed (\d+ \(\d+ of 200\))"
    assert printed(again, failing) == printed(first, failing)


@pytest.mark.thorough
def test_a_test_that_passes_counts_once_and_runs_once_for_each_seed(run: Run) -> None:
    source = """
        import pytest
        ran = []

        @pytest.mark.schedules(7)
        async def test_one(schedule_seed):
            ran.append(schedule_seed)

        def test_two():
            assert len(set(ran)) == len(ran) == {}
    """
    run(source.format(7)).assert_outcomes(passed=2)
    run(source.format(3), "--schedules=3").assert_outcomes(passed=2)
    run(source.format(1), "--schedule-seed=5").assert_outcomes(passed=2)


@pytest.mark.thorough
def test_priorities_let_a_task_run_to_its_end_before_others_begin(run: Run) -> None:
    source = (
        RACE
        + """
    @pytest.mark.schedules(30, changes=0)
    async def test_one_after_the_other(autojump_clock):
        order = []
        await race(order)
        assert "".join(order) == "".join(sorted(order, key=order.index))
"""
    )
    run(source).assert_outcomes(passed=1)
    run(source.replace(", changes=0", "")).assert_outcomes(failed=1)


@pytest.mark.thorough
def test_every_schedule_has_fixtures_and_an_instance_of_its_own(run: Run) -> None:
    source = """
        import pytest, trio
        kept, ends = [], []

        @pytest.fixture(scope="module")
        def shared():
            yield object()
            ends.append("shared")

        @pytest.fixture
        async def own(nursery, shared):
            yield [shared, await nursery.start(child)]
            ends.append("own")

        async def child(task_status):
            task_status.started(object())
            await trio.sleep_forever()

        class TestOne:
            @pytest.mark.schedules(5)
            async def test_one(self, own, autojump_clock):
                assert not hasattr(self, "mark")
                self.mark = True
                assert trio.current_time() == 0
                await trio.sleep(3600)
                kept.append((own, autojump_clock))

        def test_two():
            assert ends == ["own"] * 5
            assert len({id(clock) for _, clock in kept}) == len({id(own[1]) for own, _ in kept}) == 5
            assert len({id(own[0]) for own, _ in kept}) == 1
    """
    run(source).assert_outcomes(passed=2)


@pytest.mark.thorough
def test_a_seed_gives_the_same_run_wherever_fixtures_lie_in_memory(run: Run) -> None:
    source = """
        import pytest, trio
        orders, kept = [], []

        async def say(order, name):
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                order.append(name)

        @pytest.fixture
        async def one(nursery):
            order = []
            for name in "abcd":
                nursery.start_soon(say, order, name)
            return order

        @pytest.fixture
        async def two(nursery, one):
            await say(one, "e")

        @pytest.fixture
        async def three(one):
            await say(one, "f")

        @pytest.mark.schedules(1)
        @pytest.mark.parametrize("number", range(20))
        async def test_race(number, request, one, two, three, nursery):
            await say(one, "t")
            nursery.cancel_scope.cancel()
            kept.append([request.node.funcargs] + [object() for _ in range(number)])
            orders.append("".join(one))

        def test_orders():
            assert len(orders) == 20 and len(set(orders)) == 1
    """
    run(source, "--schedule-seed=7").assert_outcomes(passed=21)


@pytest.mark.thorough
def test_what_fails_around_the_test_is_reported_with_the_seed_too(run: Run) -> None:
    source = """
        import pytest

        @pytest.fixture
        def frail():
            yield
            raise ValueError("cannot let go")

        @pytest.fixture(scope="module")
        def shared():
            yield
            raise ValueError("the module cannot end")

        @pytest.mark.schedules(3)
        async def test_one(frail, shared):
            print("only once")
    """
    result = run(source)
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*only once*"])
    result.stdout.fnmatch_lines(["*the module cannot end*"])
    assert result.stdout.str().count("only once") <= 2  # in the source and in the output of one round
    printed(result, r"^schedule seed (\d+) \(1 of 3\); replay with")


@pytest.mark.thorough
def test_a_test_that_skips_itself_or_is_expected_to_fail_stays_what_it_is(run: Run) -> None:
    source = """
        import pytest

        @pytest.mark.schedules
        async def test_one():
            pytest.skip("not here")

        @pytest.mark.xfail
        @pytest.mark.schedules(3)
        async def test_two():
            raise ValueError
    """
    run(source).assert_outcomes(skipped=1, xfailed=1)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@pytest.mark.schedules(0)\nasync def test_x(): pass", "takes a number of at least 1, not 0"),
        ("@pytest.mark.schedules(2)\n@given(st.none())\nasync def test_x(x): pass", "does not go with @given"),
        ("async def test_x(schedule_seed): pass", "for tests that are marked"),
    ],
)
def test_a_wrong_use_is_explained(source: str, complaint: str, run: Run) -> None:
    result = run(f"import pytest\nfrom hypothesis import given, strategies as st\n{source}\n")
    assert result.ret
    assert complaint in result.stdout.str() + result.stderr.str()


@pytest.mark.thorough
def test_a_file_that_cannot_be_read_is_reported_as_ever(run: Run) -> None:
    run("import nothing_of_this_name").assert_outcomes(errors=1)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("option", "complaint"),
    [("--schedules=0", "--schedules must be at least 1"), ("--cancel-at=4", "--cancel-at takes a checkpoint")],
)
def test_a_wrong_option_is_explained(option: str, complaint: str, run: Run) -> None:
    assert complaint in run("", option).stderr.str()
