"""Ask first whether a session sees every hour, and only then whose each hour was.

PostgreSQL asks policies in an order of its own choice. It looked up the owner of each hour also for sessions
that see all of them: a third of the time of reading a day's hours of 10,000 projects.
"""

from alembic import op

revision = "hours12345y"
down_revision = "b3456789012x"
branch_labels = None
depends_on = None

OWN_HOURS = """
EXISTS (SELECT FROM project_owners w WHERE w.project_id = usage_hourly.project_id
    AND w.owned_from < usage_hourly.hour + interval '1 hour'
    AND w.owned_until >= usage_hourly.hour + interval '1 hour')
OR (project_id IN (SELECT fleetmeter_own_projects())
    AND NOT EXISTS (SELECT FROM project_owners w WHERE w.project_id = usage_hourly.project_id))
"""
# The policy beside it shows everything to those sessions.
SCOPED = f"CASE WHEN (SELECT fleetmeter_unscoped()) IS NOT NULL THEN false ELSE {OWN_HOURS} END"


def upgrade() -> None:
    op.execute(f"ALTER POLICY fleetmeter_organization ON usage_hourly USING ({SCOPED})")


def downgrade() -> None:
    op.execute(f"ALTER POLICY fleetmeter_organization ON usage_hourly USING ({OWN_HOURS})")
