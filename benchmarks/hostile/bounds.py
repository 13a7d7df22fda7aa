"""What the server may hold at most while it is attacked, as its settings say, and what became of that. Pure."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from benchmarks.soak.samples import Sample
from benchmarks.soak.trend import Verdict, rests

FILES_PER_CHILD = 6
"""Pipes of a child, and its log."""
KEPT_QUESTIONS = 21
"""Idle connections to the web service: 20 that the reactor keeps for its next questions, and the webhook's."""
FREE_FILES = 150
"""Descriptors beside connections and children: 100 questions under way (httpx2 allows no more), listeners, logs."""

BYTES_PER_CONNECTION = 256 * 1024
"""What a connection costs beside its media: its objects, replies that wait, and what was just read."""
FREE_MEGABYTES = 60.0
"""What the allocator keeps, and what is under way."""

KEPT_MEGABYTES = 40.0
"""What is kept to be asked for: 16 MiB of changes (`state.history`) and 4 MiB of log lines, as texts and objects."""

ENDED_FILES = 10_000
"""As the setting `ended_files_keep` says; it has no other number."""

SETTINGS = {
    "memory": "max_media_bytes",
    "children": "max_children",
    "bytes of log": "log_max_bytes",
    "files left on the disk": "ended_files_keep",
    "interrupted streams": "max_interrupted",
}
"""Which figure has a bound only if the server has the setting."""

NOT_HELD_YET: frozenset[str] = frozenset()
"""Verdicts that are known to fail: they are printed, and fail nothing."""


@frozen
class Peaks:
    """The largest of what was seen while the server was attacked."""

    descriptors: int
    children: int
    memory: float
    """In millions of bytes."""
    bytes_of_log: int
    files_left: int
    interrupted: int
    """Streams that wait for their publishers."""


def peaks(samples: Sequence[Sample], *, bytes_of_log: int, files_left: int, interrupted: int) -> Peaks:
    """The largest of each figure of the samples, and the others as they were."""
    return Peaks(
        max(sample.files for sample in samples),
        max(sample.children for sample in samples),
        max(sample.pss_mb for sample in samples),
        bytes_of_log,
        files_left,
        interrupted,
    )


def verdicts(seen: Peaks, calm: Sample, settings: Mapping[str, int]) -> list[Verdict]:
    """Every bound that follows from `settings` (those that the server has), beside what it held when it was `calm`."""
    connections = settings["max_connections"] + settings["api_max_connections"]
    children = settings.get("max_children", seen.children)
    allowed = {
        "descriptors": connections + FILES_PER_CHILD * children + FREE_FILES,
        "children": children,
        "memory": calm.pss_mb
        + FREE_MEGABYTES
        + (settings.get("max_media_bytes", 0) + BYTES_PER_CONNECTION * connections) / 1e6,
        "bytes of log": settings.get("log_max_bytes", 0),
        "files left on the disk": ENDED_FILES,
        "interrupted streams": settings.get("max_interrupted", 0),
    }
    found = {
        "descriptors": seen.descriptors,
        "children": seen.children,
        "memory": seen.memory,
        "bytes of log": seen.bytes_of_log,
        "files left on the disk": seen.files_left,
        "interrupted streams": seen.interrupted,
    }
    return [
        Verdict(f"most {what}", float(found[what]), float(allowed[what]), "MB" if what == "memory" else "")
        for what in allowed
        if SETTINGS.get(what) is None or SETTINGS[what] in settings
    ]


def at_rest(before: Sample, after: Sample, ended_files: int) -> list[Verdict]:
    """Whether everything was given back, but for memory that the allocator keeps, and connections to the service."""
    usual = {verdict.what: verdict for verdict in rests(before, after)}
    grown, files = usual.pop("pss_mb left at rest"), usual.pop("files left at rest")
    return [
        Verdict("memory left at rest", grown.found, FREE_MEGABYTES + KEPT_MEGABYTES, "MB"),
        Verdict("files left at rest", files.found, files.allowed + KEPT_QUESTIONS),
        Verdict("files of ended streams on the disk at rest", float(ended_files), 0.0),
        *usual.values(),
    ]


def without_bound(settings: Mapping[str, int]) -> list[str]:
    """What the server does not bound, for want of the setting."""
    return [f"{what} ({name})" for what, name in SETTINGS.items() if name not in settings]
