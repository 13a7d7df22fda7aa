"""Moments of the calendar, as everything writes them that people and programs read."""

from datetime import UTC, datetime


def rfc3339(time: float) -> str:
    """A Unix time in seconds as all answers write it, in UTC."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
