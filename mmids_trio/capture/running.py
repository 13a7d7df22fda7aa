"""What a server runs, as the text of a configuration that has all that counts for a replay, and nothing else."""

from collections.abc import Iterable

from mmids_trio.config.settings import Settings
from mmids_trio.config.writer import write_complete
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition


def running_text(
    settings: Settings, reactors: Iterable[ReactorDefinition], workflows: Iterable[WorkflowDefinition]
) -> str:
    """Without paths, addresses and ports of the API. Raises `ValueError` for what no parser has read."""
    token = [f"    http_api_token {settings.http_api_token}"] if settings.http_api_token else []
    lines = ["settings {", f"    publisher_timeout {settings.publisher_timeout}", *token, "}", ""]
    return write_complete([*reactors, *workflows], between="\n".join(lines))
