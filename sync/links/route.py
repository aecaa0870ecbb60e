"""The contract of every way to the server: taps go up, receipts and news come down. Left out: when to use it."""

from __future__ import annotations

from typing import Protocol

from sync.policy import Repair


class Carried(Protocol):
    """Taps that have their receipt."""

    @property
    def first_seq(self) -> int:
        """The first one's number."""

    @property
    def next_seq(self) -> int:
        """The number after the last one's."""

    @property
    def total_fen(self) -> int:
        """What they debited."""

    @property
    def raw(self) -> bytes:
        """The bytes that carried them."""


class Contact(Protocol):
    """The server, reached. Every method may raise `LinkDown` or another `CampusError`; the contact is over then."""

    def upload(self) -> Carried | None:
        """Carry the next taps, until their receipt is on the disk; None: nothing waits, or it is cut anew."""

    def report(self) -> bool:
        """Carry the next report of a closed shift, until its receipt is on the disk; False: none can be carried now."""

    def listen(self, timeout_s: float) -> None:
        """Take in what the server says unasked, for so long at most."""

    def close(self) -> None:
        """End it; a second time does nothing."""


class Route(Protocol):
    """One way to the server, open or not."""

    def open(self) -> tuple[Contact, Carried | None]:
        """Reach the server, with the first taps if some wait; what got its receipt is on the disk.

        `LinkDown` and other retryable errors: it may heal. Others need a person.
        """

    def repair(self, repair: Repair) -> None:
        """Do this to what lies under it; errors as for `open`."""
