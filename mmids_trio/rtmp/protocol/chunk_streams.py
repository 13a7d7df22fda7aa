"""Which chunk stream each kind of outgoing message travels on.

The numbers are ours to choose (RTMP 1.0 §5.3.1.1 fixes only 2); they are apart so that the session's
replies and the fan-out's shared bytes agree on them.  All are below 64, since some readers refuse the
longer forms of the basic header.
"""

CONTROL_CHUNK_STREAM = 2
"""Protocol control and user control messages, as RTMP 1.0 §5.4 demands."""

COMMAND_CHUNK_STREAM = 3
"""Commands that answer no command in particular; a result goes on the chunk stream that its command used."""

STATUS_CHUNK_STREAM = 5
"""`onStatus` and everything else that belongs to a message stream but is no media."""

DATA_CHUNK_STREAM = 5
"""Metadata and other data messages."""

AUDIO_CHUNK_STREAM = 4
VIDEO_CHUNK_STREAM = 6

MAX_CHUNK_STREAM_TO_WRITE = 63
"""Highest chunk stream id with a basic header of one byte (RTMP 1.0 §5.3.1.1)."""
