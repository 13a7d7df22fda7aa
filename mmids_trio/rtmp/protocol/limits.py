"""What one RTMP peer may make us hold or do, as numbers.

They stand apart from the code that enforces them, so that an operator's question "why was it cut
off?" has one page to read.  Whatever exceeds one of them is a `ProtocolError` on that connection.
"""

MAX_MESSAGE = 0xFFFFFF
"""Bytes of one message of any type not named below: all that the 24-bit length field can say (16 MiB
less one, RTMP 1.0 §5.3.1.2). A 4K key frame needs more than the 1 MiB that nginx-rtmp allows."""

MAX_COMMAND = 64 * 1024
"""Bytes of one command message (types 17 and 20). Commands seen in the wild stay below 2 KiB."""

MAX_DATA = 1024 * 1024
"""Bytes of one data message (types 15 and 18): metadata, cue points. nginx-rtmp's limit for any message."""

MAX_CONTROL = 16
"""Bytes of one protocol or user control message (types 1 to 6). The longest defined one that a server
gets is SetBufferLength with 10 (RTMP 1.0 §5.4, §7.1.7)."""

MAX_CHUNK_SIZE = 0xFFFFFF
"""Bytes of one chunk's payload. Larger announcements mean the same, since no message is longer
(RTMP 1.0 §5.4.1)."""

DEFAULT_CHUNK_SIZE = 128
"""Bytes of one chunk's payload until the sender announces otherwise (RTMP 1.0 §5.4.1)."""

MAX_CHUNK_STREAMS = 64
"""Chunk streams known at once on one connection. Encoders use up to 8; each costs half a kilobyte."""

CHUNKS_PER_TURN = 512
"""Chunks of one connection that are read before others have a turn. The smallest cost 2 to 4 µs each with all that
follows from them, so a turn is 1 to 2 ms at most; 64 KiB of usual media hold fewer than 400 messages."""

MAX_BYTES_BEFORE_CONNECT = 64 * 1024
"""Bytes after the handshake within which `connect` must be complete: one command at its limit."""

MAX_BUFFERED = 32 * 1024 * 1024
"""Bytes of unfinished messages on one connection: a largest message under way, and as much again for
what interleaves with it. Without it, every chunk stream could hold a largest message."""

MAX_BUFFERED_BEFORE_PUBLISH = MAX_COMMAND
"""The same for a client that was not let in as a publisher (yet): one command. Who sends media before it is answered
waits, unread, for the answer."""

MAX_BUFFERED_OF_PLAYER = 16 * 1024
"""The same for one that plays, and says hardly anything any more."""

LEAST_TALK = 256
"""Bytes that a command or data message counts as at least: what the smallest one costs, in the time that reading large
ones takes."""

VALUE_TALK = 48
"""Bytes that each AMF value in them counts as, beside those that it has: what decoding one takes, 2 to 3 µs."""

TALK_PER_TURN = 16 * 1024
"""Bytes, so counted, that one connection says before others have a turn: 1 to 2 ms."""

MAX_COMMAND_VALUES = 256
"""AMF values in one command; `connect` of Enhanced RTMP with long lists of codecs has some 40."""

MAX_TALK_BURST = 4 * MAX_DATA
"""Bytes of commands, data and user control messages that a client may send at once: the largest metadata, and more."""

MAX_TALK_RATE = 128 * 1024
"""The same, a second in the long run: 512 small messages. Captions come with every frame at most, 60 a second."""

MAX_TALK_BURST_OF_ADDRESS = 8 * MAX_DATA
"""What all clients of one address may say at once, whoever of them connects anew: a player that joins says 4 kB, so
1,000 of them fit twice. Captions of publishers do not count."""

MAX_TALK_RATE_OF_ADDRESS = 512 * 1024
"""The same, a second in the long run: 2 to 5 % of a core."""

MAX_AMF_DEPTH = 16
"""Objects and arrays within each other in one AMF0 value. `onMetaData` with a key frame index has 3."""

MAX_AMF_ITEMS = 32 * 1024
"""Values in one AMF0 body, those within objects and arrays and behind references included: the key frame
index of a nine-hour recording fits, and decoding the worst case stays within tens of milliseconds."""

MAX_AMF_EXPANSION = MAX_DATA
"""Bytes that the references in one AMF0 body may stand for when they are written out: no more than a
body without references could say."""
