"""What `check FILE` and the start of a server say about reactors."""

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.errors import ConfigurationError
from mmids_trio.reactors.executor import ExecutorRegistry
from mmids_trio.reactors.registry import Reactors
from mmids_trio.reactors.simple_http import SIMPLE_HTTP
from tests.reactors.stand_ins import FakeWorkflows

EXECUTORS = ExecutorRegistry([SIMPLE_HTTP])


def problems(text: str) -> list[str]:
    document = parse(text, "test")
    assert document.problems == ()
    found = [problem for definition in document.reactors for problem in EXECUTORS.problems(definition)]
    assert all((problem.place.line, problem.place.column) == (1, 9) for problem in found)
    return [problem.message for problem in found]


def http(*lines: str) -> str:
    return "\n".join(["reactor r executor=simple_http {", *lines, "}"])


@pytest.mark.parametrize("url", ["http://h", "https://h:8443/a?b=c", "HTTP://[::1]:9055/x", "http://u:p@h/"])
@pytest.mark.parametrize("more", [[], ["on_failure allow"], ["on_failure deny"]])
def test_a_url_is_all_that_it_needs(url: str, more: list[str]) -> None:
    assert problems(http(f"url {url}", *more)) == []


@pytest.mark.parametrize("url", ["h", "/h", "ftp://h/", "file:///etc/passwd", "http://", "http:///x", "http://h:0/"])
def test_what_is_no_http_url_is_refused_without_showing_it(url: str) -> None:
    [message] = problems(http(f"url {url}"))
    assert message.startswith("reactor 'r': bad value for 'url': expected an http or https URL; ")
    assert url not in message.partition(";")[2].split()


@pytest.mark.parametrize("url", ["http://[::1", "http://h:x/", "http://h:99999/", '"http://a b/"'])
def test_a_malformed_url_is_refused(url: str) -> None:
    assert len(problems(http(f"url {url}"))) == 1


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (http(), ["reactor 'r': missing required parameter 'url'"]),
        (http("url"), ["reactor 'r': bad value for 'url': expected a value after the name"]),
        (
            http("urk http://h"),
            [
                "reactor 'r': unknown parameter 'urk'; did you mean 'url'?",
                "reactor 'r': missing required parameter 'url'",
            ],
        ),
        (
            http("url http://h", "zzzzz 1"),
            [
                "reactor 'r': unknown parameter 'zzzzz'; expected one of url, release_url, header, "
                "on_failure, query_per_watcher"
            ],
        ),
        (
            http("url http://h", "on_failure alow"),
            ["reactor 'r': bad value for 'on_failure': expected one of deny, allow; did you mean 'allow'?"],
        ),
        (
            "reactor r executor=simple_htp {\n}",
            ["unknown executor 'simple_htp'; did you mean 'simple_http'?"],
        ),
        ("reactor r executor=x {\n}", ["unknown executor 'x'; expected one of simple_http"]),
    ],
)
def test_every_problem_is_named(text: str, messages: list[str]) -> None:
    assert problems(text) == messages


async def test_a_reactor_with_problems_does_not_run() -> None:
    with pytest.raises(ConfigurationError, match="missing required parameter 'url'"):
        await Reactors(parse(http(), "test").reactors, EXECUTORS).run(FakeWorkflows())


@pytest.mark.parametrize(("line", "allows"), [("", False), ("on_failure deny", False), ("on_failure allow", True)])
def test_on_failure_is_part_of_the_choice(line: str, allows: bool) -> None:
    [definition] = parse(http("url http://h", line), "test").reactors
    assert EXECUTORS.choose(definition).common.allow_on_failure is allows
