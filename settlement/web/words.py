"""Every word on the pages, in Chinese and in English; a missing one is a type error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wire.ids import Stream
from wire.receipt import Suspense


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one language; `html` is its tag."""

    html: str
    title: str
    overview: str
    terminals: str
    suspense: str
    days: str
    other_language: str
    as_of: str
    alarms: str
    no_alarms: str
    processes: str
    process: str
    state: str
    since: str
    last_word: str
    not_supervised: str
    supervisor_gone: str
    states: Mapping[str, str]
    streams: str
    stream: str
    taps_here: str
    taps_booked: str
    lag: str
    last_heard: str
    not_run_here: str
    count: str
    money: str
    oldest: str
    nothing_waits: str
    loads: str
    terminal: str
    outlet: str
    epoch: str
    last_tap: str
    heard: str
    unsent: str
    condition: str
    quarantined: str
    rolled_back: str
    none_enrolled: str
    tap: str
    card: str
    reason: str
    age: str
    day: str
    closed_at: str
    entries: str
    none_closed: str
    shift_report: str
    unbalanced: str
    contradicts: str
    keeps_ending: str
    audit: str
    last_audit: str
    never_audited: str
    cannot_be_read: str
    units: tuple[str, str, str, str]
    reasons: Mapping[Suspense, str]
    stream_names: Mapping[Stream, str]


