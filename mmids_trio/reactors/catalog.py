"""All kinds of executors that come with mmids_trio."""

from mmids_trio.reactors.executor import ExecutorKind, ExecutorRegistry
from mmids_trio.reactors.simple_http import SIMPLE_HTTP


def built_in_executors(*more: ExecutorKind) -> ExecutorRegistry:
    """The registry of a server, with kinds of one's own added."""
    return ExecutorRegistry([SIMPLE_HTTP, *more])
