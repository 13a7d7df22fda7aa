"""Who a question to a reactor is for. Apart from the line that counts by it, of which the steps know nothing."""

from attrs import frozen

from mmids_trio.addresses import source_of
from mmids_trio.rtmp.server.endpoints import Client


@frozen
class Asker:
    """Who wants to know about a stream: an address (as clients are counted by), and which connection of it.

    What is no client (a step that forwards) has a name in place of the address, and no connection.
    """

    address: str
    connection: object = None

    @property
    def is_client(self) -> bool:
        """Whether it came from outside, and may have only so many questions open."""
        return self.connection is not None

    @classmethod
    def of(cls, client: Client) -> "Asker":
        """A client."""
        return cls(source_of(client.peer_host), client)
