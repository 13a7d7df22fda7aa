"""What a lost race means for whoever has lost it."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmids_trio.cli.client.api import Refused

LOST_RACE = 412


@contextmanager
def lost_races() -> Iterator[None]:
    """Say what to do about a condition that does not hold."""
    try:
        yield
    except Refused as error:
        if error.status != LOST_RACE:
            raise
        raise Refused(
            "refused: somebody else has changed the server since this plan was made"
            f" (its ETag is now {error.etag}); nothing was changed. Run `plan` again, then `apply`",
            status=LOST_RACE,
            etag=error.etag,
        ) from None
