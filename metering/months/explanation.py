"""Render an explained charge: as text, as JSON."""

from collections.abc import Iterator
from typing import Any

from metering.catalogue.sources import SOURCE_LABELS
from metering.months import invoice, owners
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
        f"total {bill['total_charge']} {currency} = plan fee {bill['plan_fee']}"
        f" + overage {bill['overage_charge']} + adjustments {bill['adjustment_charge']}"
    )
    yield from notes(explanation)
    for line in invoice.lines(explanation):
        yield ""
        yield f"{line.title}, {line.tier}: {line.explained.arithmetic}"
        if line.amount or not only_charged:
            yield from _render_days(line.explained)
    for row in explanation.adjustments:
        yield adjustment(row, explanation)
    for gap in explanation.gaps:
        yield gap_note(gap)
    yield ""
    yield "Proof"
    yield from proof(explanation)


def notes(explanation: Explanation) -> Iterator[str]:
    """Return notes about the bill: its tier and days, who closed it, owners, a difference."""
    bill = explanation.bill
    yield (
        f"{invoice.tier(bill['tier'])}, plan effective {explanation.versions.last.effective}; "
        f"{bill['days_present']} of {bill['days_expected']} days; "
        f"closed by {bill['closed_by']} at {bill['created_at']:%Y-%m-%d %H:%M} UTC"
    )
    if bill["owners"]:
        yield f"the days of several owners: {owners.describe(bill['owners'])}"
    if bill["later_readings"]:
        yield owners.describe_later(bill["later_readings"])
    if not explanation.agrees:
        yield "WARNING: rating these days again gives another bill; run: fleetmeter verify"


def proof(explanation: Explanation) -> Iterator[str]:
    """Name the hashes that prove the bill: its seal, its plan versions, and each day."""
    bill = explanation.bill
    yield f"seal {bill['seal']}"
    yield f"plan version {bill['plan_version']}"
    for part in bill["versions"][:-1]:
        yield f"from {part['from']} on by plan version {part['plan_version']}, until the next one"
    hashes = {day.date: day.row_hash for line in explanation.lines for day in line.days}
    yield from (f"{day} {row_hash}" for day, row_hash in sorted(hashes.items()))


def adjustment(row: dict[str, Any], explanation: Explanation) -> str:
    """Describe an adjustment: its amount, its day, its actor and reason."""
    currency, amounts = explanation.bill["currency"], []
    if row["meter"]:
        amounts.append(f"{row['quantity']:+,} {invoice.title(row['meter'], explanation)}")
    if row["amount"] is not None:
        amounts.append(f"{row['amount']:+f} {row['currency'] or currency}")
    applied = "" if row["currency"] in (None, currency) else f", not applied: this bill is in {currency}"
    about = f"about {row['usage_date']}, by {row['actor']}: {row['reason']}"
    return f"adjustment {row['id']}: {' = '.join(amounts)}{applied}, {about}"


def gap_note(gap: dict[str, Any]) -> str:
    """Describe a gap: when a counter source was blind, and whether it is covered or accepted."""
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
            sources = measured(day.coverage)
            yield f"  {day.date}  {quantity:>15}  {sources}"
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


def measured(coverage: dict[str, Any]) -> str:
    """Describe how well each source of a day was measured."""
    return ", ".join(f"{SOURCE_LABELS.get(name, name)} {_state(state)}" for name, state in coverage.items())


def _state(state: dict[str, Any]) -> str:
    if "hours" in state:
        return f"{state['state']} {state['hours']} of {state['of']} h"
    return f"{state.get('state', 'unknown')}" + (
        f" at {state['sampled_at'][:16]}" if "sampled_at" in state else ""
    )
