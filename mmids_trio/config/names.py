"""Which names workflows, reactors and sets may have: those that a path of the HTTP API can mean.

Apart from the nodes because definitions that are made by code are held to the same rule.
"""

import re

from mmids_trio.config.scanner import is_plain

MAX_NAME_BYTES = 1_000
"""In UTF-8. Percent-encoded that is 3,000 at most, and web servers and proxies take 8,000 of a request line."""

STEP_PATH = r"/steps/[^/]+/switch"
"""What paths end in that are about a step and not about a workflow, whose name may hold slashes as well."""

_OF_A_STEP = re.compile(STEP_PATH + r"\Z")


def name_problem(kind: str, name: str) -> str | None:
    """What is wrong with the name of a node of this kind, with the rule; `None` where nothing is."""
    if not {".", ".."}.isdisjoint(name.split("/")):
        return f"a {kind} name cannot be or hold a path segment '.' or '..', which clients of the HTTP API resolve"
    if _OF_A_STEP.search(name):
        return f"a {kind} name cannot end in /steps/<id>/switch, which is the address of a step"
    if (size := len(name.encode("utf-8", "surrogatepass"))) > MAX_NAME_BYTES:
        return f"a {kind} name has at most {MAX_NAME_BYTES:,} bytes, to fit into an address; this one has {size:,}"
    return None


def set_problem(name: str) -> str | None:
    """What is wrong with the name of a set, which is held to the rule of workflows; `None` where nothing is."""
    if not name or name.startswith("#") or "=" in name or not is_plain(name):
        return "the name of a set is a plain word, as that of a workflow"
    return name_problem("set", name)
