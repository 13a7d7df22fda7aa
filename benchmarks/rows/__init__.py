"""The rows of the table of targets, one module a family."""

from benchmarks.bench import Row
from benchmarks.rows.api import LOOKING, READING, UPDATING
from benchmarks.rows.audience import AUDIENCE
from benchmarks.rows.coming_and_going import CHURN, JOIN
from benchmarks.rows.dashboard import DASHBOARD
from benchmarks.rows.fan_out import FAN_OUT, FLV_FAN_OUT, LATENCY, SINGLE_PACKETS, THROUGHPUT_SETTING
from benchmarks.rows.flood import FLOOD
from benchmarks.rows.http_media import FRAGMENTS, LL_HLS, PART_LATENCY, SEGMENTS
from benchmarks.rows.idle import IDLE
from benchmarks.rows.idle_memory import IDLE_MEMORY
from benchmarks.rows.on_air import LOOKING_AT_MANY, METERING
from benchmarks.rows.publishers import INGEST, WEBCAMS_ROW
from benchmarks.rows.small_streams import MIXED, SMALL_STREAMS
from benchmarks.rows.starting import MANY_WORKFLOWS, START_UP

ROWS: tuple[Row, ...] = (
    FAN_OUT,
    FLV_FAN_OUT,
    LL_HLS,
    SEGMENTS,
    PART_LATENCY,
    FRAGMENTS,
    SINGLE_PACKETS,
    THROUGHPUT_SETTING,
    AUDIENCE,
    INGEST,
    METERING,
    SMALL_STREAMS,
    MIXED,
    WEBCAMS_ROW,
    JOIN,
    CHURN,
    IDLE,
    IDLE_MEMORY,
    LATENCY,
    READING,
    LOOKING,
    DASHBOARD,
    LOOKING_AT_MANY,
    UPDATING,
    FLOOD,
    MANY_WORKFLOWS,
    START_UP,
)
