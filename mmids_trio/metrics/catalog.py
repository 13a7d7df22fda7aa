"""Every metric of the server: its name, what it means, its labels. The page `docs/metrics.md` has the same table."""

from mmids_trio.metrics.counts import Kind, Metric

PLACE = ("workflow", "step_id", "step_type")
"""Labels of what a step counts."""


def _counter(name: str, help: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, help, labels)


def _gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, help, labels)


BUILD_INFO = _gauge("mmids_build_info", "Always 1; the label says which version runs.", "version")
LOOP_LAG = Metric(
    "mmids_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How long tasks ran between two looks at sockets and clocks, which is what everything else had to wait.",
)

CONNECTIONS = _gauge("mmids_rtmp_connections", "RTMP and RTMPS connections that are open.")
ACCEPTED = _counter("mmids_rtmp_connections_accepted_total", "RTMP and RTMPS connections that found room.")
MEDIA_CONNECTIONS = _gauge("mmids_media_connections", "Connections of viewers over HTTP that are open.")
TURNED_AWAY = _counter(
    "mmids_turned_away_total",
    "Clients of RTMP and of the API that were kept out or cut off.",
    "reason",
)
RECEIVED = _counter("mmids_rtmp_received_bytes_total", "Bytes that RTMP clients have sent.")
IGNORED = _counter(
    "mmids_rtmp_ignored_messages_total", "Media and data messages that belonged to no stream that was being published."
)
ABANDONED = _counter(
    "mmids_rtmp_abandoned_messages_total", "Messages that clients began and gave up by beginning another one."
)
ODDITIES = _counter(
    "mmids_rtmp_oddities_total", "What RTMP clients said against the form, and was understood all the same.", "oddity"
)

WORKFLOWS = _gauge("mmids_workflows", "Workflows that are listed.")
WORKFLOW_FAILED = _gauge("mmids_workflow_failed", "1 where a step's failure has put the workflow in error.", "workflow")
WORKFLOW_STEPS = _gauge("mmids_workflow_steps", "Steps that carry media.", "workflow")
WORKFLOW_DROPPED = _counter(
    "mmids_workflow_dropped_groups_total",
    "Groups of pictures from other workflows that were left out since the workflow could not keep up.",
    "workflow",
)

STEP_EVENTS = _counter("mmids_step_events_total", "Media events that the step has passed on.", *PLACE)
STEP_REFUSED = _counter(
    "mmids_step_refused_events_total",
    "Media events that were out of order, or came before a key frame.",
    *PLACE,
)
STEP_STREAMS = _gauge("mmids_step_streams", "Streams that are live behind the step.", *PLACE)
STEP_PUBLISHERS = _gauge("mmids_step_publishers", "Publishers that are connected.", *PLACE)
STEP_WATCHERS = _gauge("mmids_step_watchers", "Watchers that are connected.", *PLACE)
STEP_RECEIVED = _counter("mmids_step_received_bytes_total", "Bytes of media that publishers have sent.", *PLACE)
STEP_SENT = _counter("mmids_step_sent_bytes_total", "Bytes that watchers or targets have got.", *PLACE)
STEP_SKIPPED = _counter(
    "mmids_step_skipped_packets_total", "Packets that watchers or targets have missed since they were too slow.", *PLACE
)
STEP_JUMPS = _counter("mmids_step_jumps_total", "Jumps of slow watchers or targets to a later key frame.", *PLACE)
STEP_CUT = _counter(
    "mmids_step_slow_disconnects_total", "Watchers or targets that were given up since they were too slow.", *PLACE
)
STEP_REFUSED_HEADERS = _counter(
    "mmids_step_refused_headers_total",
    "Sequence headers that were too large or too many to keep.",
    *PLACE,
)
STEP_PASS = Metric(
    "mmids_step_pass_seconds",
    Kind.HISTOGRAM,
    "How long passes over the watchers of a stream took, with the turns that others had meanwhile.",
    PLACE,
)
STEP_TARGETS_UP = _gauge("mmids_step_targets_up", "Targets that take a stream.", *PLACE)
STEP_TARGETS_DOWN = _gauge("mmids_step_targets_down", "Targets that a stream is not sent to, for now.", *PLACE)
STEP_SOURCE = _gauge("mmids_step_source", "1 for the source that a failover sends, 0 for the others.", *PLACE, "source")
STEP_CHILDREN = _gauge("mmids_step_children", "ffmpeg processes that run.", *PLACE)
STEP_CHILD_RESTARTS = _counter(
    "mmids_step_child_restarts_total",
    "Starts of ffmpeg after its first because the one before had ended unasked.",
    *PLACE,
)
STEP_CHILD_DROPPED = _counter(
    "mmids_step_child_dropped_groups_total",
    "Groups of pictures that a slow ffmpeg has missed.",
    *PLACE,
)
STEP_CHILD_LEFT_OUT = _counter(
    "mmids_step_child_left_out_lines_total",
    "Lines of ffmpeg that are not in its log, since it wrote too many.",
    *PLACE,
)

