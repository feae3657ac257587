"""Keep the busiest devices of a project's day.

Each figure is a lower bound: what the counter daemons saw of a device while they followed it. `error` is how
many messages they may have missed before. An organization sees the days in which it was the project's owner.
"""

from alembic import op

revision = "b3456789012x"
down_revision = "sum1234567a"
branch_labels = None
depends_on = None

# The owner at the day's end, as for a sealed day. A project that was never read has no history: its owner's.
OWN_DAYS = """
EXISTS (SELECT FROM project_owners w WHERE w.project_id = device_usage_daily.project_id
    AND w.owned_from < ((device_usage_daily.date + 1)::timestamp AT TIME ZONE 'UTC')
    AND w.owned_until >= ((device_usage_daily.date + 1)::timestamp AT TIME ZONE 'UTC'))
OR (project_id IN (SELECT fleetmeter_own_projects())
    AND NOT EXISTS (SELECT FROM project_owners w WHERE w.project_id = device_usage_daily.project_id))
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE device_usage_daily (
            project_id bigint NOT NULL,
            date date NOT NULL,
            device text NOT NULL,
            mqtt_inbound bigint NOT NULL DEFAULT 0,
            mqtt_outbound bigint NOT NULL DEFAULT 0,
            mqtt_inbound_bytes bigint NOT NULL DEFAULT 0,
            mqtt_outbound_bytes bigint NOT NULL DEFAULT 0,
            error bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (project_id, date, device)
        )""")
    op.execute("CREATE INDEX device_usage_daily_date_idx ON device_usage_daily (date)")
    op.execute(f"SELECT fleetmeter_protect('device_usage_daily', $visible${OWN_DAYS}$visible$)")


def downgrade() -> None:
    op.execute("DROP TABLE device_usage_daily")
