"""What is different between two configurations of an outlet, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wire.configuration import ClassLimits, ClassPrice, Configuration, MealPeriod, Name, Product, StaffRole, SubsidyRule
from wire.ids import mask_asn
from wire.money import format_fen

Facts = dict[str, str]


def change_lines(before: Configuration | None, after: Configuration) -> list[str]:
    """What is added (+), changed (~) and gone (-); nothing before: what there is, products and staff in numbers."""
    if before is None:
        return [f"+ {line}" for line in _summary(after)]
    old, new = dict(_entries(before)), dict(_entries(after))
    lines = []
    for title, facts in new.items():
        if title not in old:
            lines.append(f"+ {title}: {_told(facts)}")
        elif changed := _changed(old[title], facts):
            lines.append(f"~ {title}: {'; '.join(changed)}")
    lines += [f"- {title}: {_told(facts)}" for title, facts in old.items() if title not in new]
    return lines


def _summary(configuration: Configuration) -> Iterator[str]:
    for title, facts in _entries(configuration):
        if title.split()[0] in ("limits", "offline", "class", "period", "subsidy") and facts:
            yield f"{title}: {_told(facts)}"
    if prices := [product.amount_fen for product in configuration.products]:
        yield f"products: {len(prices)}, from {format_fen(min(prices))} to {format_fen(max(prices))}"
    if configuration.staff:
        yield f"staff cards: {len(configuration.staff)}"


def _changed(old: Facts, new: Facts) -> list[str]:
    """Each fact that differs, as `name before -> after`."""
    return [
        f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    ]


def _told(facts: Facts) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items()) or "none"


def _entries(configuration: Configuration) -> Iterator[tuple[str, Facts]]:
    """Everything in a configuration under the title that it is known by."""
    yield "merchant", _name(configuration.merchant_name)
    yield "outlet", _name(configuration.outlet_name)
    yield "limits", _limits(configuration.others)
    yield "offline", _offline(configuration)
    for card_class in configuration.classes:
        yield f"class {card_class.number}", _name(card_class.name) | _limits(card_class.limits)
    for product in configuration.products:
        yield f"product {product.number}", _product(product)
    for period in configuration.periods:
        yield f"period {period.number}", _period(period)
    for rule in configuration.subsidies:
        yield f"subsidy {rule.number}", _subsidy(rule)
    for member in configuration.staff:
        # The issuer tells two cards apart whose last digits are the same.
        card = f"{mask_asn(member.card.asn)} of {member.name}"
        yield f"staff card {card}", {"role": StaffRole(member.role).name.lower()}


def _name(name: Name) -> Facts:
    return {"name": name.zh} | ({"in English": name.en} if name.en else {})


def _limits(limits: ClassLimits) -> Facts:
    facts = {"at most": f"{format_fen(limits.tap_fen_max)} a tap" if limits.tap_fen_max else "nothing at all"}
    if limits.meal_count_max is not None:
        facts["meals a period"] = str(limits.meal_count_max)
    if limits.meal_fen_max is not None:
        facts["a period"] = format_fen(limits.meal_fen_max)
    if limits.day_fen_max is not None:
        facts["a day"] = format_fen(limits.day_fen_max)
    return facts


def _offline(configuration: Configuration) -> Facts:
    facts = {}
    if configuration.offline_s_max is not None:
        facts["hours"] = f"{configuration.offline_s_max / 3600:g}"
    if configuration.offline_fen_max is not None:
        facts["yuan"] = format_fen(configuration.offline_fen_max)
    return facts


def _prices(prices: Sequence[ClassPrice]) -> Facts:
    return {f"class {price.card_class} pays": format_fen(price.amount_fen) for price in prices}


def _product(product: Product) -> Facts:
    facts = _name(product.name) | {"price": format_fen(product.amount_fen)}
    return facts | ({"barcode": product.barcode} if product.barcode else {}) | _prices(product.class_prices)


def _period(period: MealPeriod) -> Facts:
    facts = _name(period.name) | {"from": _clock(period.from_min), "to": _clock(period.to_min)}
    return (
        facts
        | ({} if period.meal_fen is None else {"a meal": format_fen(period.meal_fen)})
        | _prices(period.class_prices)
    )


def _subsidy(rule: SubsidyRule) -> Facts:
    return {
        "class": str(rule.card_class),
        "every": rule.cycle.name.lower(),
        "amount": format_fen(rule.amount_fen),
        "unused": rule.carry.name.lower(),
        "periods": "+".join(map(str, rule.periods)) or "any",
        "from": rule.first_day.isoformat(),
        "to": rule.last_day.isoformat(),
    }


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
