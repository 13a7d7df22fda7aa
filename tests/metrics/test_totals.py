"""Counts outlive whoever counts: no series ever goes back."""

from functools import partial
from random import Random

import pytest
from attrs import define

from mmids_trio.metrics.catalog import STEP_EVENTS, STEP_PASS, STEP_WATCHERS
from mmids_trio.metrics.counts import Counts, Distribution
from mmids_trio.metrics.totals import OTHER, Labels, Tally, Totals

PLACE: Labels = ("w", "1", "rtmp_watch")


@define(eq=False)
class Counter:
    """Counts events, and how many watch."""

    events: int = 0
    watchers: int = 0

    def read(self) -> Counts:
        return {(STEP_EVENTS, ()): self.events, (STEP_WATCHERS, ()): self.watchers}


def events(totals: Totals) -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for labels, counts in totals.walk():
        value = counts[STEP_EVENTS, ()]
        assert not isinstance(value, Distribution)
        assert labels not in found
        found[labels] = value
    return found


def test_what_a_step_counted_stays_when_it_has_ended_but_for_gauges() -> None:
    totals = Totals()
    tally = totals.open(PLACE, Counter(7, watchers=3).read)
    totals.close(tally)
    totals.close(tally)
    assert list(totals.walk()) == [(PLACE, {(STEP_EVENTS, ()): 7})]


def test_who_comes_back_goes_on_counting() -> None:
    totals = Totals()
    totals.close(totals.open(PLACE, Counter(7).read))
    totals.open(PLACE, Counter(5, watchers=2).read)
    assert list(totals.walk()) == [(PLACE, {(STEP_EVENTS, ()): 12, (STEP_WATCHERS, ()): 2})]


def test_two_in_one_place_are_one_series_and_what_the_first_counted_stays_with_the_second() -> None:
    totals = Totals()
    first = totals.open(PLACE, Counter(1).read)
    second = totals.open(PLACE, Counter(10).read)
    assert events(totals) == {PLACE: 11}
    totals.close(first)
    assert events(totals) == {PLACE: 11}
    totals.close(second)
    assert events(totals) == {PLACE: 11}


def test_who_goes_on_in_another_place_leaves_what_it_has_counted_but_for_gauges() -> None:
    totals, counter = Totals(), Counter(7, watchers=3)
    durations = Distribution()
    durations.observe(0.002)
    tally = totals.open(PLACE, lambda: {**counter.read(), (STEP_PASS, ()): durations})
    other: Labels = ("w", "2", "rtmp_watch")
    kept = totals.move(tally, other)
    counter.events += 5
    durations.observe(0.5)
    counts = dict(totals.walk())
    assert events(totals) == {PLACE: 7, other: 5}
    assert (STEP_WATCHERS, ()) not in counts[PLACE]
    assert counts[other][STEP_WATCHERS, ()] == 3
    both = [each[STEP_PASS, ()] for each in counts.values()]
    assert [each.total for each in both if isinstance(each, Distribution)] == pytest.approx([0.5, 0.002])
    totals.close(totals.move(kept, PLACE))
    assert events(totals) == {PLACE: 7, other: 5}


def test_who_leaves_in_the_middle_of_a_walk_is_counted_once() -> None:
    totals = Totals()
    tallies = [totals.open(("w", str(number), "x"), Counter(number).read) for number in range(1, 6)]
    walk = totals.walk()
    seen = [next(walk)]
    for tally in tallies:
        totals.close(tally)
    totals.open(("w", "3", "x"), Counter(100).read)
    seen += walk
    assert [counts[STEP_EVENTS, ()] for _, counts in seen] == [1, 2, 103, 4, 5]


def test_durations_are_summed_up_as_well() -> None:
    totals = Totals()
    for _ in range(2):
        durations = Distribution()
        durations.observe(0.002)
        counts: Counts = {(STEP_PASS, ()): durations}
        totals.close(totals.open(PLACE, partial(dict, counts)))
    [(_, counts)] = totals.walk()
    value = counts[STEP_PASS, ()]
    assert isinstance(value, Distribution)
    assert (value.count, value.total) == (2, 0.004)


def test_the_number_of_places_is_bounded_and_the_sum_stays() -> None:
    totals = Totals(max_departed=10)
    for number in range(100):
        totals.close(totals.open(("w", str(number), "x"), Counter(1).read))
    found = events(totals)
    assert len(found) == 10
    assert found[OTHER] == 91
    assert sum(found.values()) == 100


def test_no_series_goes_back_whatever_happens() -> None:
    random, totals = Random(7), Totals(max_departed=3)
    live: list[tuple[Tally, Counter]] = []
    before: dict[Labels, float] = {}
    for _ in range(3_000):
        if live and random.random() < 0.5:
            tally, _ = live.pop(random.randrange(len(live)))
            totals.close(tally)
        elif live and random.random() < 0.3:
            place = random.randrange(len(live))
            tally, counter = live[place]
            live[place] = totals.move(tally, ("w", str(random.randrange(8)), "x")), counter
        else:
            counter = Counter()
            live.append((totals.open(("w", str(random.randrange(8)), "x"), counter.read), counter))
        for _, counter in live:
            counter.events += random.randrange(3)
        now = events(totals)
        # A series that has become part of "other" may come back from 0, which Prometheus takes for a restart.
        assert all(now[labels] >= before[labels] for labels in now.keys() & before.keys())
        assert sum(now.values()) >= sum(before.values())
        before = now
