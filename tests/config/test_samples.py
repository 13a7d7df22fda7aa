"""Whole configurations, as operators write them."""

from pathlib import Path

import pytest

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import Document, parse


def read(path: Path) -> Document:
    return parse(decode(path.read_bytes(), path.name), path.name)


@pytest.mark.parametrize(
    ("name", "workflows", "steps"),
    [("simple", 1, 2), ("everything", 7, 20), ("crlf-no-final-newline", 1, 1)],
)
def test_a_good_sample_has_neither_errors_nor_warnings(name: str, workflows: int, steps: int, samples: Path) -> None:
    document = read(samples / f"{name}.mmids")
    assert (document.problems, document.warnings) == ((), ())
    assert len(document.workflows) == workflows
    assert sum(len(workflow.steps) for workflow in document.workflows) == steps
    assert document.settings.http_api_port == 9011


def test_everything_means_what_it_says(samples: Path) -> None:
    document = read(samples / "everything.mmids")
    workflows = {workflow.name: workflow for workflow in document.workflows}
    assert document.settings.ffmpeg_path == "/opt/media tools/ffmpeg"
    assert document.settings.tls_cert_password == "p#ss word"
    assert document.reactors[0].parameters == {"url": "http://127.0.0.1:9055/test?a=b&c=d"}
    assert document.reactors[0].update_interval == 15
    assert workflows["secure_read_watch"].steps[0].parameters["rtmps"] is None
    assert workflows["ladder"].steps[2].parameters["path"] == "/tmp/hls/pre view"
    target = "rtmp://a.example.com/live2/abcd-efgh?backup=1&key=a=b"
    assert workflows["ladder"].steps[-1].parameters == {"target": target}
    assert [name for name, workflow in workflows.items() if workflow.routed_by_reactor] == ["by_reactor"]


def test_the_broken_sample_has_two_errors_of_syntax_and_leaves_the_rest_to_the_steps(samples: Path) -> None:
    document = read(samples / "broken.mmids")
    assert [(p.place.line, p.place.column) for p in document.problems] == [(8, 10), (11, 24)]
    assert "duplicate workflow name 'one' (first on line 3)" in document.problems[0].message
    assert "expected a closing quote" in document.problems[1].message
    assert [(step.step_type, dict(step.parameters)) for w in document.workflows for step in w.steps] == [
        ("rtmp_recieve", {"rtmp_app": "live", "stream_key": "*"}),
        ("rtmp_watch", {"rtmp_app": "live"}),
        ("rtmp_watch", {"rtmp_app": "a", "stream_key": "*"}),
        ("ffmpeg_hls", {"path": "/tmp/x", "count": "5"}),
    ]
    assert [step.place.line for w in document.workflows for step in w.steps if step.place] == [4, 5, 9, 10]
