"""The parser of Explore's addresses: a state, and a sentence for each value that is not taken."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from console.data.explore.measures import Measure, catalogue
from console.data.explore.question import Filters
from console.views.explore import ranges
from console.views.explore.state import (
    ALIGNS,
    FIRST_DAY,
    GRAINS,
    GROUPS,
    LOOKS,
    MOST_FILTERS,
    MOST_METERS,
    MOST_TOP,
    VERSUS,
    State,
)


def parse(
    query: Mapping[str, str], today: date, all_measures: Mapping[str, Measure] | None = None
) -> tuple[State, list[str]]:
    """Return the state that an address asks for, and a sentence for each value that was not taken.

    A wrong value is replaced by the default. `today` is the running day in UTC; without `all_measures` the
    measures are those of the catalogue.
    """
    problems: list[str] = []
    state = State(
        meters=_meters(query.get("meters"), all_measures or catalogue(), problems),
        by=_word(query, "by", GROUPS, "none", problems),
        top=_top(query.get("top"), problems),
        filters=_filters(query.get("where"), problems),
        grain=_word(query, "grain", GRAINS, "auto", problems),
        look=_word(query, "as", LOOKS, "line", problems),
        vs=_word(query, "vs", VERSUS, "none", problems),
        align=_word(query, "align", ALIGNS, "date", problems),
    )
    return _ranged(state, query, today, problems), problems


def refusal(name: str, raw: str, takes: str) -> str:
    """Return the sentence about a value of the address that is not taken."""
    return f"The address says {name} = {raw[:60]}, which is not {takes}."


def _word(
    query: Mapping[str, str], name: str, words: Mapping[str, str], default: str, problems: list[str]
) -> str:
    raw = query.get(name)
    if raw is None or raw in words:
        return raw or default
    problems.append(refusal(name, raw, f"one of {', '.join(words)}; shown is {default}"))
    return default


def _meters(raw: str | None, all_measures: Mapping[str, Measure], problems: list[str]) -> tuple[str, ...]:
    names = list(dict.fromkeys(name for name in (raw or "").split(",") if name))
    problems += [
        refusal("meters", name, "a meter, nor charge, plan_fee or overage")
        for name in names[:MOST_FILTERS]
        if name not in all_measures
    ]
    meters = [name for name in names if name in all_measures]
    if len(meters) > MOST_METERS:
        problems.append(f"The address names {len(meters)} meters; the first {MOST_METERS} are shown.")
    return tuple(meters[:MOST_METERS]) or ("mqtt_inbound",)


def _top(raw: str | None, problems: list[str]) -> int:
    if raw is None:
        return 5
    if raw == "all":
        return MOST_TOP
    if raw.isascii() and raw.isdigit() and 1 <= int(raw[:6]) <= MOST_TOP:
        return int(raw)
    problems.append(refusal("top", raw, f"a number from 1 to {MOST_TOP}, nor all; shown are 5"))
    return 5


def _filters(raw: str | None, problems: list[str]) -> Filters:
    values: dict[str, list[str]] = {"tier": [], "organization": [], "project": []}
    for word in filter(None, (raw or "").split(",")[: MOST_FILTERS + 1]):
        kind, _, value = word.partition(":")
        if kind not in values or not value or (kind != "tier" and not _is_id(value)):
            problems.append(
                refusal("where", word, "like tier:pro, organization:7 or project:42; it is left out")
            )
        elif value not in values[kind]:
            values[kind].append(value)
    if raw and raw.count(",") >= MOST_FILTERS:
        problems.append(f"The address has more than {MOST_FILTERS} filters; the first are used.")
    return Filters(
        tuple(values["tier"]),
        tuple(int(value) for value in values["organization"]),
        tuple(int(value) for value in values["project"]),
    )


def _is_id(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 19


def _ranged(state: State, query: Mapping[str, str], today: date, problems: list[str]) -> State:
    if "from" in query or "to" in query:
        first, last = (_day(query, name, problems) for name in ("from", "to"))
        if first is not None and last is not None:
            return _between(state, first, last, today, problems)
        if not problems or not any("from =" in problem or "to =" in problem for problem in problems):
            problems.append("The address has only one of from and to; a range takes both. Shown are 30 days.")
        return state
    return replace(state, range=_word(query, "range", {n: n for n in ranges.RANGES}, "30d", problems))


def _between(state: State, first: date, last: date, today: date, problems: list[str]) -> State:
    if first > last:
        problems.append(f"The address says from = {first}, which is after to = {last}; shown are 30 days.")
        return state
    if first > today or first < FIRST_DAY:
        problems.append(refusal("from", str(first), f"a day from {FIRST_DAY} to today; shown are 30 days"))
        return state
    if (last - first).days >= ranges.LONGEST:
        first = last - timedelta(days=ranges.LONGEST - 1)
        problems.append(f"A range has {ranges.LONGEST:,} days at most; shown is {first} to {last}.")
    return replace(state, range="", first=first, last=min(last, max(today, first)))


def _day(query: Mapping[str, str], name: str, problems: list[str]) -> date | None:
    raw = query.get(name, "")
    try:
        if raw and len(raw) == 10:
            return date.fromisoformat(raw)
    except ValueError:
        pass
    if raw:
        problems.append(refusal(name, raw, "a day like 2026-11-24"))
    return None
