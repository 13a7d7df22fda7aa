"""Which directory a registry's URL means; only what that needs is imported. Redis' client is an extra."""

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from mmids_trio.cluster.directory import Directory
from mmids_trio.errors import MmidsError
from mmids_trio.late import late

if TYPE_CHECKING:
    from mmids_trio.cluster import etcd, redis
else:
    etcd, redis = late("mmids_trio.cluster.etcd"), late("mmids_trio.cluster.redis")


class RegistryMissing(MmidsError):
    """What a registry needs is not installed."""


def directory_of(cluster: str, url: str, now: Callable[[], float] = time) -> Directory:
    """The directory behind `url`, as the configuration has checked it. Raises `RegistryMissing`."""
    if url.startswith("etcd"):
        return etcd.EtcdDirectory(cluster, etcd.etcd_urls(url), now)
    try:
        return redis.RedisDirectory(cluster, redis.redis_client(url))
    except ImportError as error:
        raise RegistryMissing(
            f"a cluster on Redis needs the extra: pip install 'mmids_trio[cluster]' ({error})"
        ) from error
