"""Parts of a server that follow from its settings and from the machine alone; what joins them is in `app`."""

import resource
from collections.abc import Callable
from pathlib import Path

from mmids_trio.config.settings import Settings
from mmids_trio.net.certificates import CertificateFiles
from mmids_trio.webhook.webhook import Webhook
from mmids_trio.workflow.hub import EventHub

RESERVED_FILES = 100
"""Descriptors that RTMP clients leave to logs and to child processes, beside those of the API's connections."""

API_SHARE = 4
"""The API has one in so many of all descriptors at most."""


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


def api_connections(settings: Settings) -> int:
    """Connections that the API may have, each of which has a descriptor that RTMP leaves to it; none without an API."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if settings.http_api_port is None else min(settings.api_max_connections, allowed // API_SHARE)


def connections_that_leave_files(settings: Settings) -> int:
    """RTMP connections that the process may have: what descriptors the API and `RESERVED_FILES` leave (or half)."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(allowed - RESERVED_FILES - api_connections(settings), allowed // 2)
