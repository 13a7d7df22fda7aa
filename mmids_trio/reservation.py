"""What a starting step has reserved: the contract between what can be had once and the change that hands it over."""

from typing import Protocol


class Reservation(Protocol):
    """An exclusive thing that a starting step has reserved (an RTMP application and key, a file).

    The runtime commits it in the swap, after the steps that the change removes have given up the claim.
    """

    def commit(self) -> None:
        """Turn the reservation into the claim. Synchronous; never fails."""
