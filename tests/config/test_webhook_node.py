"""The node `webhook`: what it says, what is wrong with it, and where it may stand."""

import pytest

from mmids_trio.config.parser import parse, parse_set
from mmids_trio.config.webhook_node import MOST_WEBHOOKS
from mmids_trio.definitions import WebhookDefinition
from mmids_trio.errors import ConfigurationError

NODE = """webhook alerts {
    url https://user:s3cret@hooks.example.org/s3cret
    secret s3cret
    types workflow_failed,target_down
    workflow show
}
webhook all {
    url http://127.0.0.1:9/
}
"""


def test_a_node_says_where_and_what() -> None:
    document = parse(NODE, "test")
    assert document.problems == ()
    assert document.webhooks == (
        WebhookDefinition(
            "alerts",
            "https://user:s3cret@hooks.example.org/s3cret",
            "s3cret",
            ("workflow_failed", "target_down"),
            "show",
        ),
        WebhookDefinition("all", "http://127.0.0.1:9/"),
    )
    assert "s3cret" not in repr(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webhook {\n    url http://a/\n}", "expected a webhook name"),
        ("webhook a {\n}", "expected a line 'url URL' in this webhook"),
        ("webhook a {\n    url ftp://s3cret/\n}", "url: expected an http or https URL"),
        ("webhook a {\n    url http://a/\n    types s3cret\n}", "types: expected names of events"),
        (
            "webhook a {\n    url http://a/\n    secrets s3cret\n}",
            "unknown parameter 'secrets'; did you mean 'secret'?",
        ),
        ("webhook a {\n    url http://a/\n    url http://s3cret/\n}", "parameter 'url' is given twice"),
        ("webhook a {\n    url http://a/\n}\nwebhook a {\n    url http://b/\n}", "duplicate webhook name 'a'"),
    ],
)
def test_what_is_wrong_is_told_without_its_value(text: str, message: str) -> None:
    [problem] = parse(text, "test").problems
    assert message in problem.message
    assert "s3cret" not in str(problem)


def test_there_may_be_so_many() -> None:
    nodes = "".join(f"webhook w{number} {{\n    url http://a/\n}}\n" for number in range(MOST_WEBHOOKS + 1))
    [problem] = parse(nodes, "test").problems
    assert problem.message == f"too many webhooks; there may be {MOST_WEBHOOKS}"


def test_a_client_cannot_send_one() -> None:
    with pytest.raises(ConfigurationError, match="webhooks belong in the server's own file"):
        list(parse_set(NODE, "<request>"))