STREAM = ("workflow", "stream", "id")
"""Labels of one stream; all empty for those that have no series of their own."""

STREAMS = _gauge("mmids_streams", "Streams on the air.", "state")
STREAM_BITS = _gauge("mmids_stream_bits_per_second", "Media of the stream over the last ten seconds.", *STREAM)
STREAM_FRAMES = _gauge("mmids_stream_frames_per_second", "Pictures of the stream over the last ten seconds.", *STREAM)
STREAM_WATCHERS = _gauge("mmids_stream_watchers", "Watchers of the stream.", *STREAM)
STREAM_AGE = _gauge(
    "mmids_stream_last_frame_age", "Seconds since the last media of the stream; of others the longest.", *STREAM
)

CHILDREN = _gauge("mmids_children", "ffmpeg processes that have their place, of all steps.")
CHILDREN_WAITING = _gauge("mmids_children_waiting", "ffmpeg processes that wait for a place.")
ENCODE_RATE = _gauge("mmids_encode_pixels_per_second", "Pixels a second that all encoders together count for.")
CHILD_DELAYS = _counter(
    "mmids_child_delays_total",
    "Starts of ffmpeg that had to wait, and encoders that were ended since they encoded more than before.",
    "reason",
)
THUMBNAILS = _counter("mmids_thumbnails_total", "Pictures of streams: made, failed or refused.", "result")

MEDIA_BYTES = _gauge(
    "mmids_media_held_bytes", "Media in logs, in queues of children and in unfinished messages (max_media_bytes)."
)
ENDED_FILES = _gauge("mmids_ended_files", "Files of ended streams that are kept for a while.")
FILES_DELETED = _counter("mmids_ended_files_deleted_total", "Files of ended streams that were deleted.", "kind")

REACTOR_ANSWERS = _counter(
    "mmids_reactor_answers_total",
    "Answers about streams: valid, invalid or failed.",
    "reactor",
    "result",
)
REACTOR_QUESTIONS = _gauge(
    "mmids_reactor_questions", "Questions to a service that are being asked or wait for their turn.", "reactor"
)
REACTOR_LEASES = _gauge("mmids_reactor_leases", "Leases that somebody holds.", "reactor")

RELOADS = _counter(
    "mmids_reloads_total",
    "Reloads of the configuration file: applied, unchanged, refused (by a guard) or failed.",
    "result",
)

HTTP_REQUESTS = _counter("mmids_http_requests_total", "Requests to the API that have ended.", "method", "status")
HTTP_CONNECTIONS = _gauge("mmids_http_connections", "Connections to the API that are open.")
EVENT_CLIENTS = _gauge("mmids_event_stream_clients", "Clients that read the stream of events.")
EVENTS_JOINED = _counter(
    "mmids_events_joined_total", "Events for which a later one about the same stream stands in a long queue.", "queue"
)
EVENTS_MISSED = _counter("mmids_events_missed_total", "Events that subscribers inside the server were too slow for.")

DRAINING = _gauge("mmids_draining", "1 where the server is being emptied.")

CLUSTER_INFO = _gauge("mmids_cluster_info", "1, with the names of the cluster and of the node.", "cluster", "node")
CLUSTER_REVISION = _gauge("mmids_cluster_fleet_revision", "Revision of the fleet that the node serves; 0 before one.")
CLUSTER_FAILED = _gauge("mmids_cluster_fleet_failed", "1 where the node cannot put in place what the fleet decided.")
CLUSTER_PULLS = _gauge("mmids_cluster_pulls", "Keys that the node fetches from others, or is about to.")
CLUSTER_REGISTRY = _gauge("mmids_cluster_registry_up", "1 where the registry of the cluster answers.")
CLUSTER_QUESTIONS = _counter("mmids_cluster_questions_total", "Questions to the registry of the cluster.", "question")
CLUSTER_FAILURES = _counter(
    "mmids_cluster_failures_total", "Questions to the registry of the cluster without an answer in time.", "question"
)
CLUSTER_KEYS = _gauge("mmids_cluster_keys", "Keys of the cluster that are this node's.")
CLUSTER_FOLLOWED = _gauge("mmids_cluster_followed_keys", "Keys of the cluster that are looked for at other nodes.")
CLUSTER_CLAIMS = _counter(
    "mmids_cluster_claims_total",
    "Claims of keys: granted, allowed (without the registry) or refused; keys that another node has now: lost, "
    "or moved as they waited for a publisher.",
    "outcome",
)

LOG_LEFT_OUT = _counter("mmids_log_left_out_lines_total", "Log lines that were left out as more of the same.")
LOG_DROPPED = _counter(
    "mmids_log_dropped_bytes_total", "Bytes of log files that went before their time, for log_max_bytes."
)
LOG_LOST = _counter(
    "mmids_log_lost_lines_total", "Log lines that could not be written to the file, since the disk was full, say."
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""In the order in which they are shown."""
