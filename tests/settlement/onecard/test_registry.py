"""Cards come in from a file, all or none."""

from __future__ import annotations

import pytest

from settlement.onecard.registry import ImportRefused, ImportResult, import_cards, openings_after, parse_cards
from settlement.store.database import Database

HEADER = "issuer,asn,opening_balance_fen,opening_counter"
GOOD = [HEADER, "1000000000000001,00000000000000000001,12000,3", "", "1000000000000001,00000000000000000002,0,0"]


def test_import_registers_cards_once(onecard_db: Database) -> None:
    cards = parse_cards(GOOD)
    assert import_cards(onecard_db, cards, now_utc_s=1) == ImportResult(created=2, existed=0)
    assert import_cards(onecard_db, cards, now_utc_s=2) == ImportResult(created=0, existed=2)
    rows = openings_after(onecard_db, 0, 10)
    assert [(row.position, row.opening.balance_fen, row.opening.counter) for row in rows] == [(1, 12_000, 3), (2, 0, 0)]
    assert openings_after(onecard_db, 1, 10) == rows[1:]


def test_card_that_was_opened_otherwise_stops_the_whole_import(onecard_db: Database) -> None:
    import_cards(onecard_db, parse_cards(GOOD[:2]), now_utc_s=1)
    changed = parse_cards([HEADER, GOOD[3], GOOD[1].replace("12000", "13000")])
    with pytest.raises(ImportRefused, match=r"card 2 \(..0001\): it was opened with 12000 fen"):
        import_cards(onecard_db, changed, now_utc_s=2)
    assert len(openings_after(onecard_db, 0, 10)) == 1


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1,2,3", "line 2: 4 columns wanted, 3 found"),
        ("1000000000000001,0000000000000000000G,1,1", "line 2: asn must have 20 hexadecimal digits"),
        ("10000000,00000000000000000001,1,1", "line 2: issuer must have 16 digits"),
        ("1000000000000001,00000000000000000001,-1,1", "line 2: opening_balance_fen must be a whole number"),
        ("1000000000000001,00000000000000000001,1.5,1", "line 2: opening_balance_fen must be a whole number"),
        ("1000000000000001,00000000000000000001,1,65536", "line 2: opening_counter must be a whole number"),
    ],
)
def test_wrong_line_is_named_with_what_is_wrong(line: str, fault: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        parse_cards([HEADER, line])
    assert fault in str(caught.value)


def test_every_wrong_line_is_named_at_once_and_no_card_number_is_repeated() -> None:
    with pytest.raises(ImportRefused) as caught:
        parse_cards([*GOOD, GOOD[1], "x"])
    assert str(caught.value).splitlines() == [
        "line 5: the card stands in line 2 already",
        "line 6: 4 columns wanted, 1 found",
    ]


def test_file_without_its_header_is_refused() -> None:
    for lines in ([], GOOD[1:]):
        with pytest.raises(ImportRefused, match="line 1: the header"):
            parse_cards(lines)
