"""What the first bytes of an FLV tag body say: codec, key frame, sequence header, composition offset.

It stands apart from events and from every protocol, since RTMP messages and FLV tags share these bodies.
Nothing here raises: a body that makes no sense is a packet about which nothing is known, and passes on.
The headers of Enhanced RTMP have a file of their own.
"""

from typing import Final

from mmids_trio.media.enhanced import parse_enhanced_audio, parse_enhanced_video, signed_24
from mmids_trio.media.events import AUDIO, OTHER, VIDEO, MediaPacket, StreamId

_ENHANCED_BIT = 0x80
_KEY_FRAME, _COMMAND_FRAME = 1, 5
_SEQUENCE_HEADER, _CODED_FRAMES = 0, 1
_ENHANCED_AUDIO = 9
_AAC = 10

_AVC, _AVC_HEADER_SIZE = 7, 5
_AVC_KEY_FRAME, _AVC_COMMAND = _KEY_FRAME << 4 | _AVC, _COMMAND_FRAME << 4 | _AVC

_VIDEO_CODECS: Final = {
    2: "flv1",  # Sorenson H.263
    3: "fsv1",  # screen video
    4: "vp6f",
    5: "vp6a",
    6: "fsv2",
    7: "avc1",
    12: "hvc1",  # never assigned by Adobe; what Chinese encoders and CDNs send
}
_VIDEO_WITH_PACKET_TYPE: Final = (7, 12)

_AUDIO_CODECS: Final = {
    0: "lpcm",
    1: "swfa",  # ADPCM
    2: ".mp3",
    3: "lpcm",
    4: "nmos",  # Nellymoser, 16 kHz mono
    5: "nmos",  # 8 kHz mono
    6: "nmos",
    7: "alaw",
    8: "ulaw",
    10: "mp4a",
    11: "spex",
    14: ".mp3",  # 8 kHz
}


def parse_video(stream_id: StreamId, timestamp: int, data: bytes) -> MediaPacket:
    """The packet for a video tag body (FLV 10.1 §E.4.3.1; Enhanced RTMP v2, ExVideoTagHeader).

    A sequence header is not a key frame; an end of sequence and a command frame are neither.
    """
    if not data:
        return MediaPacket(stream_id, VIDEO, timestamp, data)
    first = data[0]
    if first & _ENHANCED_BIT:
        found = parse_enhanced_video(data)
        frame_type = (first >> 4) & 0x07
        return MediaPacket(
            stream_id,
            VIDEO,
            timestamp,
            data,
            found.codec,
            found.is_coded and frame_type == _KEY_FRAME and found.track == 0,
            found.is_sequence_header,
            found.composition_offset,
        )
    if first & 0x0F == _AVC and data[1:2] == b"\x01" and len(data) >= _AVC_HEADER_SIZE and first != _AVC_COMMAND:
        # Nearly all there is, in one go.
        offset = int.from_bytes(data[2:5], "big", signed=True)
        return MediaPacket(stream_id, VIDEO, timestamp, data, "avc1", first == _AVC_KEY_FRAME, False, offset)
    codec = first & 0x0F
    frame_type = first >> 4
    is_key_frame, is_header, offset = frame_type == _KEY_FRAME, False, 0
    if codec in _VIDEO_WITH_PACKET_TYPE and frame_type != _COMMAND_FRAME:
        packet_type = data[1] if len(data) > 1 else None
        is_header = packet_type == _SEQUENCE_HEADER
        is_key_frame = is_key_frame and packet_type == _CODED_FRAMES
        if packet_type == _CODED_FRAMES:
            offset = signed_24(data[2:5])
    return MediaPacket(stream_id, VIDEO, timestamp, data, _VIDEO_CODECS.get(codec), is_key_frame, is_header, offset)


def parse_audio(stream_id: StreamId, timestamp: int, data: bytes) -> MediaPacket:
    """The packet for an audio tag body (FLV 10.1 §E.4.2.1; Enhanced RTMP v2, ExAudioTagHeader)."""
    if not data:
        return MediaPacket(stream_id, AUDIO, timestamp, data)
    sound_format = data[0] >> 4
    if sound_format == _ENHANCED_AUDIO:
        found = parse_enhanced_audio(data)
        return MediaPacket(stream_id, AUDIO, timestamp, data, found.codec, False, found.is_sequence_header)
    is_header = sound_format == _AAC and data[1:2] == b"\x00"
    return MediaPacket(stream_id, AUDIO, timestamp, data, _AUDIO_CODECS.get(sound_format), False, is_header)


def parse_other(stream_id: StreamId, timestamp: int, data: bytes) -> MediaPacket:
    """The packet for anything that is neither audio nor video; nothing is read from it."""
    return MediaPacket(stream_id, OTHER, timestamp, data)
