"""What runs, as rows and lines to read, without what grants access: pure functions of the API's answers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmids_trio.cli.client.plans import step_text
from mmids_trio.errors import printable
from mmids_trio.workflow.plan_summary import clients

HEADINGS = ("NAME", "STATUS", "STEPS", "PUBLISHERS", "WATCHERS", "OWNER")

LONGEST_STATUS = 60
"""Characters of a status in a table; `show` has all of it."""


def summary_of(name: str, status: Mapping[str, Any]) -> dict[str, Any]:
    """One workflow of a list, for machines."""
    steps = status.get("active_steps", [])
    return {
        "name": name,
        "status": status.get("status", ""),
        "state": status.get("state"),
        "reason": status.get("reason"),
        "pending": bool(status.get("pending_steps")),
        "steps": len(steps),
        "publishers": _clients(steps, "publishers"),
        "watchers": _clients(steps, "watchers"),
        "owner": status.get("owner"),
    }


def rows(workflows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The same for people."""
    return [
        (
            printable(item["name"]),
            _short(_told(item)) + (" (update pending)" if item["pending"] else ""),
            str(item["steps"]),
            str(item["publishers"]),
            str(item["watchers"]),
            owner_text(item["owner"]),
        )
        for item in workflows
    ]


def in_columns(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of which the columns stand under each other."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def description(name: str, status: Mapping[str, Any]) -> Iterator[str]:
    """Everything about one workflow."""
    yield f"workflow {printable(name)}: {printable(str(status.get('status', '')))}"
    if owner := status.get("owner"):
        yield f"owner: {owner_text(owner)}"
    for title, steps in (("steps", status.get("active_steps", [])), ("pending", status.get("pending_steps", []))):
        if steps:
            yield f"{title}:"
        for step in steps:
            yield from _step(step)


def owner_text(owner: Mapping[str, Any] | None) -> str:
    """`config mmids.config`, `set team-a`, `reactor lookup (talk)`."""
    if not owner:
        return ""
    words = [str(owner.get("kind", "")), str(owner.get("name") or "")]
    if owner.get("set"):
        words = ["set", str(owner["set"])]
    if owner.get("stream"):
        words.append(f"({owner['stream']})")
    return printable(" ".join(filter(None, words)))


def _step(step: Mapping[str, Any]) -> Iterator[str]:
    yield f"    {step_text(step['step_type'], step['parameters'])}"
    users = step.get("clients") or {}
    used = f", used by {clients(users.get('publishers', 0), users.get('watchers', 0))}" if users else ""
    yield f"        {printable(str(step['status']))}{used} (id {step['step_id']})"
    for stream in step.get("streams", ()):
        told = [f"{key}={value}" for key, value in stream.items() if key not in ("name", "message")]
        yield printable(" ".join([f"        stream {stream['name']}", *told]))
        for line in str(stream.get("message") or "").splitlines():
            yield f"            {printable(line)}"


def _clients(steps: Sequence[Mapping[str, Any]], kind: str) -> int:
    return sum((step.get("clients") or {}).get(kind, 0) for step in steps)


def _told(item: Mapping[str, Any]) -> str:
    """The status of a workflow, with the reason alone of one in error: the id of a step tells people nothing."""
    return f"Error: {item['reason']}" if item["reason"] else str(item["status"])


def _short(status: str) -> str:
    line = printable(status.partition("\n")[0])
    return line if len(line) <= LONGEST_STATUS else line[: LONGEST_STATUS - 1] + "…"
