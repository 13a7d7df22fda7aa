"""Generated streams: tests of media need no files and no encoder.

The packets have the form of their codecs, as far as a server looks into them; a decoder would find noise.  Every
payload is unique, so that a checker (`checker`) knows each packet by its bytes wherever it turns up.
"""

from collections.abc import Mapping
from random import Random
from typing import Literal

from attrs import evolve, frozen

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId

VideoCodec = Literal["avc1", "hvc1", "av01", "vp09"]
AudioCodec = Literal["mp4a", "Opus"]

_WITH_OFFSET = ("avc1", "hvc1")
"""Video codecs whose frames may be reordered; their packets carry composition offsets."""

_VIDEO_HEADERS: Mapping[VideoCodec, bytes] = {
    # a decoder configuration record with one SPS and one PPS
    "avc1": bytes.fromhex("1700000000 0142c01f ffe1 0008 6742c01fda014016 01 0004 68ce3c80"),
    "hvc1": b"\x90hvc1" + bytes.fromhex("01 01 60000000 900000000000 5d f000 fc fd f8f8 0000 0f 00"),
    "av01": b"\x90av01" + bytes.fromhex("81 04 0c 00"),
    "vp09": b"\x90vp09" + bytes.fromhex("01000000 00 0a 82 02 02 02 0000"),
}
_AUDIO_HEADERS: Mapping[AudioCodec, bytes] = {
    "mp4a": bytes.fromhex("af00 1210"),  # AAC-LC, 44.1 kHz, stereo
    "Opus": b"\x90Opus" + b"OpusHead" + bytes.fromhex("01 02 3801 80bb0000 0000 00"),
}
VIDEO_HEADER, AUDIO_HEADER = _VIDEO_HEADERS["avc1"], _AUDIO_HEADERS["mp4a"]
"""The sequence headers of H.264 and AAC."""

_SLICES: Mapping[VideoCodec, tuple[bytes, bytes]] = {
    "avc1": (b"\x65", b"\x41"),
    "hvc1": (b"\x26\x01", b"\x02\x01"),
    "av01": (b"", b""),
    "vp09": (b"", b""),
}
"""How the only NAL unit of a key frame begins, and of another frame."""

_SAMPLES: Mapping[AudioCodec, tuple[int, int]] = {"mp4a": (1024, 44_100), "Opus": (960, 48_000)}
"""Samples in a frame, and in a second."""


def generate_stream(
    stream_id: str = "stream",
    *,
    seconds: float,
    fps: int = 25,
    gop: int = 25,
    b_frames: int = 2,
    audio: bool = True,
    video: bool = True,
    video_codec: VideoCodec = "avc1",
    audio_codec: AudioCodec = "mp4a",
    start_timestamp: int = 0,
    seed: int = 0,
    key_frame_bytes: int = 2_000,
    frame_bytes: int = 400,
    audio_bytes: int = 100,
) -> list[MediaPacket]:
    """Sequence headers, then `seconds` of frames in the order of their timestamps (video first among equals).

    `gop` is the number of video frames from one key frame to the next, `b_frames` that of the B-frames between two
    others (0 for codecs whose packets carry no composition offset); `start_timestamp` in milliseconds (timestamps wrap
    at 2**32); sizes are those of the packets.  Codecs other than H.264 and AAC have the form of Enhanced RTMP.  The
    same arguments give the same stream; another `seed` gives other payloads throughout.
    """
    identity = StreamId(stream_id)
    random = Random(f"{stream_id} {seed}")
    headers, frames = [], []
    if video:
        form = _VideoForm(video_codec, fps, gop, b_frames if video_codec in _WITH_OFFSET else 0)
        headers.append(parse_video(identity, 0, _VIDEO_HEADERS[video_codec]))
        for number in range(round(seconds * fps)):
            size = frame_bytes if number % gop else key_frame_bytes
            frames.append(parse_video(identity, number * 1000 // fps, form.frame(number, random.randbytes(size))))
    if audio:
        headers.append(parse_audio(identity, 0, _AUDIO_HEADERS[audio_codec]))
        samples, rate = _SAMPLES[audio_codec]
        head = b"\xaf\x01" if audio_codec == "mp4a" else b"\x91Opus"
        for number in range(round(seconds * rate / samples)):
            data = head + random.randbytes(audio_bytes - len(head))
            frames.append(parse_audio(identity, number * samples * 1000 // rate, data))
    frames.sort(key=lambda packet: (packet.timestamp, packet.kind is MediaKind.AUDIO))
    return [evolve(packet, timestamp=(packet.timestamp + start_timestamp) % 2**32) for packet in (*headers, *frames)]


def generate_metadata(*, fps: int = 25, audio: bool = True, video: bool = True) -> dict[str, object]:
    """Values of an `onMetaData` that suits a generated stream (of H.264 and AAC)."""
    of_video = {"width": 640.0, "height": 360.0, "framerate": float(fps), "videocodecid": 7.0, "videodatarate": 300.0}
    of_audio = {"audiocodecid": 10.0, "audiosamplerate": 44_100.0, "stereo": True}
    return {**(of_video if video else {}), **(of_audio if audio else {}), "encoder": "generated"}


@frozen
class _VideoForm:
    """How the frames of a stream look."""

    codec: VideoCodec
    fps: int
    gop: int
    b_frames: int

    def frame(self, number: int, noise: bytes) -> bytes:
        """The body of one frame, as long as `noise`, which is its end."""
        is_key_frame = number % self.gop == 0
        head = self._head(is_key_frame) + self._offset_bytes(number)
        start = _SLICES[self.codec][0 if is_key_frame else 1]
        if not start:
            return head + noise[len(head) :]
        taken = len(head) + 4 + len(start)
        unit = start + noise[taken:]
        return head + len(unit).to_bytes(4, "big") + unit

    def _head(self, is_key_frame: bool) -> bytes:
        if self.codec == "avc1":
            return bytes((0x17 if is_key_frame else 0x27, 1))
        return bytes((0x91 if is_key_frame else 0xA1,)) + self.codec.encode()

    def _offset_bytes(self, number: int) -> bytes:
        if self.codec not in _WITH_OFFSET:
            return b""
        return (self._offset(number % self.gop) * 1000 // self.fps).to_bytes(3, "big")

    def _offset(self, place: int) -> int:
        """The composition offset of the frame at this place of its group, in frames.

        In decoding order a group is I, then P and the B-frames that are shown before it, again and again.  A rest that
        is too short for that is shown as it is decoded.
        """
        if not self.b_frames:
            return 0
        run = self.b_frames + 1
        is_rest = place > (self.gop - 1) // run * run
        if place == 0 or is_rest:
            return 1
        return run if (place - 1) % run == 0 else 0
