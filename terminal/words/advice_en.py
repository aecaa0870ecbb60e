"""What each code asks of the cashier and tells the technician, in English."""

from __future__ import annotations

from typing import Final

from terminal.words.catalogue import Advice

_CARD_OFFICE: Final = "No sale; the customer asks at the card office."
_CALL: Final = "Sell nothing; call the technician and read out the code."
_DEVICE: Final = "Go on selling; call the technician when there is time."

ADVICE: Final = {
    "HOTLISTED": Advice("REFUSED: lost card", _CARD_OFFICE, "The card is on the hotlist."),
    "NOT_YET_VALID": Advice("REFUSED: not valid yet", _CARD_OFFICE, "Its validity is to begin; check the till's date."),
    "EXPIRED": Advice("REFUSED: expired", _CARD_OFFICE, "Its validity has ended; check the till's date."),
    "INSUFFICIENT_BALANCE": Advice(
        "REFUSED: not enough money",
        "Top the card up, take another card, or cash.",
        "The card holds less than was to be paid.",
    ),
    "OVER_TAP_LIMIT": Advice(
        "REFUSED: above the limit",
        "Check the amount; if it is right, take it in parts or in cash.",
        "The amount is above what one tap may take.",
    ),
    "NO_PURSE": Advice("REFUSED: no purse", _CARD_OFFICE, "There is no purse on the card, or none for this school."),
    "COUNTER_EXHAUSTED": Advice(
        "REFUSED: card used up", "No sale; the card office replaces the card.", "The card's counter is at its end."
    ),
    "CARD_BLOCKED": Advice("REFUSED: card blocked", _CARD_OFFICE, "The card or its application is blocked."),
    "OVER_MEAL_LIMIT": Advice(
        "REFUSED: meal limit",
        "This meal's count or money is used up; take cash.",
        "Above the card class's limit a meal; this till counts its own sales.",
    ),
    "OVER_DAY_LIMIT": Advice(
        "REFUSED: day limit",
        "Today's money is used up; take cash.",
        "Above the card class's limit a day; this till counts its own sales.",
    ),
    "OVER_CLASS_LIMIT": Advice(
        "REFUSED: not for this card",
        "Cards of this class do not buy here; take cash.",
        "The class has no limit left here, or is not configured.",
    ),
    "OFFLINE_TOO_LONG": Advice(
        "REFUSED: offline too long",
        "Cash only; call the technician to mend the network.",
        "The last receipt is older than allowed; look at the upload.",
    ),
    "OFFLINE_TOO_MUCH": Advice(
        "REFUSED: offline too much",
        "Cash only; call the technician to mend the network.",
        "More money is unsent than allowed; look at the upload.",
    ),
    "DOUBLE_TAP": Advice(
        "REFUSED: same card twice",
        "This card has just paid the same. To take it again, press Enter.",
        "A second tap of the same card and amount was caught.",
    ),
    "NOT_SOLD_NOW": Advice(
        "REFUSED: not sold now",
        "No meal is served now, or this is not sold at this hour.",
        "Check periods, products and the till's clock.",
    ),
    "REVERSAL_NOT_ALLOWED": Advice(
        "CANNOT BE UNDONE",
        "Only the shift's last sale, with its own card, within minutes.",
        "Not the last sale, another card, too late, or undone before.",
    ),
    "REFUND_NOT_ALLOWED": Advice(
        "NO REFUND",
        "Only to the card that paid, never more than it paid, nor to the supervisor's own.",
        "Another card, too much, refunded before, or the sale took no money.",
    ),
    "NOT_A_CASHIER": Advice(
        "NO STAFF CARD",
        "Present a cashier's or a supervisor's card.",
        "The card is not on this outlet's staff list, or lacks the role.",
    ),
    "PIN_WRONG": Advice("WRONG PIN", "Type the PIN again; too many wrong ones lock it.", "The card refused the PIN."),
    "PIN_LOCKED": Advice(
        "PIN LOCKED", "Take another staff card; the card office unlocks it.", "The card counts no tries left."
    ),
    "card-removed": Advice(
        "NOT PAID: card again",
        "It left too early; no money was taken. Hold it still.",
        "The card left while it was read.",
    ),
    "card-mute": Advice(
        "TAKE IT AWAY, one card",
        "One card at a time, out of its case, flat on the reader.",
        "What lies on the reader does not answer.",
    ),
    "card-unreadable": Advice(
        "NOT PAID: no campus card",
        "No money was taken. Another card; a campus card goes to the card office.",
        "The card's files cannot be read.",
    ),
    "still-there": Advice(
        "TAKE THE CARD AWAY first",
        "It is still the card of the sale before; it was not charged again.",
        "The reader reports the same card anew.",
    ),
    "wrong-card": Advice(
        "THE FIRST CARD, please",
        "This is another card, left untouched; present the one on the screen.",
        "An interrupted debit waits for its card.",
    ),
    "torn": Advice(
        "SAME CARD AGAIN",
        "It was interrupted. Hold the same card still; nothing is taken twice.",
        "The debit was sent and its answer lost.",
    ),
    "unresolved": Advice(
        "NOT KNOWN",
        "Nobody here can tell whether it was paid; the school finds out.",
        "Recorded as UNKNOWN; the server decides.",
    ),
    "unresolved-with-proof": Advice(
        "PAID, SAYS THE CARD",
        "The till cannot check it: keep the goods; the server will tell.",
        "There is a TAC, and no PSAM that can check MAC2.",
    ),
    "proof-refused": Advice(
        "REFUSED: card failed proof",
        "Keep the goods and the card; call the card office with the tap's number.",
        "The PSAM refused MAC2; it may be a counterfeit.",
    ),
    "not-paid": Advice(
        "NOT PAID: card again",
        "No money was taken; present the card again.",
        "The card made no debit; the log says why.",
    ),
    "reader-service-down": Advice(
        "NO CARD READER: wait",
        "The till goes on by itself. After a minute, call the technician.",
        "pcscd does not answer.",
    ),
    "reader-missing": Advice(
        "NO CARD READER: plug it in",
        "Check the card reader's cable; the till goes on by itself.",
        "The reader in terminal.toml is not there.",
    ),
    "reader-stuck": Advice(
        "UNPLUG THE CARD READER",
        "It is stuck. Unplug it, plug it in again, then present the card.",
        "The reader answers no command.",
    ),
    "reader-fault": Advice(
        "CARD READER DISTURBED",
        "Present the card again; else unplug the reader and plug it in.",
        "One command went wrong.",
    ),
    "psam-lost": Advice("NO SALES: security module", _CALL, "The PSAM does not answer; check its slot."),
    "psam-unusable": Advice("NO SALES: security module", _CALL, "What is in the slot is no PSAM that works."),
    "psam-foreign": Advice("NO SALES: security module", _CALL, "The PSAM is another terminal's; put ours in."),
    "psam-locked": Advice(
        "OUT OF ORDER: module locked",
        _CALL,
        "Locked after too many wrong proofs; replace it, look at the cards before.",
    ),
    "downlink-unreadable": Advice(
        "NO SALES: list damaged", _CALL, "uplink.db cannot be read; restart the daemon, else it is damaged."
    ),
    "not-enrolled": Advice("OUT OF ORDER: not enrolled", _CALL, "Enrol it with campus-syncd enrol."),
    "config-invalid": Advice("OUT OF ORDER: settings", _CALL, "terminal.toml is wrong; the text names the key."),
    "devices-invalid": Advice(
        "OUT OF ORDER: devices", _CALL, "[devices] in terminal.toml is wrong; the text names the key."
    ),
    "journal-damaged": Advice(
        "OUT OF ORDER: journal",
        _CALL,
        "campus-terminal journal set-aside, then a new ticket; what was uploaded is safe.",
    ),
    "journal-foreign": Advice(
        "OUT OF ORDER: not our journal", _CALL, "It belongs to another terminal or an earlier enrolment."
    ),
    "journal-lost": Advice(
        "OUT OF ORDER: journal lost", _CALL, "The server has taps this journal lacks; find the file or enrol anew."
    ),
    "journal-in-use": Advice(
        "OUT OF ORDER: till runs twice",
        "Another till program holds the journal; end that one.",
        "Another process holds journal.db.lock.",
    ),
    "journal-unwritable": Advice(
        "OUT OF ORDER: disk",
        _CALL,
        "Full, read-only or failing; make room or replace it, then start again.",
    ),
    "disk-full": Advice("OUT OF ORDER: disk full", _CALL, "Make room, then start again; the journal is whole."),
    "disk-read-only": Advice(
        "OUT OF ORDER: disk read-only", _CALL, "The kernel made it read-only after an error; replace the storage card."
    ),
    "verdict": Advice(
        "NO SALES: server refuses", _CALL, "The server takes no more of this journal; the code says why."
    ),
    "FORK": Advice("NO SALES: journal forked", _CALL, "Other taps under the same numbers; touch nothing."),
    "QUARANTINED": Advice("NO SALES: set aside", _CALL, "The server set this terminal aside; call the operator."),
    "UNKNOWN_TERMINAL": Advice("NO SALES: not enrolled", _CALL, "Unknown to the server; enrol with the same ticket."),
    "WRONG_EPOCH": Advice("NO SALES: other journal", _CALL, "The server expects another journal; a new ticket."),
    "SIGNATURE_INVALID": Advice("NO SALES: wrong key", _CALL, "The server has another key; enrol with a new ticket."),
    "clock-gone-back": Advice(
        "CLOCK WENT BACK",
        "Look at the time above; if it is wrong, stop and call the technician.",
        "The clock is before the last tap; check battery and network time.",
    ),
    "printer-no-paper": Advice(
        "PRINTER OUT OF PAPER",
        "Go on selling; with new paper a receipt can be printed again.",
        "The printer says so.",
    ),
    "printer-offline": Advice("NO PRINTER", _DEVICE, "It does not answer; check power and cable."),
    "display-offline": Advice("NO CUSTOMER DISPLAY", _DEVICE, "It does not answer."),
    "scanner-offline": Advice("NO SCANNER", _DEVICE, "It is not found."),
    "keypad-offline": Advice("NO NUMBER PAD", _DEVICE, "It is not found."),
    "voice-silent": Advice("NO VOICE", _DEVICE, "The voice program fails."),
    "signals-offline": Advice("NO BUZZER", _DEVICE, "GPIO is not found."),
    "printer-paper-low": Advice("PAPER NEARS ITS END", "Go on selling; have a new roll ready.", "The printer says so."),
    "receipts-unprinted": Advice(
        "RECEIPTS NOT PRINTED",
        "Go on selling; print them again when somebody asks, marked as copies.",
        "The customers had gone before the printer came back.",
    ),
    "amount-needed": Advice("TYPE AN AMOUNT", "It cannot be zero; type it again.", "Zero was typed."),
    "amount-not-wanted": Advice(
        "MEALS: no amount",
        "Meals are being sold; type how many, or change the way of selling.",
        "An amount was typed in meal mode.",
    ),
    "basket-full": Advice(
        "TOO MANY", "At most 99 of one thing; make it two sales.", "Above the count or what a card can hold."
    ),
    "code-unknown": Advice(
        "UNKNOWN BARCODE", "Press the product's key, or type the amount.", "No product in the configuration has it."
    ),
    "no-meal-now": Advice(
        "NO MEAL AT THIS HOUR",
        "Meals are sold in their hours only; change the way of selling.",
        "No period with a meal price now; check the clock.",
    ),
    "no-shift": Advice("NO SHIFT IS OPEN", "Sign on and open a shift first.", "It needs an open shift."),
    "no-supervisor": Advice(
        "NO SUPERVISOR", "None is registered here; call the technician.", "The configuration's staff has no supervisor."
    ),
    "not-in-training": Advice("NOT IN TRAINING", "End the training first.", "It would touch money."),
    "nothing-to-confirm": Advice("NOTHING TO CONFIRM", "Type an amount.", "Nothing waited for a confirmation."),
    "nothing-to-sell": Advice(
        "NOTHING TO SELL", "Type an amount or pick a product first.", "There is nothing to be paid."
    ),
    "nothing-to-undo": Advice(
        "NOTHING TO UNDO", "This shift has no last sale to undo; there is Refund.", "No sale since, or undone before."
    ),
    "pin-is-digits": Advice("A PIN HAS 4-12 DIGITS", "Type the PIN again.", "Wrong number of digits."),
    "product-unknown": Advice("NO SUCH PRODUCT", "Look the number up.", "The configuration has no such product."),
    "sale-not-ended": Advice(
        "FIRST END THIS SALE", "Take it or cancel it first.", "Something is still being sold or asked."
    ),
    "timed-out": Advice("TOOK TOO LONG", "Begin again if it is wanted.", "Nobody went on with it."),
    "undo-too-late": Advice(
        "TOO LATE TO UNDO", "Let a supervisor refund it.", "After the time for it, and no supervisor."
    ),
}
