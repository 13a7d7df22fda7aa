"""This checkout beside another one: who takes part, and what their figures say. Pure.

What else a machine does changes from round to round and hits both, so the ratio within a round is what counts.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from attrs import evolve, frozen

from benchmarks.figures import Run
from benchmarks.subjects import Ours, Subject
from benchmarks.tables import shown, warning_of

ROUNDS = 5
OTHER = " (other)"
"""What the name of the other checkout's subject ends with."""


def beside(subjects: Sequence[Subject], root: Path) -> list[Subject]:
    """Our own among `subjects`, each with the same of the checkout at `root` beside it."""
    ours = [subject for subject in subjects if isinstance(subject, Ours)]
    return [each for own in ours for each in (own, evolve(own, name=own.name + OTHER, root=root))]


@frozen
class Pair:
    """One figure of both checkouts in one round."""

    round: int
    ours: float
    other: float

    @property
    def ratio(self) -> float | None:
        """Ours by the other's; `None` where that is nothing."""
        return self.ours / self.other if self.other else None


@frozen
class Comparison:
    """One figure of one subject (with so many watchers) over all rounds in which both were measured."""

    subject: str
    figure: str
    watchers: float | None
    pairs: Sequence[Pair]

    @property
    def median(self) -> float | None:
        """Of the ratios; `None` without any."""
        ratios = [pair.ratio for pair in self.pairs if pair.ratio is not None]
        return median(ratios) if ratios else None


def compare(runs: Sequence[Run], figures: Sequence[str]) -> list[Comparison]:
    """What `runs` say about each of `figures`, by subject and number of watchers."""
    values = {
        (run.subject, run.figures.get("watchers"), figure, run.round): run.figures[figure]
        for run in runs
        for figure in figures
        if figure in run.figures
    }
    rounds = sorted({number for *_, number in values})
    groups = dict.fromkeys((subject, watchers) for subject, watchers, _, _ in values if not subject.endswith(OTHER))
    return [
        Comparison(subject, figure, watchers, pairs)
        for subject, watchers in groups
        for figure in figures
        if (
            pairs := [
                Pair(number, values[mine], values[other])
                for number in rounds
                if (mine := (subject, watchers, figure, number)) in values
                and (other := (subject + OTHER, watchers, figure, number)) in values
            ]
        )
    ]


def text_of(row: str, runs: Sequence[Run], figures: Sequence[str], notes: Sequence[str]) -> str:
    """Markdown tables of a row: a line for each round of each figure, and one for the median of the ratios."""
    comparisons = compare(runs, figures)
    lines = [f"### {row}", ""]
    if warning := warning_of(runs):
        lines += [f"**{warning}**", ""]
    for comparison in comparisons:
        crowd = "" if comparison.watchers is None else f", {comparison.watchers:g} watchers"
        lines += [
            f"{comparison.subject}{crowd}",
            "",
            f"| round | {comparison.figure} | the other | ratio |",
            "| --- | ---: | ---: | ---: |",
            *map(_line, comparison.pairs),
            f"| median |  |  | {_ratio(comparison.median)} |",
            "",
        ]
    if not comparisons:
        lines += ["No round was measured on both.", ""]
    lines += [f"- {' '.join(note.split())}" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


def _line(pair: Pair) -> str:
    return f"| {pair.round + 1} | {shown(pair.ours)} | {shown(pair.other)} | {_ratio(pair.ratio)} |"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3f}"
