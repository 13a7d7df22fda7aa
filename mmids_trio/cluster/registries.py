"""Which directory a registry's URL means. Redis' client is imported only where it is asked for: it is an extra."""

from collections.abc import Callable
from time import time

from mmids_trio.cluster.directory import Directory
from mmids_trio.errors import MmidsError


class RegistryMissing(MmidsError):
    """What a registry needs is not installed."""


def directory_of(cluster: str, url: str, now: Callable[[], float] = time) -> Directory:
    """The directory behind `url`, as the configuration has checked it. Raises `RegistryMissing`."""
    if url.startswith("etcd"):
        from mmids_trio.cluster.etcd import EtcdDirectory, etcd_urls  # noqa: PLC0415

        return EtcdDirectory(cluster, etcd_urls(url), now)
    try:
        from mmids_trio.cluster.redis import RedisDirectory, redis_client  # noqa: PLC0415
    except ImportError as error:
        if error.name != "coredis":
            raise
        raise RegistryMissing("a cluster on Redis needs the extra: pip install 'mmids_trio[cluster]'") from None
    return RedisDirectory(cluster, redis_client(url))
