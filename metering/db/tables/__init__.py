"""Every table. Columns of counters and gauges derive from the catalogue.

Platform tables carry `info={"owner": "platform"}`.
"""

from sqlalchemy import Table

from metering.db.tables import access, alerts, history, ledger, operations, platform, sealed, summaries, views
from metering.db.tables.base import METADATA

__all__ = [
    "METADATA",
    "OWN_TABLES",
    "PLATFORM_TABLES",
    "access",
    "alerts",
    "history",
    "ledger",
    "operations",
    "platform",
    "sealed",
    "summaries",
    "views",
]

PLATFORM_TABLES: dict[str, Table] = {
    table.name: table for table in METADATA.sorted_tables if table.info == platform.PLATFORM
}
OWN_TABLES: dict[str, Table] = {
    table.name: table for table in METADATA.sorted_tables if table.info != platform.PLATFORM
}
