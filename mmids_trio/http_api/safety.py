"""Who may use the API: pure checks on a request's headers, made before anything else is looked at.

A server on loopback is within reach of every web page that the operator's browser shows.  So requests
that a foreign page caused are refused (`Origin`, Fetch Metadata), and so are those under a foreign name
that resolves to loopback (DNS rebinding).  A bearer token takes the place of the check of the name.
"""

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv6Address, ip_address

from attrs import frozen
from werkzeug.datastructures import Headers

LOOPBACK_NAMES = frozenset({"localhost", "localhost."})
DEFAULT_PORTS = {"http": "80", "https": "443"}

OWN_SITES = ("same-origin", "none")
"""What browsers say of a request that the API's own page or the user has caused. Another port of the same host is
`same-site`, and a page there is a stranger."""

MAX_SHOWN = 100
"""Characters of a header in a message; names of hosts are shorter."""

SPACE = " \t"
"""What may surround the value of a header (RFC 9110 §5.6.3). Python's own notion of space has 27 more characters."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#\s]+)(?::(?P<port>[0-9]{1,5})?)?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]+)")


@frozen
class Refusal:
    """Why a request is not served: 401 or 403, and a sentence."""

    status: int
    message: str


def refusal(
    headers: Headers, *, is_locked: bool, is_known: bool = False, own_hosts: Collection[str] = ()
) -> Refusal | None:
    """Check a request, `None` if it may pass. `is_locked`: whether a token is needed; `is_known`: whether it has one
    that is valid, or needs none.

    Header values are decoded as Latin-1. `own_hosts`: lower-case names under which a proxy makes the API known.
    """
    hosts = headers.getlist("Host")
    if any(not is_own_origin(origin, hosts, own_hosts) for origin in headers.getlist("Origin")):
        return Refusal(403, "refused: the Origin of this request is not the API's own")
    if foreign := [site for site in headers.getlist("Sec-Fetch-Site") if site.strip(SPACE).lower() not in OWN_SITES]:
        shown = foreign[0][:MAX_SHOWN]
        return Refusal(403, f"refused: the request was caused by another web site (Sec-Fetch-Site: {shown})")
    if not is_locked:
        return None if _is_own_only(hosts, own_hosts) else _foreign_host(hosts)
    if not is_known:
        return Refusal(401, "refused: a valid 'Authorization: Bearer <http_api_token>' header is needed")
    return None


def bearer_credentials(headers: Headers) -> bytes | None:
    """The bearer token of a request, `None` where it has none, or more than one."""
    authorizations = headers.getlist("Authorization")
    if len(authorizations) != 1:
        return None
    scheme, _, credentials = authorizations[0].partition(" ")
    return credentials.strip(SPACE).encode("latin-1", "replace") if scheme.lower() == "bearer" else None


def is_loopback_host(host: str) -> bool:
    """Whether a `Host` header (name or address, port optional) names this machine's loopback."""
    match = _AUTHORITY.fullmatch(host.strip(SPACE))
    if match is None:
        return False
    name = match["host"].lower()
    return name in LOOPBACK_NAMES or _is_loopback_address(name)


def is_own_origin(origin: str, hosts: Sequence[str], own_hosts: Collection[str] = ()) -> bool:
    """Whether an `Origin` is the very scheme-host-port that the request was sent to, or a name of the API's own.

    The scheme may be https too: a proxy in front may speak TLS for the API.
    """
    match = _ORIGIN.fullmatch(origin.strip(SPACE).lower())
    if match is None or len(hosts) != 1:
        return False
    if _is_named(match["authority"], own_hosts):
        return True
    default_port = DEFAULT_PORTS[match["scheme"]]
    theirs = _host_and_port(match["authority"], default_port)
    return theirs is not None and theirs == _host_and_port(hosts[0].strip(SPACE).lower(), default_port)


def _host_and_port(authority: str, default_port: str) -> tuple[str, str] | None:
    match = _AUTHORITY.fullmatch(authority)
    return None if match is None else (match["host"], match["port"] or default_port)


def _is_loopback_address(name: str) -> bool:
    bracketed = name.startswith("[")
    try:
        address = ip_address(name[1:-1] if bracketed else name)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def _is_named(authority: str, own_hosts: Collection[str]) -> bool:
    """Whether it is one of these names, at whatever port."""
    match = _AUTHORITY.fullmatch(authority.strip(SPACE).lower())
    return match is not None and match["host"] in own_hosts


def _is_own_only(hosts: Sequence[str], own_hosts: Collection[str]) -> bool:
    return len(hosts) == 1 and (is_loopback_host(hosts[0]) or _is_named(hosts[0], own_hosts))


def _foreign_host(hosts: Sequence[str]) -> Refusal:
    came = repr(hosts[0][:MAX_SHOWN]) if hosts else "none"
    return Refusal(
        403,
        "refused: without an http_api_token the API answers only to loopback names and addresses"
        f" (localhost, 127.0.0.1, [::1]) and to http_api_hosts; the Host header was {came}",
    )
