"""What a hostile soak concludes from what it saw, and whether its attacks say what they should: no traffic here."""

from collections import Counter

import pytest
from attrs import evolve

from benchmarks.hostile.attacks import ATTACKS, chosen
from benchmarks.hostile.bounds import SETTINGS, Peaks, at_rest, verdicts, without_bound
from benchmarks.hostile.honest import Reception, percentile, stamped
from benchmarks.hostile.stage import BOUNDS, Ports, configuration
from benchmarks.hostile.wire import Target, avc_header, frames, log_in, media, metadata, publish
from benchmarks.soak.samples import Sample
from mmids_trio.config.parser import parse
from mmids_trio.config.settings import KNOWN_SETTINGS
from mmids_trio.media.events import MediaKind
from mmids_trio.media.sequence_parameters import avc_size
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.events import Connected, PublishRequested
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from tests.support.rtmp import zeros

CALM = Sample(seconds=0, pss_mb=60.0, files=20, threads=1, tasks=60, children=0, zombies=(), workflows=0)
ALL = {"max_connections": 10, "api_max_connections": 5, "max_children": 2, "max_media_bytes": 10**6} | {
    "log_max_bytes": 1000,
    "ended_files_keep": 3600,
    "max_interrupted": 1,
}
FINE = Peaks(descriptors=20, children=2, memory=61.0, bytes_of_log=1000, files_left=3, interrupted=1)


def broken(seen: Peaks, settings: dict[str, int]) -> list[str]:
    return [verdict.what for verdict in verdicts(seen, CALM, settings) if not verdict.is_fine]


def receive(reception: Reception, *numbers: int, kind: MediaKind = MediaKind.VIDEO, took_ms: int = 1) -> None:
    for number in numbers:
        reception.take(stamped(kind, number, 1000, 0), since=0, now=1000 + took_ms * 1_000_000)


def test_what_stays_within_its_bounds_is_fine() -> None:
    assert len(verdicts(FINE, CALM, ALL)) == 6
    assert broken(FINE, ALL) == []


def test_each_figure_beyond_its_bound_is_found() -> None:
    far = Peaks(descriptors=10_000, children=3, memory=1000.0, bytes_of_log=1001, files_left=10_001, interrupted=2)
    assert broken(far, ALL) == [
        "most descriptors",
        "most children",
        "most memory",
        "most bytes of log",
        "most files left on the disk",
        "most interrupted streams",
    ]


def test_without_a_setting_its_figure_has_no_bound() -> None:
    few = {"max_connections": 10, "api_max_connections": 5}
    far = Peaks(descriptors=20, children=3, memory=1000.0, bytes_of_log=1001, files_left=10_001, interrupted=2)
    assert broken(far, few) == []
    assert len(without_bound(few)) == len(SETTINGS)
    assert without_bound(ALL) == []


def test_what_is_not_given_back_is_found() -> None:
    assert all(verdict.is_fine for verdict in at_rest(CALM, evolve(CALM, pss_mb=159.0, files=40), 0))
    left = at_rest(CALM, evolve(CALM, pss_mb=161.0, files=90, children=1), 1)
    assert [verdict.what for verdict in left if not verdict.is_fine] == [
        "memory left at rest",
        "files left at rest",
        "files of ended streams on the disk at rest",
        "children left at rest",
    ]


@pytest.mark.parametrize(
    ("numbers", "lost"), [((5, 6, 7), 0), ((5, 8, 9), 2), ((5, 6, 6), 1), ((5, 7, 6, 8), 2)], ids=str
)
def test_a_frame_that_is_missing_or_comes_again_counts_as_lost(numbers: tuple[int, ...], lost: int) -> None:
    reception = Reception()
    receive(reception, *numbers)
    receive(reception, 1, 2, kind=MediaKind.AUDIO)
    assert (reception.lost, reception.frames) == (lost, len(numbers) + 2)


def test_only_what_was_sent_while_it_watched_has_a_delay() -> None:
    reception = Reception()
    reception.take(stamped(MediaKind.VIDEO, 0, 10, 0), since=11, now=10**9)
    receive(reception, 1, took_ms=3)
    assert reception.delays == {30: 1}


def test_a_percentile_is_the_least_that_so_many_are_within() -> None:
    delays = Counter({10: 98, 50: 1, 900: 1})
    assert [percentile(delays, part) for part in (0.5, 0.99, 1.0)] == [1.0, 5.0, 90.0]
    assert percentile(Counter(), 0.99) == 0


def test_the_server_under_attack_has_a_valid_configuration_with_the_bounds_that_it_knows() -> None:
    document = parse(configuration(Ports(1, 2, 3, 4)), "mmids.config")
    assert document.problems == document.warnings == ()
    assert without_bound({name: 1 for name in BOUNDS.keys() & KNOWN_SETTINGS.keys()}) == []
    for name in BOUNDS.keys() & KNOWN_SETTINGS.keys():
        assert str(getattr(document.settings, name)) == BOUNDS[name]


def test_attacks_that_need_a_bound_run_only_where_it_is_or_by_their_name() -> None:
    assert {name for name, attack in ATTACKS.items() if set(attack.needs) <= KNOWN_SETTINGS.keys()} == set(chosen(()))
    assert set(chosen(("huge-metadata",))) == {"huge-metadata"}
    assert all(attack.name == name and attack.act.__doc__ for name, attack in ATTACKS.items())


@pytest.mark.parametrize("size", [(320, 176), (4096, 4096), (16_384, 16_384)], ids=str)
def test_a_made_header_says_its_size(size: tuple[int, int]) -> None:
    assert avc_size(avc_header(*size)[5:]) == size


def test_what_attackers_send_in_one_piece_is_understood() -> None:
    server = ServerConnection(zeros)
    said = log_in("live") + publish("key") + metadata(width=4096.0) + media(types.VIDEO, avc_header(320, 176))
    first = server.receive_data(said + frames(2, b"\x65\x88"))
    assert [type(event) for event in first] == [Connected, PublishRequested]


def test_no_two_words_of_an_attacker_are_the_same() -> None:
    target = Target(1, 2, 3)
    assert len({target.word() for _ in range(100)}) == 100
