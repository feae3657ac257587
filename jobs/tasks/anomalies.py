"""Job `anomalies`: judge every sealed day that was not judged yet."""

from typing import Any

from metering.alerts import anomalies
from metering.catalogue import projects
from metering.db.transactions import transaction
from metering.runs.context import Context


def run(context: Context) -> dict[str, Any]:
    """Judge sealed days; return how many anomalies there are."""
    with transaction(context.engine) as connection:
        ids = projects.ids(connection, context.project_id)
    return {"anomalies": anomalies.judge(context.engine, ids, context.at, context.advance)}
