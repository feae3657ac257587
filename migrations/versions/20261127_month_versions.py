"""Keep with a bill the plan versions that rated its days, where there were several."""

from alembic import op

revision = "z1234567890v"
down_revision = "y0123456789u"
branch_labels = None
depends_on = None

VISIBLE = "hash IN (SELECT plan_version FROM monthly_stats)"
ALSO = """hash IN (SELECT part->>'plan_version' FROM monthly_stats
    CROSS JOIN LATERAL jsonb_array_elements(versions) AS part)"""


def upgrade() -> None:
    op.execute("ALTER TABLE monthly_stats ADD COLUMN versions JSONB DEFAULT '[]' NOT NULL")
    op.execute(f"ALTER POLICY fleetmeter_organization ON plan_versions USING ({VISIBLE} OR {ALSO})")


def downgrade() -> None:
    op.execute(f"ALTER POLICY fleetmeter_organization ON plan_versions USING ({VISIBLE})")
    op.execute("ALTER TABLE monthly_stats DROP COLUMN versions")
