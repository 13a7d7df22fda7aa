"""What a server says, message by message, in the order that every known client takes.

Apart from the machine so that the wording stands in one place; all functions are pure.
"""

from mmids_trio.rtmp.protocol.amf import UNDEFINED, encode_all
from mmids_trio.rtmp.protocol.commands import (
    Command,
    command_message,
    error,
    information,
    result,
    status_message,
)
from mmids_trio.rtmp.protocol.control import STREAM_BEGIN, user_control
from mmids_trio.rtmp.protocol.message import DATA_AMF0, DATA_CHUNK_STREAM, Message
from mmids_trio.rtmp.protocol.requests import EnhancedCapabilities, PlayRequest

WINDOW_SIZE = 2_500_000
"""Bytes between acknowledgements that we ask for; we never stop sending for want of one."""

SERVER_VERSION = "FMS/3,5,7,7009"
"""What we say we are: clients compare it with versions of Adobe's server, and 3.5 has all that we use."""

SERVER_CAPABILITIES = 31.0
"""The bit field of the same server; nobody reads it, everybody sends it."""

CAN_FORWARD = 4.0
"""Enhanced RTMP v2, FourCcInfoMask.CanForward: we pass every codec on and decode none."""

FFMPEG_FLASH_VERSION = "LNX 9,0,124,2"
"""What every FFmpeg says that it is (libavformat's RTMP_CLIENT_VER)."""

SUPPORTED_CAPS_EX = 2 | 4 | 8
"""Enhanced RTMP v2, CapsExMask: multitrack, ModEx, nanosecond offsets; all pass through as they came."""

RECONNECT = 1
"""The same, CapsExMask.Reconnect: a client connects again when it is asked to. A server with it may ask."""

SAMPLE_ACCESS = encode_all(["|RtmpSampleAccess", True, True])
DATA_START = encode_all(["onStatus", {"code": "NetStream.Data.Start"}])
"""What every player hears, and in the same words: encoded once."""


def connect_accepted(command: Command, capabilities: EnhancedCapabilities) -> Message:
    """`_result` for `connect` (RTMP 1.0 §7.2.1.1).

    The object encoding is 0 whatever the client said, since AMF0 is all that we read.
    """
    properties: dict[str, object] = {"fmsVer": SERVER_VERSION, "capabilities": SERVER_CAPABILITIES}
    outcome = information("status", "NetConnection.Connect.Success", "Connection succeeded.")
    return result(command, properties | _capabilities_answer(capabilities), outcome | {"objectEncoding": 0.0})


def _capabilities_answer(announced: EnhancedCapabilities) -> dict[str, object]:
    """The names that the client used, with our values; clients that announced nothing hear nothing."""
    answer: dict[str, object] = {}
    if announced.four_cc_list is not None:
        answer["fourCcList"] = ["*"]
    if announced.video_four_cc_info is not None:
        answer["videoFourCcInfoMap"] = {"*": CAN_FORWARD}
    if announced.audio_four_cc_info is not None:
        answer["audioFourCcInfoMap"] = {"*": CAN_FORWARD}
    if announced.caps_ex is not None:
        answer["capsEx"] = float(announced.caps_ex & (SUPPORTED_CAPS_EX | RECONNECT))
    return answer


def connect_refused(command: Command, description: str) -> Message:
    """`_error` for `connect`; clients show the description."""
    return error(command, "NetConnection.Connect.Rejected", description)


def publish_accepted(stream: int, key: str) -> list[Message]:
    """What makes a client send media."""
    return [
        user_control(STREAM_BEGIN, stream),
        status_message(stream, "status", "NetStream.Publish.Start", f"Started publishing {key}."),
    ]


def play_accepted(request: PlayRequest) -> list[Message]:
    """What makes a player expect media; metadata and sequence headers follow it.

    Flash-derived players want `NetStream.Data.Start` before data, and the sample access to draw pictures.  FFmpeg
    takes the former for a data track, and lists it among the stream's.
    """
    stream, key = request.stream, request.key
    messages = [user_control(STREAM_BEGIN, stream)]
    if request.reset:
        messages.append(status_message(stream, "status", "NetStream.Play.Reset", f"Resetting {key}."))
    messages.append(status_message(stream, "status", "NetStream.Play.Start", f"Started playing {key}."))
    messages.append(Message(DATA_AMF0, stream, 0, SAMPLE_ACCESS, DATA_CHUNK_STREAM))
    if request.connect.flash_version != FFMPEG_FLASH_VERSION:
        messages.append(Message(DATA_AMF0, stream, 0, DATA_START, DATA_CHUNK_STREAM))
    return messages


def reconnect_request(description: str) -> Message:
    """Asks a client to connect again, where it did before (Enhanced RTMP v2, Reconnect Request)."""
    return status_message(0, "status", "NetConnection.Connect.ReconnectRequest", description)


def publish_ended(stream: int, key: str) -> Message:
    """Confirms the end to those who wait for it (HaishinKit, Flash)."""
    return status_message(stream, "status", "NetStream.Unpublish.Success", f"Stopped publishing {key}.")


def paused(stream: int, is_paused: bool) -> Message:
    """The answer to `pause`."""
    if is_paused:
        return status_message(stream, "status", "NetStream.Pause.Notify", "Paused.")
    return status_message(stream, "status", "NetStream.Unpause.Notify", "Playing again.")


def sought(stream: int) -> Message:
    """The answer to `seek`: on a live stream there is nowhere to go, but players wait for it."""
    return status_message(stream, "status", "NetStream.Seek.Notify", "This stream is live.")


def flash_encoder_notice(name: str, code: str, key: str) -> Message:
    """`onFCPublish` or `onFCSubscribe`, which Flash-era clients wait for (`_result` is for the others)."""
    return command_message(Command(name, 0.0, (None, information("status", code, key))))


def stream_length(command: Command) -> Message:
    """The answer to `getStreamLength`: a live stream has none, said as 0 seconds."""
    return result(command, None, 0.0)


def stream_created(command: Command, stream: int) -> Message:
    """The answer to `createStream`."""
    return result(command, None, float(stream))


def nothing_to_say(command: Command) -> Message:
    """The empty `_result`, for commands that need an answer but have none."""
    return result(command, None, UNDEFINED)
