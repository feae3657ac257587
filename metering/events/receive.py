"""Count events: each one once, the accepted ones of a batch together, in the transaction of the caller.

Everybody takes locks in one order: projects by their ids, then events by their keys, then hours. An event is
judged after its project's row is locked, so that no seal passes between the judgement and the count.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import utc
from metering.db import audit_log, clock
from metering.events.batch import Batch, Receipt
from metering.events.reported_project import Sender

MOST_EVENTS = 1_000  # of a batch


def receive(
    connection: Connection,
    written: Sequence[Any],
    own: Mapping[str, OwnMeter],
    sender: Sender,
    at: datetime,
    tolerance: float,
    adjust_late: bool = False,
) -> Receipt:
    """Count the events `written`, as CloudEvents say them, received at `at`; the caller commits.

    `own`: the declared meters. `adjust_late`: usage of sealed days becomes adjustments, otherwise it is
    refused. `tolerance`: seconds by which clocks may differ. Batches that count something
    are in the audit log.
    """
    batch = Batch(connection, own, sender, clock.agreed_instant(connection, utc(at), tolerance), tolerance)
    batch.read(written)
    batch.judge(adjust_late)
    batch.keep()
    batch.count()
    receipt = batch.receipt()
    if receipt.accepted:
        counts = {"accepted": receipt.accepted, "duplicates": receipt.duplicates}
        after = counts | {"refused": len(receipt.refused)}
        audit_log.record(connection, sender.actor, "report usage", "usage events", None, after, at=batch.at)
    return receipt
