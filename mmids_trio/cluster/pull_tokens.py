"""What a pull between nodes shows, so that no stranger gets at a stream in this way: a signature that expires. Pure.

A token names who pulls, so that a node that meets its own knows that a pull has come around.  It expires by the
calendar's time, which is all the time that two machines share; their clocks may be `CLOCKS_APART_S` apart.  Nothing
else of a cluster looks at a calendar.
"""

import hmac
import re

from attrs import field, frozen

from mmids_trio.cluster.directory import StreamKey

VALID_S = 60
"""From one machine's dial to the other's answer: seconds, and a pull that is tried again gets a new one."""

CLOCKS_APART_S = 300
"""As much as is forgiven elsewhere (Kerberos, RFC 4120 §8.2): machines without NTP drift some seconds a day."""

_FORM = re.compile(r"(?P<expires>[0-9]{1,12})\.(?P<signature>[0-9a-f]{64})\.(?P<node>.{1,64})", re.ASCII)


@frozen
class PullTokens:
    """Signs and judges with the secret of a cluster."""

    cluster: str
    node: str
    secret: str = field(repr=False)

    def sign(self, key: StreamKey, now: float) -> str:
        """What this node shows for a key. `now`: seconds since 1970."""
        expires = int(now) + VALID_S
        return f"{expires}.{self._signature(key, expires, self.node)}.{self.node}"

    def is_from_peer(self, token: str, key: StreamKey, now: float) -> bool:
        """Whether another node of the cluster has made it, for this key, and not long ago."""
        match = _FORM.fullmatch(token)
        if match is None or match["node"] == self.node:
            return False
        expires = int(match["expires"])
        expected = self._signature(key, expires, match["node"])
        is_ours = hmac.compare_digest(expected, match["signature"])
        return is_ours and now - CLOCKS_APART_S < expires <= now + VALID_S + CLOCKS_APART_S

    def _signature(self, key: StreamKey, expires: int, node: str) -> str:
        """Each part with its length, so that no two sets of parts are signed alike."""
        parts = ("mmids-pull-1", self.cluster, key.app, key.key, str(expires), node)
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        signed = b"".join(b"%d:%s" % (len(part), part) for part in encoded)
        return hmac.digest(self.secret.encode("utf-8", "surrogatepass"), signed, "sha256").hex()
