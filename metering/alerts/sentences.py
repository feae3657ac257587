"""Describe incidents in sentences, a function for each kind of alert.

Quantities are stored as numbers with their meter and are formatted here, where the unit is known.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from metering.catalogue import quantities
from metering.catalogue.meters import label_of, unit_of
from metering.catalogue.quantities import many
from metering.catalogue.sources import SOURCE_LABELS
from metering.printable import first_line

Detail = Mapping[str, Any]

REASON = 120  # characters of an error

FAILURES = {"denied": "access denied", "timeout": "no answer"}


def _limit(detail: Detail) -> str:
    used, included = detail["used"], detail["included"]
    if "meter" not in detail:
        return f"{used:,} of {included:,} {detail['what']}"
    passed = used > included
    hard = "hard limit, not enforced: still counting" if passed else "hard limit"
    soft = "more is charged" if passed else "soft limit"
    share = quantities.percent(used, included)
    return f"{share} of {label_of(detail['meter'])} ({hard if detail['limit'] == 'hard' else soft})"


def _budget(detail: Detail) -> str:
    amount = quantities.money(Decimal(detail["amount"]), detail["currency"])
    if detail["billed_in"] != detail["currency"]:
        return f"budget of {amount} cannot be compared, {detail['month']} is billed in {detail['billed_in']}"
    projected = Decimal(detail["projected"])
    share = quantities.percent(projected, Decimal(detail["amount"]))
    money = quantities.money(projected, detail["currency"])
    return f"{detail['month']} is projected to {money}, {share} of the budget of {amount}"


def _anomaly(detail: Detail) -> str:
    more = len(detail.get("meters", ())) - 1
    others = f"; {many(more, 'more meter')} out of range" if more > 0 else ""
    day = date.fromisoformat(detail["date"])
    return f"{label_of(detail['meter'])} {describe_unusual(detail, day)}{others}"


def describe_unusual(part: Detail, day: date) -> str:
    """Compare a meter's usage of `day` with its usual range: `2.1 GB on Sun 22 Nov, 6.5× the usual …`."""
    actual, low, high = (part[name] for name in ("actual", "expected_low", "expected_high"))
    in_unit = unit_of(part["meter"])
    usual = f"the usual {quantities.span(low, high, in_unit, actual)}"
    bound = high if actual > high else low
    compared = f"{actual / bound:.2g}× {usual}" if bound else f"more than {usual}"
    return f"{quantities.quantity(actual, in_unit)} on {day:%a} {day.day} {day:%b}, {compared}"


def _source(detail: Detail) -> str:
    why = FAILURES.get(detail["failure"], "could not be read")
    where = f" for {many(detail['projects'], 'project')}" if detail.get("projects") else ""
    measured = detail.get("since")
    since = f" since {quantities.moment(_instant(measured))}" if measured else ""
    return f"{_source_label(detail)} {why}{where}{since}"


def _source_label(detail: Detail) -> str:
    name = str(detail["source"])
    return SOURCE_LABELS.get(name, name)


def _missing(detail: Detail) -> str:
    snapshots = f"{many(detail['days'], 'daily snapshot')} missing"
    return f"{snapshots}{_of_projects(detail)}, {_range(detail)}"


def _coverage(detail: Detail) -> str:
    hours = f" ({detail['hours']:,} of {detail['of']:,} h)" if detail.get("of") else ""
    day = many(detail["days"], "day")
    return f"{_source_label(detail)} measured in part on {day}{_of_projects(detail)}, {_range(detail)}{hours}"


def _of_projects(detail: Detail) -> str:
    return f" in {many(detail['projects'], 'project')}" if detail.get("projects") else ""


def _range(detail: Detail) -> str:
    return quantities.days(date.fromisoformat(detail["first"]), date.fromisoformat(detail["last"]))


