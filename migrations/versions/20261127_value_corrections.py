"""Corrections of closed months: money in a currency, with the quantity that it is worth kept beside it.

fleetmeter_month_status lists a project with corrections to pay although it was not metered.
"""

from alembic import op

revision = "y0123456789u"
down_revision = "so27112026a1"
branch_labels = None
depends_on = None

CHECK = "adjustments_quantity_or_amount_check"
BOTH = """(meter IS NULL) = (quantity IS NULL) AND (quantity IS NOT NULL OR amount IS NOT NULL)
    AND (currency IS NULL OR amount IS NOT NULL)"""
ONE = """(meter IS NOT NULL AND quantity IS NOT NULL AND amount IS NULL)
    OR (meter IS NULL AND quantity IS NULL AND amount IS NOT NULL)"""

LISTED = "WHERE k.seal IS NOT NULL OR k.has_days"
LISTED_TOO = f"""{LISTED} OR EXISTS (SELECT FROM adjustments x
                WHERE x.project_id = k.id AND x.posted_month = k.first)"""

# The function as the revision before made it, but for one condition.
REPLACE = """
DO $do$
DECLARE
    made text = pg_get_functiondef('fleetmeter_month_status(date, timestamptz, bigint[])'::regprocedure);
BEGIN
    IF position($old${old}$old$ IN made) = 0 THEN
        RAISE EXCEPTION 'fleetmeter_month_status is not the one that Fleetmeter made';
    END IF;
    EXECUTE replace(made, $old${old}$old$, $new${new}$new$);
END
$do$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE adjustments ADD COLUMN currency TEXT")
    op.execute(f"ALTER TABLE adjustments DROP CONSTRAINT {CHECK}, ADD CONSTRAINT {CHECK} CHECK ({BOTH})")
    op.execute(REPLACE.format(old=LISTED, new=LISTED_TOO))


def downgrade() -> None:
    op.execute(REPLACE.format(old=LISTED_TOO, new=LISTED))
    op.execute(f"ALTER TABLE adjustments DROP CONSTRAINT {CHECK}, ADD CONSTRAINT {CHECK} CHECK ({ONE})")
    op.execute("ALTER TABLE adjustments DROP COLUMN currency")
