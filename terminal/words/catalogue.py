"""What there is to say: the languages, and every text a till shows or prints, by name. Pure.

A text with `{names}` in it is filled in with `format`. What each language says is in `terminal.words.zh` and `en`; the
codes' own texts are `Advice`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Language(Enum):
    """What the till can speak; the value is how the language calls itself."""

    ZH_HANS = "中文"
    EN = "English"

    @property
    def other(self) -> Language:
        """The one that the language key changes to."""
        return Language.EN if self is Language.ZH_HANS else Language.ZH_HANS


@dataclass(frozen=True, slots=True)
class Advice:
    """What a code says: a headline that is read across a counter, what the cashier does, what the technician needs."""

    headline: str
    cashier: str
    technician: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language's texts."""

    # Always in sight.
    till: str
    no_name: str
    clock_network: str
    clock_battery: str
    clock_unset: str
    link: str
    link_none: str
    heard_never: str
    heard: str
    all_sent: str
    unsent: str
    hotlist: str
    hotlist_none: str
    hotlist_age: str
    shift: str
    shift_none: str
    cash: str
    offline_left: str
    offline_free: str
    training: str
    version: str
    seconds: str
    minutes: str
    hours: str
    days: str

    # What the till waits for.
    type_amount: str
    type_fixed: str
    pick_product: str
    type_meals: str
    type_meals_none: str
    present_card: str
    present_card_hint: str
    same_card: str
    same_card_hint: str
    give_up: str
    give_up_hint: str
    working: str
    working_hint: str
    pin_cashier: str
    pin_supervisor: str
    pin_hint: str
    staff_card_cashier: str
    staff_card_supervisor: str
    staff_card_hint: str
    opening_cash: str
    opening_cash_hint: str
    counted_cash: str
    counted_cash_hint: str
    undo_card: str
    undo_card_hint: str
    refund_seq: str
    refund_seq_hint: str
    refund_amount: str
    refund_amount_hint: str
    refund_card: str
    refund_card_hint: str
    balance_card: str
    balance_card_hint: str
    stopped: str
    starting: str
    basket_empty: str
    several_prices: str

    # How it ended.
    approved: str
    paid: str
    left: str
    tap_and_card: str
    subsidy_paid: str
    reversed: str
    refunded: str
    credit_note: str
    signed_on: str
    supervisor_ok: str
    shift_opened: str
    cash_taken: str
    cash_number: str
    trained: str
    trained_refused: str
    trained_hint: str
    balance: str
    subsidy_left: str
    last_taps: str
    no_taps: str
    card_log: str
    card_shown: str
    tries_left: str
    confirm_hint: str
    wanted_card: str
    code: str
    say_code: str
    server_code: str

    # The shift's report.
    x_report: str
    z_report: str
    report_shift: str
    report_sales: str
    report_unknown: str
    report_refused: str
    report_voided: str
    report_reversals: str
    report_refunds: str
    report_sign_ons: str
    report_subsidy: str
    report_cash: str
    report_opening: str
    report_expected: str
    report_counted: str
    report_difference: str
    report_takings: str
    report_count: str
    report_amount: str

    # Keys, menu and pages.
    key_enter: str
    key_enter_add: str
    key_enter_ok: str
    key_plus: str
    key_times: str
    key_menu: str
    key_cancel: str
    key_backspace: str
    menu: str
    menu_balance: str
    menu_undo: str
    menu_refund: str
    menu_cash: str
    menu_x_report: str
    menu_close_shift: str
    menu_mode: str
    menu_language: str
    menu_training: str
    menu_help: str
    menu_receipt: str
    receipt_seq: str
    receipt_seq_hint: str
    menu_hint: str
    modes: str
    mode_free: str
    mode_fixed: str
    mode_products: str
    mode_meals: str
    help: str
    help_hint: str
    help_cashier: str
    help_technician: str
    help_none: str
    help_1: str
    help_2: str
    help_3: str
    help_4: str
    help_5: str
    help_6: str
    count: str
    meals: str
    total: str
    typed_amount: str
    act_balance: str
    act_undo: str
    act_cash: str
    act_language: str
    more: str

    # What was typed makes no sense.
    amount_wrong: str
    amount_zero: str
    number_wrong: str
    count_wrong: str
    code_unknown: str

    # The receipt.
    receipt_title: str
    receipt_copy: str
    receipt_refund_title: str
    receipt_reversal_title: str
    receipt_merchant: str
    receipt_terminal: str
    receipt_time: str
    receipt_card: str
    receipt_paid: str
    receipt_subsidy: str
    receipt_total: str
    receipt_left: str
    receipt_credit: str
    receipt_credit_note: str
    receipt_thanks: str
    receipt_training: str