def _failed(detail: Detail) -> str:
    if detail.get("state") == "failed" or not detail["failures"]:
        return f"{_run(detail)} failed: {_reason(detail['error'])}"
    return f"{_run(detail)} succeeded, {detail['failures']} left out: {_reason(detail['error'])}"


def _dead(detail: Detail) -> str:
    reason = f": {_reason(detail['error'])}" if detail.get("error") else ""
    tried = many(detail["attempts"], "attempt")
    return f"{_run(detail)} gave up after {tried}{reason}"


def _lost(detail: Detail) -> str:
    return f"{_run(detail)} lost {many(detail['workers_lost'], 'runner')}"


def _run(detail: Detail) -> str:
    return f"job {detail['job']} of {detail['period']}"


def _late(detail: Detail) -> str:
    since = quantities.moment(_instant(detail["since"]))
    return f"job {detail['job']}: {many(detail['waiting'], 'run')} overdue since {since}"


def _drift(detail: Detail) -> str:
    difference = f"{abs(detail['drift']):,} {'more' if detail['drift'] > 0 else 'fewer'}"
    hour = quantities.moment(_instant(detail["hour"]))
    return f"{difference} messages counted than {detail['source']} says, hour of {hour}"


def _clock(detail: Detail) -> str:
    side = "ahead of" if detail["seconds"] > 0 else "behind"
    return f"clock of {detail['host']} is {abs(detail['seconds']):,.0f} s {side} the database's"


def _silent(detail: Detail) -> str:
    last_seen = quantities.moment(_instant(detail["last_seen_at"]))
    return f"counter {detail['client_id']} is silent since {last_seen}: {detail['why']}"


def _gap(detail: Detail) -> str:
    start = quantities.moment(_instant(detail["from"]))
    end = quantities.moment(_instant(detail["to"])) if detail.get("to") else "now"
    return f"messages from {start} to {end} may be lost (gap {detail['gap']})"


def _moved(detail: Detail) -> str:
    billed = detail["organization_id"]  # an organization is not told of another one
    owner = "another organization" if billed is None else f"organization {billed}"
    return f"bill goes to {owner}, its days have several owners"


def _correction(detail: Detail) -> str:
    amount = f"{detail['amount']} {detail['currency']}"
    billed = f"{detail['month']} is billed in {detail['billed_in']}"
    return f"{amount} about {detail['usage_date']} is in no bill: {billed}"


def _correction_moved(detail: Detail) -> str:
    amount = f"{detail['amount']} {detail['currency']}" if detail.get("amount") else "usage"
    says = f"{amount} about {detail['about']} is on the bill of {detail['month']}, which goes to"
    if "billed_to" not in detail:  # an organization is not told of another one
        return f"{says} another organization"
    return f"{says} organization {detail['billed_to']} instead of organization {detail['used_by']}"


def _unbilled(detail: Detail) -> str:
    return f"{detail['month']} is over, {many(detail['projects'], 'project')} with usage not billed"


def _blocked(detail: Detail) -> str:
    return f"monthly close left out {many(detail['blocked'], 'project')}"


def _reason(error: Any) -> str:
    line = first_line(str(error))
    return line if len(line) <= REASON else line[: REASON - 1] + "…"


def _instant(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


SENTENCES: Mapping[str, Callable[[Detail], str]] = {
    "limit": _limit,
    "budget": _budget,
    "anomaly": _anomaly,
    "source_failed": _source,
    "snapshot_missing": _missing,
    "coverage": _coverage,
    "job_failed": _failed,
    "job_late": _late,
    "dead_letter": _dead,
    "worker_lost": _lost,
    "month_blocked": _blocked,
    "unbilled": _unbilled,
    "project_moved": _moved,
    "clock_wrong": _clock,
    "correction_not_applied": _correction,
    "correction_moved": _correction_moved,
    "counter_silent": _silent,
    "client_id_taken": lambda detail: f"another client uses a counter's id: {_gap(detail)}",
    "session_lost": lambda detail: f"the broker lost a counter's session: {_gap(detail)}",
    "drift": _drift,
}
