"""An explained charge as it is shown: as text, as JSON."""

from collections.abc import Iterator
from typing import Any

from metering.months import owners
from metering.months.explain import ExplainedLine, Explanation

WHOLE = ("measured", "zero")  # states of a source that was read all day


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Return the explanation for programs: bill, plan version, lines with days and hours, adjustments."""
    return {
        "bill": explanation.bill,
        "plan_version": {
            "hash": explanation.bill["plan_version"],
            "content": explanation.versions.last.content(),
        },
        "rated_again_agrees": explanation.agrees,
        "owners": explanation.bill["owners"],
        "later_readings": explanation.bill["later_readings"],
        "lines": [_line_as_json(explained) for explained in explanation.lines],
        "adjustments": explanation.adjustments,
        "gaps": explanation.gaps,
    }


def _line_as_json(explained: ExplainedLine) -> dict[str, Any]:
    days = [
        {
            "date": day.date,
            "quantity": day.quantity,
            "sources": day.coverage,
            "row_hash": day.row_hash,
            "hours": {f"{hour:%Y-%m-%dT%H:00Z}": count for hour, count in day.hours.items()},
        }
        for day in explained.days
    ]
    described = {
        "tier": explained.line.tier,
        "arithmetic": explained.arithmetic,
        "adjusted": explained.adjusted,
    }
    return explained.line.as_json() | described | {"days": days}


def render(explanation: Explanation, only_charged: bool = True) -> Iterator[str]:
    """Render the explanation as lines of text, with days and hours of charged lines or of all."""
    bill, currency = explanation.bill, explanation.bill["currency"]
    yield f"{bill['project']} (project {bill['project_id']}), {bill['year']}-{bill['month']:02d}"
    yield (
        f"total {bill['total_charge']} {currency} = fee {bill['plan_fee']} + overage {bill['overage_charge']}"
        f" + adjustments {bill['adjustment_charge']}"
    )
    yield f"closed by {bill['closed_by']} at {bill['created_at']:%Y-%m-%d %H:%M} UTC, seal {bill['seal']}"
    yield (
        f"plan version {bill['plan_version']}, effective {explanation.versions.last.effective}, "
        f"tier {bill['tier']}; {bill['days_present']} of {bill['days_expected']} days"
    )
    for part in bill["versions"][:-1]:
        yield f"from {part['from']} on by plan version {part['plan_version']}, until the next one"
    if bill["owners"]:
        yield f"the days of several owners: {owners.describe(bill['owners'])}"
    if bill["later_readings"]:
        yield owners.describe_later(bill["later_readings"])
    if not explanation.agrees:
        yield "WARNING: rating these days again gives another bill; run: fleetmeter verify"
    for explained in explanation.lines:
        yield ""
        yield f"{explained.line.meter} ({_terms(explained)}): {explained.arithmetic}"
        if explained.line.charge or not only_charged:
            yield from _render_days(explained)
    for row in explanation.adjustments:
        yield _adjustment(row, currency)
    for gap in explanation.gaps:
        yield _gap(gap)


def _terms(explained: ExplainedLine) -> str:
    version = explained.line.version
    return explained.line.tier + (f", plan of {version.effective}" if version is not None else "")


def _adjustment(row: dict[str, Any], currency: str) -> str:
    worth = []
    if row["meter"]:
        worth.append(f"{row['quantity']:+,} {row['meter']}")
    if row["amount"] is not None:
        worth.append(f"{row['amount']:+f} {row['currency'] or currency}")
    applied = "" if row["currency"] in (None, currency) else f", not applied: this bill is in {currency}"
    about = f"about {row['usage_date']}, by {row['actor']}: {row['reason']}"
    return f"adjustment {row['id']}: {' = '.join(worth)}{applied}, {about}"


def _gap(gap: dict[str, Any]) -> str:
    until = f"{gap['ends_at']:%Y-%m-%d %H:%M}" if gap["ends_at"] else "the end"
    settled = "covered since" if gap["covered_at"] else "still open"
    if gap["accepted_by"]:
        settled = f"accepted by {gap['accepted_by']}: {gap['accepted_reason']}"
    blind = f"{gap['source']} was blind from {gap['starts_at']:%Y-%m-%d %H:%M} to {until} UTC"
    return f"gap {gap['id']}: {blind} ({gap['reason']}), {settled}"


def _render_days(explained: ExplainedLine) -> Iterator[str]:
    for day in explained.days:
        if day.quantity or any(state.get("state") not in WHOLE for state in day.coverage.values()):
            quantity = "unknown" if day.quantity is None else f"{day.quantity:,}"
            sources = ", ".join(f"{name} {_state(state)}" for name, state in day.coverage.items())
            yield f"  {day.date}  {quantity:>15}  {sources}  {day.row_hash[:12]}"
            for hour, count in day.hours.items():
                yield f"    {hour:%H}:00  {count:>16,}"
    quantities = [day.quantity or 0 for day in explained.days]
    if explained.line.is_counted:
        total = sum(quantities)
        yield f"  days {total:,} + adjustments {explained.adjusted:,} = {total + explained.adjusted:,}"
    elif explained.line.is_largest:
        largest = max(quantities, default=0)
        yield f"  the larger of the days' {largest:,} and the adjustments' {explained.adjusted:,}"
    else:
        yield f"  billed on the {explained.line.allowance.basis} of the days"


def _state(state: dict[str, Any]) -> str:
    if "hours" in state:
        return f"{state['state']} {state['hours']} of {state['of']} h"
    return f"{state.get('state', 'unknown')}" + (
        f" at {state['sampled_at'][:16]}" if "sampled_at" in state else ""
    )
