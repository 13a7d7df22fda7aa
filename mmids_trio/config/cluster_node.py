"""The cluster node: which registry a server shares its streams by, and what it is called there."""

import re
from urllib.parse import SplitResult, urlsplit

from attrs import define

from mmids_trio.config.converters import duration, filled, one_of
from mmids_trio.config.parameters_node import ParametersNode
from mmids_trio.definitions import LINGER_S, ClusterDefinition

REGISTRY_EXPECTED = (
    "expected redis://HOST:PORT, redis-sentinel://HOST:PORT,HOST:PORT,HOST:PORT/SERVICE or etcd://HOST:PORT"
)
SCHEMES = ("redis", "rediss", "redis-sentinel", "etcd", "etcds")

MOST_HOSTS = 16
"""Sentinels, or members of etcd, that one line names: several times what anybody runs."""

SHORTEST_SECRET = 16
"""Characters: whoever guesses it may pull every stream."""

_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def registry(value: str) -> str:
    """Where a registry is. Raises `ValueError`."""
    try:
        url = urlsplit(value)
    except ValueError:
        raise ValueError(REGISTRY_EXPECTED) from None
    hosts = _hosts(url)
    if url.scheme not in SCHEMES or not hosts or url.query or url.fragment:
        raise ValueError(REGISTRY_EXPECTED)
    if len(hosts) > MOST_HOSTS:
        raise ValueError(f"expected at most {MOST_HOSTS} hosts")
    for host in hosts:
        _check_host(host)
    path = url.path.strip("/")
    if url.scheme == "redis-sentinel" and (not path or "/" in path):
        raise ValueError("expected the name of the service after the sentinels: redis-sentinel://HOST:PORT/SERVICE")
    if url.scheme in ("redis", "rediss") and (len(hosts) > 1 or not re.fullmatch(r"[0-9]{0,5}", path, re.ASCII)):
        raise ValueError("expected one host and perhaps the number of a database: redis://HOST:PORT/0")
    if url.scheme in ("etcd", "etcds") and (path or "@" in url.netloc):
        raise ValueError("expected etcd://HOST:PORT alone; users of etcd's own are not known here")
    return value


def _hosts(url: SplitResult) -> list[str]:
    hosts = url.netloc.rpartition("@")[2]
    return hosts.split(",") if hosts else []


def _check_host(host: str) -> None:
    try:
        parsed = urlsplit(f"//{host}")
        name, port = parsed.hostname, parsed.port
    except ValueError:
        raise ValueError(REGISTRY_EXPECTED) from None
    if not name or port == 0 or "@" in host:
        raise ValueError(REGISTRY_EXPECTED)


def advertised(value: str) -> str:
    """Where other nodes reach this one. Raises `ValueError`."""
    expected = "expected rtmp://HOST:PORT or rtmps://HOST:PORT, which other nodes can reach"
    try:
        url = urlsplit(value)
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError(expected) from None
    extra = url.path.strip("/") or url.query or url.fragment or "@" in url.netloc
    if url.scheme not in ("rtmp", "rtmps") or not host or port == 0 or extra:
        raise ValueError(expected)
    return value.rstrip("/")


def node_name(value: str) -> str:
    """What a node is called. Raises `ValueError`."""
    if not _NODE_NAME.fullmatch(value):
        raise ValueError("expected a name of up to 64 letters, digits, '.', '-' and '_'")
    return value


def secret(value: str) -> str:
    """What all nodes of a cluster know. Raises `ValueError`."""
    if len(filled(value)) < SHORTEST_SECRET:
        raise ValueError(f"expected at least {SHORTEST_SECRET} characters, the same on every node")
    return value


@define
class ClusterNode(ParametersNode):
    """`cluster NAME {`, then `registry`, `advertise` and `secret`, and perhaps more, one a line."""

    kind = "cluster"
    parameters = {  # noqa: RUF012 - declared by the base
        "registry": registry,
        "node": node_name,
        "advertise": advertised,
        "secret": secret,
        "linger": duration("0s", "1h"),
        "on_registry_failure": one_of("allow", "deny"),
    }
    needed = {  # noqa: RUF012 - declared by the base
        "registry": "redis://HOST:PORT",
        "advertise": "rtmp://HOST:PORT",
        "secret": "SECRET",
    }

    def definition(self) -> ClusterDefinition:
        """What was understood."""
        return ClusterDefinition(
            self.name,
            registry=self.values.get("registry", ""),
            node=self.values.get("node"),
            advertise=self.values.get("advertise", ""),
            secret=self.values.get("secret", ""),
            linger_s=self.values.get("linger", LINGER_S),
            allows_on_failure=self.values.get("on_registry_failure", "allow") == "allow",
            place=self.place,
        )
