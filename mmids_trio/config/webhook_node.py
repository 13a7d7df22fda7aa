"""The webhook node: where events are posted to, besides `webhook_url`."""

from attrs import define

from mmids_trio.config.converters import filled, text, web_address
from mmids_trio.config.parameters_node import ParametersNode
from mmids_trio.config.settings import event_names
from mmids_trio.definitions import WebhookDefinition

MOST_WEBHOOKS = 16
"""Of one server: each has a queue of its own, and a task."""


@define
class WebhookNode(ParametersNode):
    """`webhook NAME {`, then `url`, and perhaps `secret`, `types` and `workflow`, one a line."""

    kind = "webhook"
    parameters = {  # noqa: RUF012 - declared by the base
        "url": web_address,
        "secret": filled,
        "types": event_names,
        "workflow": text,
    }
    needed = {"url": "URL"}  # noqa: RUF012 - declared by the base

    def definition(self) -> WebhookDefinition:
        """What was understood."""
        types = self.values.get("types")
        return WebhookDefinition(
            self.name,
            self.values.get("url", ""),
            self.values.get("secret"),
            () if types is None else tuple(types.split(",")),
            self.values.get("workflow"),
        )
