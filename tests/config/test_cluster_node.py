"""The node `cluster`: what it says, what is wrong with it, and where it may stand."""

from pathlib import Path

import pytest

from mmids_trio.cli.checking import check_texts
from mmids_trio.config.parser import parse, parse_set
from mmids_trio.definitions import ClusterDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.reload.configuration_file import load
from mmids_trio.reload.source_files import SourceFile
from mmids_trio.server.building import World, build_server

NODE = """cluster world {
    registry redis://:s3cret-of-redis@registry.example.org:6379/1
    node edge-1
    advertise rtmp://edge-1.example.org:1935
    secret s3cret-of-all-nodes
    linger 1m
    on_registry_failure deny
}
"""
LEAST = "cluster c {\n    registry etcd://a\n    advertise rtmp://b\n    secret 0123456789abcdef\n}\n"


def with_registry(url: str) -> str:
    return LEAST.replace("etcd://a", url)


def test_a_node_says_where_and_what() -> None:
    document = parse(NODE, "test")
    assert document.problems == ()
    assert document.cluster == ClusterDefinition(
        "world",
        registry="redis://:s3cret-of-redis@registry.example.org:6379/1",
        advertise="rtmp://edge-1.example.org:1935",
        secret="s3cret-of-all-nodes",
        node="edge-1",
        linger_s=60.0,
        allows_on_failure=False,
    )
    assert "s3cret" not in repr(document)


def test_what_is_not_said_has_a_default() -> None:
    cluster = parse(LEAST, "test").cluster
    assert cluster is not None
    assert (cluster.node, cluster.linger_s, cluster.allows_on_failure) == (None, 30.0, True)
    assert parse("", "test").cluster is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://a",
        "rediss://user:pass@a:1/15",
        "redis://[::1]:6379",
        "redis-sentinel://a,b:1,[::1]:26379/mmids",
        "etcd://a:1,b:2",
        "etcds://a",
    ],
)
def test_registries_are_understood(url: str) -> None:
    assert parse(with_registry(url), "test").problems == ()


@pytest.mark.parametrize(
    "url",
    [
        "a:6379",
        "http://a",
        "redis://",
        "redis://a:x",
        "redis://a:99999",
        "redis://a,b",
        "redis://a/x",
        "redis://a?db=1",
        "redis-sentinel://a",
        "redis-sentinel://a/b/c",
        "etcd://a/b",
        "etcd://user:s3cret@a",
        "redis://[::1",
        "etcd://" + ",".join("abcdefghijklmnopqrs"),
    ],
)
def test_registries_that_make_no_sense_are_refused_without_being_shown(url: str) -> None:
    [problem] = parse(with_registry(url), "test").problems
    assert "registry: expected" in problem.message
    assert "s3cret" not in str(problem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NODE.replace("cluster world", "cluster"), "expected a cluster name"),
        (LEAST.replace("    secret 0123456789abcdef\n", ""), "expected a line 'secret SECRET' in this cluster"),
        (LEAST.replace("    registry etcd://a\n", ""), "expected a line 'registry redis://HOST:PORT' in this cluster"),
        (LEAST.replace("0123456789abcdef", "s3cret"), "secret: expected at least 16 characters"),
        (LEAST.replace("rtmp://b", "http://b"), "advertise: expected rtmp://HOST:PORT"),
        (LEAST.replace("rtmp://b", "rtmp://b/live"), "advertise: expected rtmp://HOST:PORT"),
        (NODE.replace("edge-1\n", '"an edge"\n', 1), "node: expected a name of up to 64"),
        (NODE.replace("deny", "perhaps"), "on_registry_failure: expected"),
        (NODE.replace("linger 1m", "linger 2h"), "linger: expected"),
        (NODE.replace("linger", "lingers"), "unknown parameter 'lingers'; did you mean 'linger'?"),
        (NODE + LEAST, "a second cluster node; a server is in one cluster"),
    ],
)
def test_what_is_wrong_is_told_without_its_value(text: str, message: str) -> None:
    [problem] = parse(text, "test").problems
    assert message in problem.message
    assert "s3cret" not in str(problem)


def test_a_client_cannot_send_one() -> None:
    with pytest.raises(ConfigurationError, match="clusters belong in the server's own file"):
        list(parse_set(NODE, "<request>"))


def test_two_files_may_not_name_one_each(tmp_path: Path) -> None:
    (tmp_path / "more.mmids").write_text(LEAST)
    main = tmp_path / "main.mmids"
    main.write_text(NODE + "include more.mmids\n")
    with pytest.raises(ConfigurationError, match="a second cluster node"):
        load(main, lambda document: build_server(document.settings))


def test_a_step_of_a_cluster_is_checked_in_a_file_of_its_own(tmp_path: Path) -> None:
    step = "workflow w {\n    rtmp_receive rtmp_app=live stream_key=* cluster\n}\n"
    main, more = SourceFile("main.mmids", NODE, tmp_path), SourceFile("more.mmids", step, tmp_path)
    assert check_texts([main, more]).problems == ()
    [problem] = check_texts([more]).problems
    assert "needs a cluster" in problem.message


def test_a_node_without_a_name_is_called_as_its_host() -> None:
    document = parse(LEAST, "test")
    server = build_server(document.settings, cluster=document.cluster, world=World(host_name=lambda: "machine-7"))
    assert server.cluster is not None
    assert server.cluster.node == "machine-7"
    assert build_server(document.settings).cluster is None
