"""What is read from /proc."""

import os

import pytest

from benchmarks.measure import TICK_SECONDS, Cpu, busy_in, cpu, memory_in, ticks_in

ROLLUP = """\
556ab487d000-7ffd1a9e3000 ---p 00000000 00:00 0                          [rollup]
Rss:                1000 kB
Pss:                 500 kB
Pss_Dirty:           112 kB
"""


def test_the_time_of_a_process_is_found_behind_any_name() -> None:
    stat = "17 (a) b) 1 2) S 1 17 17 0 -1 4194560 9 0 0 0 250 50 7 8 20 0 1 0 100"
    assert ticks_in(stat) == pytest.approx(300 * TICK_SECONDS)


def test_the_time_of_threads_counts_where_it_is_finer() -> None:
    assert Cpu(1.00, 0.987).since(Cpu(0.99, 0.985)) == pytest.approx(0.002)


def test_the_time_of_threads_that_have_ended_counts_too() -> None:
    assert Cpu(3.0, 0.5).since(Cpu(1.0, 0.9)) == pytest.approx(2.0 - 2 * TICK_SECONDS)


def test_memory_is_read_in_thousands_of_bytes() -> None:
    assert memory_in(ROLLUP).rss == pytest.approx(1024)
    assert memory_in(ROLLUP).pss == pytest.approx(512)


def test_the_work_of_one_core_is_that_of_processes() -> None:
    stat = "cpu  9 9 9 9 9\ncpu0 1 2 3 50 60\ncpu1 10 20 30 50 60 70\n"
    assert busy_in(stat, 1) == pytest.approx(60 * TICK_SECONDS)
    with pytest.raises(ValueError, match="no core 2"):
        busy_in(stat, 2)


def test_this_process_has_used_some_time() -> None:
    assert cpu(os.getpid()).threads > 0
