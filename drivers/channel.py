"""The byte pipe to a card or PSAM, and the one place where T=0's `61xx` and `6Cxx` are resolved.

Left out: what the bytes mean (`drivers.apdu`, `drivers.purse`), and readers (`drivers.pcsc`).
"""

from __future__ import annotations

from typing import Final, Protocol

from wire.errors import CampusError

FETCHES_MAX: Final = 4  # GET RESPONSEs for one command; a PBOC answer fits one, more would be a card that never ends

_SW1_MORE: Final = 0x61
_SW1_WRONG_LE: Final = 0x6C
_SW_OK: Final = 0x9000
_SW1_WITH_DATA: Final = frozenset({_SW1_MORE, 0x62, 0x63})  # ISO 7816-4: more to come, or a warning beside the data
_HEADER_BYTES: Final = 4


class CardRemoved(CampusError):
    """The card left the reader; whether it carried out a command then under way is not known."""

    code = "card-removed"
    retryable = True


class ReaderFault(CampusError):
    """The reader, or what drives it, failed; whether the card carried out a command then under way is not known."""

    code = "reader-fault"
    retryable = True


class CardMute(CardRemoved):
    """Something is on the reader that does not answer: a card held askew, two at once, or one without a chip."""

    code = "card-mute"


class ReaderMissing(ReaderFault):
    """The smart card service knows no reader of this name: it is unplugged, or called otherwise."""

    code = "reader-missing"


class ReaderServiceDown(ReaderFault):
    """The smart card service pcscd cannot be reached; it starts again by itself, or never ran."""

    code = "reader-service-down"


class ReaderStuck(ReaderFault):
    """The reader powers cards and carries no command to them; only unplugging it helps."""

    code = "reader-stuck"


class CardChannel(Protocol):
    """A powered card: one command in, its data and status word (SW1SW2) out; never answers 61xx or 6Cxx of T=0.

    Raises `CardRemoved` or `ReaderFault`; after either the channel is finished and the command's effect unknown.
    """

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """Send one short APDU and return (data, SW1SW2)."""
        ...


class RawCard(Protocol):
    """A powered card as the reader shows it: one APDU in, data with the status word as the last two bytes out."""

    def transmit_raw(self, apdu: bytes) -> bytes:
        """Send one APDU as it is; raises `CardRemoved` or `ReaderFault`."""
        ...


class ResolvingChannel:
    """A `CardChannel` over a `RawCard`: repeats once with the Le that `6Cxx` names, then fetches what `61xx` announces.

    A card that answers `6Cxx` has not carried the command out, so the repetition is not a second execution; but one
    that names the Le it was given contradicts itself, and is not asked the same again. After `61xx` it has carried it
    out: an error word from GET RESPONSE is then no verdict on the command but the loss of its answer.
    """

    def __init__(self, raw: RawCard) -> None:
        self._raw = raw

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """Send one short APDU and return (data, SW1SW2)."""
        data, sw = self._exchange(apdu)
        if sw >> 8 == _SW1_WRONG_LE and (again := with_le(apdu, sw & 0xFF)) != apdu:
            data, sw = self._exchange(again)
        for _ in range(FETCHES_MAX):
            if sw >> 8 != _SW1_MORE:
                return data, sw
            more, sw = self._exchange(_get_response(sw & 0xFF))
            if sw >> 8 == _SW1_WRONG_LE:
                more, sw = self._exchange(_get_response(sw & 0xFF))
            if sw != _SW_OK and sw >> 8 not in _SW1_WITH_DATA:
                raise ReaderFault(f"the answer that the card announced was lost: GET RESPONSE answered {sw:04X}")
            data += more
        if sw >> 8 == _SW1_MORE:
            raise ReaderFault(f"the card still announces more after {FETCHES_MAX} answers")
        return data, sw

    def _exchange(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self._raw.transmit_raw(apdu)
        if len(answer) < 2:
            raise ReaderFault(f"an answer of {len(answer)} bytes has no status word")
        return answer[:-2], int.from_bytes(answer[-2:])


def _get_response(size: int) -> bytes:
    return bytes((0x00, 0xC0, 0x00, 0x00, size))


def with_le(apdu: bytes, le: int) -> bytes:
    """The same short APDU asking for `le` bytes (0 means 256), whether it had an Le before or not."""
    if len(apdu) <= _HEADER_BYTES + 1:
        return apdu[:_HEADER_BYTES] + bytes((le,))
    end_of_data = _HEADER_BYTES + 1 + apdu[_HEADER_BYTES]
    return apdu[:end_of_data] + bytes((le,))
