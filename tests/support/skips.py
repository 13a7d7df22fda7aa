"""Which tests a run of CI may skip: what is missing there is missed, or stands here with the reason."""

import os
import re

import pytest

MAY_BE_MISSING = {
    r"not installed: node, and node-media-server": "comes from npm alone",
    r"not installed: gstreamer": "large, and no part of what the server needs",
    r"not installed: vlc": "as GStreamer",
    r"not installed: obs-studio": "as GStreamer, and wants a display",
    r"not installed: prometheus": "its package starts a service, which a test run must not leave behind",
    r"not installed: (chrom|firefox)": "browsers are not on every system called so (scripts/test tries)",
    r"could not import 'matplotlib'": "an extra of scripts/benchmark alone",
    r"the load tools need a C compiler": "of scripts/benchmark alone",
    r"no IPv6 here": "containers often have none",
}
"""Why a test may be skipped (a pattern of what it says), and why that is no loss."""


def unexpected(reason: str) -> bool:
    """Whether a test that was skipped for this reason ought to have run."""
    return os.environ.get("CI") == "true" and not any(re.search(known, reason) for known in MAY_BE_MISSING)


def fail_if_unexpected(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure where it must not be. Expected failures are no skips."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if unexpected(reason):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, and not in the list of tests/support/skips.py: {reason}"
