"""Entries that tests of directories write."""

from mmids_trio.cluster.directory import Incarnation, StreamEntry, StreamKey

A = Incarnation("a", "1")
B = Incarnation("b", "1")
KEY = StreamKey("live", "show")


def wanted(owner: Incarnation, epoch: int = 0, key: StreamKey = KEY, turn: int = 0) -> StreamEntry:
    """What a node asks for that wants a key."""
    return StreamEntry(key, owner, epoch, f"rtmp://{owner.node}:1935", turn)
