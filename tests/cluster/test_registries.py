"""Which registry a URL means, and what is said where its client is not installed."""

import sys

import pytest

from mmids_trio.cluster.registries import RegistryMissing, directory_of


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379", "redis-sentinel://127.0.0.1:26379/mmids"])
def test_without_the_client_of_redis_the_extra_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mmids_trio.cluster.redis", raising=False)
    monkeypatch.setitem(sys.modules, "coredis", None)
    with pytest.raises(RegistryMissing, match=r"pip install 'mmids_trio\[cluster\]'"):
        directory_of("world", url)


def test_etcd_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coredis", None)
    directory_of("world", "etcd://127.0.0.1:2379")
