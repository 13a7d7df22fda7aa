"""One key frame as a file of its own, which decoders take that do not know the stream."""

from mmids_trio.media.events import MediaPacket
from mmids_trio.media.fmp4.fragmenter import Chapter, Fragmenter, MediaPart


def still(header: MediaPacket | None, key_frame: MediaPacket) -> bytes | None:
    """Fragmented MP4 with that picture alone; `None` where the codec has no place in MP4, or lacks its `header`."""
    fragmenter = Fragmenter()
    outputs = [] if header is None else list(fragmenter.packet(header))
    outputs += fragmenter.packet(key_frame)
    outputs += fragmenter.end()
    inits = [one.init for one in outputs if isinstance(one, Chapter)]
    parts = [one.data for one in outputs if isinstance(one, MediaPart)]
    return b"".join((*inits, *parts)) if parts else None
