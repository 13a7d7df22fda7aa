"""Parts of a server that follow from its settings and from the machine alone; what joins them is in `app`."""

import resource
from collections.abc import Callable
from pathlib import Path

from mmids_trio.config.settings import Settings
from mmids_trio.rtmp.certificates import CertificateFiles
from mmids_trio.webhook.webhook import Webhook
from mmids_trio.workflow.hub import EventHub

RESERVED_FILES = 100
"""Descriptors that RTMP clients leave to the API, to logs and to child processes."""


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """Where the certificate for RTMPS is, where there is one."""
    if settings.tls_cert_path is None:
        return None
    key = None if settings.tls_key_path is None else Path(settings.tls_key_path)
    return CertificateFiles(Path(settings.tls_cert_path), settings.tls_cert_password, key)


def webhook_of(settings: Settings, hub: EventHub, random: Callable[[], float]) -> Webhook | None:
    """Who is told what happens, where that is wanted."""
    if settings.webhook_url is None:
        return None
    types = (settings.webhook_events or "").split(",") if settings.webhook_events else ()
    return Webhook(hub=hub, url=settings.webhook_url, secret=settings.webhook_secret, types=types, random=random)


def connections_that_leave_files() -> int:
    """RTMP connections that the process may have: the descriptors it is allowed, without `RESERVED_FILES` (or half)."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(allowed - RESERVED_FILES, allowed // 2)