ZH: Final = Words(
    html="zh-Hans",
    title="校园结算服务器",
    overview="概况",
    terminals="终端",
    suspense="挂账",
    days="日结",
    other_language="English",
    as_of="截至",
    alarms="警报",
    no_alarms="没有警报",
    processes="进程",
    process="进程",
    state="状态",
    since="已有",
    last_word="最近消息",
    not_supervised="进程不由 serve 管理",
    supervisor_gone="serve 没有运行，以下是它最后的记录",
    states={
        "started": "启动中",
        "ready": "运行",
        "ended": "已结束，即将重启",
        "keeps-ending": "反复结束",
        "killed": "被强制结束",
    },
    streams="各消费系统",
    stream="系统",
    taps_here="已收笔数",
    taps_booked="已入账笔数",
    lag="待入账",
    last_heard="距上次联系",
    not_run_here="不在本机运行",
    count="笔数",
    money="金额（元）",
    oldest="最久",
    nothing_waits="没有挂账",
    loads="在途充值",
    terminal="终端",
    outlet="网点",
    epoch="启用次数",
    last_tap="最后一笔",
    heard="距上次联系",
    unsent="未上传",
    condition="情况",
    quarantined="已隔离",
    rolled_back="存储曾被回退到",
    none_enrolled="还没有登记终端",
    tap="交易",
    card="卡",
    reason="原因",
    age="时长",
    day="日期",
    closed_at="关账时间",
    entries="分录数",
    none_closed="还没有日结",
    shift_report="班结报表有出入",
    unbalanced="分录借贷不平",
    contradicts="挂账与已按计数入账的分录冲突",
    keeps_ending="进程反复结束",
    audit="稽核不符",
    last_audit="最近一次稽核",
    never_audited="还没有稽核过",
    cannot_be_read="现在读不到数据",
    units=("天", "小时", "分", "秒"),
    reasons={
        Suspense.TAC_WRONG: "交易验证码错误：伪造，或是别的发卡方的卡",
        Suspense.MAC2_REFUSED: "终端拒绝了卡的应答，但交易验证码正确",
        Suspense.OUTCOME_UNKNOWN: "没人看到卡是否扣款",
        Suspense.COUNTER_TAKEN: "该卡此计数已有另一笔：记录被复制，或卡被克隆",
        Suspense.TAP_DIFFERS: "账上同一笔内容不同",
        Suspense.TTSN_TAKEN: "另一笔用了同一交易凭证",
        Suspense.CARD_UNKNOWN: "此卡的钱包从未入账",
        Suspense.BEFORE_OPENING: "计数早于此卡入账时",
        Suspense.CONFIRMED_NOT_PENDING: "确认了一笔并不在途的充值",
        Suspense.VOIDED_NOT_PENDING: "作废了一笔并不在途的充值",
        Suspense.CREDIT_UNFOUNDED: "撤销或退款找不到原交易",
        Suspense.CREDIT_DOUBLED: "原交易已被撤销或退款",
        Suspense.CREDIT_EXCEEDS_SALE: "撤销或退款超过原交易金额",
    },
    stream_names={
        Stream.TUITION: "学费",
        Stream.CANTEEN: "食堂",
        Stream.SUPERMARKET: "超市",
        Stream.SHOPS: "商铺",
        Stream.TOP_UP: "充值",
    },
)
EN: Final = Words(
    html="en",
    title="Campus settlement server",
    overview="Overview",
    terminals="Terminals",
    suspense="Suspense",
    days="Days",
    other_language="中文",
    as_of="as of",
    alarms="Alarms",
    no_alarms="No alarms",
    processes="Processes",
    process="process",
    state="state",
    since="for",
    last_word="last word",
    not_supervised="The processes are not run by serve",
    supervisor_gone="serve does not run; this is the last that it wrote",
    states={
        "started": "starting",
        "ready": "running",
        "ended": "ended, starts again",
        "keeps-ending": "keeps ending",
        "killed": "killed",
    },
    streams="Streams",
    stream="stream",
    taps_here="taps here",
    taps_booked="taps booked",
    lag="not booked yet",
    last_heard="silent for",
    not_run_here="not run on this host",
    count="count",
    money="yuan",
    oldest="oldest",
    nothing_waits="Nothing is in suspense",
    loads="Loads on their way",
    terminal="terminal",
    outlet="outlet",
    epoch="epoch",
    last_tap="last tap",
    heard="silent for",
    unsent="unsent",
    condition="condition",
    quarantined="quarantined",
    rolled_back="storage was rolled back to",
    none_enrolled="No terminal is enrolled yet",
    tap="tap",
    card="card",
    reason="reason",
    age="age",
    day="day",
    closed_at="closed at",
    entries="entries",
    none_closed="No day is closed yet",
    shift_report="a shift report does not fit the taps",
    unbalanced="entries out of balance",
    contradicts="an item contradicts an entry that was booked from counters",
    keeps_ending="a process keeps ending",
    audit="the audit objects",
    last_audit="Last audit",
    never_audited="Never audited yet",
    cannot_be_read="This cannot be read now",
    units=("d", "h", "min", "s"),
    reasons={
        Suspense.TAC_WRONG: "the card's proof of payment is wrong: forged, or a card of another issuer",
        Suspense.MAC2_REFUSED: "the till refused the card's answer, though its proof of payment is right",
        Suspense.OUTCOME_UNKNOWN: "nobody saw whether the card paid",
        Suspense.COUNTER_TAKEN: "another tap of the card has this count: a copied record, or a cloned card",
        Suspense.TAP_DIFFERS: "it is in the books with other content",
        Suspense.TTSN_TAKEN: "another tap used the same proof of payment",
        Suspense.CARD_UNKNOWN: "this purse was never taken into the books",
        Suspense.BEFORE_OPENING: "the card's count is from before the purse was taken into the books",
        Suspense.CONFIRMED_NOT_PENDING: "a load was confirmed for which nothing is pending",
        Suspense.VOIDED_NOT_PENDING: "a load was voided for which nothing is pending",
        Suspense.CREDIT_UNFOUNDED: "a reversal or refund whose sale is not in the books",
        Suspense.CREDIT_DOUBLED: "its sale was taken back already",
        Suspense.CREDIT_EXCEEDS_SALE: "more was taken back than the sale was",
    },
    stream_names={
        Stream.TUITION: "tuition",
        Stream.CANTEEN: "canteen",
        Stream.SUPERMARKET: "supermarket",
        Stream.SHOPS: "shops",
        Stream.TOP_UP: "top-up",
    },
)
LANGUAGES: Final = {"zh": ZH, "en": EN}


def age_text(seconds: int, words: Words) -> str:
    """Seconds as people say them."""
    for size, unit in zip((86_400, 3_600, 60, 1), words.units, strict=True):
        if seconds >= size or size == 1:
            return f"{max(seconds, 0) // size} {unit}"
    raise AssertionError("a second is the smallest unit")
