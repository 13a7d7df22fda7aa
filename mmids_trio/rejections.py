"""What the server keeps out and cuts off, counted by reason.

In the lowest layer because every wall counts here: the RTMP protocol, sessions, the accepting loop and the HTTP API.
One object per server; plain numbers that only grow, for whoever wants to show them.
"""

from collections.abc import Iterator, Mapping
from enum import Enum


class RejectReason(Enum):
    """Why somebody was kept out or cut off; the value is its name to the outside."""

    # RTMP connections.
    TOO_MANY = "connections_beyond_limit"
    TOO_MANY_OF_ONE_IP = "connections_beyond_limit_of_ip"
    NO_FILES = "accept_paused_for_lack_of_files"
    PROXY_HEADER = "proxy_header_refused"
    TLS_HANDSHAKE = "tls_handshake_failed"
    HANDSHAKE_SLOW = "handshake_too_slow"
    IDLE = "idle"
    SILENT_PUBLISHER = "publisher_without_frames"
    NO_PONG = "ping_unanswered"
    STALLED = "took_no_data"
    TOO_SLOW = "too_slow_for_stream"
    REPLIES_UNREAD = "replies_unread"
    TALKATIVE = "commands_or_metadata_flood"
    TALKATIVE_IP = "commands_or_metadata_flood_of_ip"
    MEDIA_BYTES = "media_bytes_beyond_limit"
    MEDIA_TRIMMED = "logs_let_go_for_media_bytes"
    UNFINISHED_FOR_LONG = "message_unfinished_for_too_long"
    GRACE_TOO_EARLY = "too_short_on_air_for_grace"
    INTERRUPTED = "interrupted_streams_beyond_limit"

    # Servers that steps have connected to.
    PEER_TALKATIVE = "peer_commands_or_metadata_flood"
    PEER_PROTOCOL = "peer_protocol_broken"

    # What clients say.
    PROTOCOL = "protocol_broken"
    MESSAGE_SIZE = "message_too_large"
    CHUNK_STREAMS = "too_many_chunk_streams"
    UNFINISHED = "too_many_unfinished_bytes"
    MESSAGE_STREAMS = "message_stream_out_of_range"
    AMF = "amf_bomb"
    NO_CONNECT = "connect_too_late"

    # What clients ask for.
    UNKNOWN_NAME = "unknown_application_or_key"
    ADDRESS = "address_not_allowed"
    BANNED = "banned"
    DRAINING = "server_draining"
    PUBLISH_TOKEN = "publish_token_wrong"
    PLAY_TOKEN = "play_token_wrong"
    PLAY_TOKEN_EXPIRED = "play_token_expired"
    KEY_BUSY = "key_busy"
    KEY_ELSEWHERE = "key_at_another_node"
    KEY_LOST = "key_lost_to_another_node"
    REGISTRY_AWAY = "registry_away"
    STREAMS = "streams_beyond_limit"
    LOOKED_FOR = "keys_looked_for_beyond_limit"
    STREAMS_OF_CONNECTION = "streams_beyond_limit_of_connection"
    JWT = "jwt_refused"
    AUTH = "auth_url_refused"
    AUTH_FAILED = "auth_url_failed"
    NOT_APPROVED = "not_approved"
    QUESTIONS = "too_many_questions_to_reactor"
    OTHER_REFUSAL = "refused_otherwise"

    # Clients that fetch media over HTTP.
    MEDIA_REQUEST = "media_request_malformed"
    MEDIA_SESSION = "media_session_unknown_or_over"
    MEDIA_SESSIONS = "media_sessions_beyond_limit"
    MEDIA_IDLE = "media_idle_or_request_too_slow"

    # The HTTP API.
    API_TOO_MANY = "api_connections_beyond_limit"
    API_HEAD_SIZE = "api_head_too_large"
    API_IDLE = "api_idle_or_head_too_slow"
    API_BODY_SIZE = "api_body_too_large"
    API_BODY_SLOW = "api_body_too_slow"
    API_STALLED = "api_took_no_data"
    API_PROTOCOL = "api_protocol_broken"
    API_TOKEN = "api_token_wrong"
    API_FOREIGN = "api_foreign_request"
    API_TLS = "api_tls_handshake_failed"
    API_SCOPE = "api_token_not_good_for_it"
    API_PREVIEWS = "api_previews_beyond_limit"


class RejectCounters(Mapping[str, int]):
    """How often each reason applied since the server was made; all reasons are there from the beginning."""

    def __init__(self) -> None:
        self._counts = {guard.value: 0 for guard in RejectReason}

    def count(self, guard: RejectReason) -> None:
        """Once more."""
        self._counts[guard.value] += 1

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def raised(self) -> dict[str, int]:
        """Those that applied at all."""
        return {name: count for name, count in self._counts.items() if count}
