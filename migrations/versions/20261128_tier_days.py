"""Keep sums of sealed days by date and tier, so that totals over years of a fleet are read in milliseconds.

They are kept like those by organization: by the same trigger, in the transaction of the seal.
"""

import runpy
from pathlib import Path

from alembic import op

revision = "tierdays001a"
down_revision = "pastmonths01"
branch_labels = None
depends_on = None

# What organization_days has, but for the organization.
TABLE = """
CREATE TABLE tier_days (LIKE organization_days INCLUDING DEFAULTS);
ALTER TABLE tier_days DROP COLUMN organization_id;
ALTER TABLE tier_days ADD CONSTRAINT tier_days_pkey PRIMARY KEY (date, tier);
"""
MOST = 2**63 - 1  # what a bigint holds; a sum beyond it is kept as that, so a sum of such sums is it too
FILL = f"""
DO $body$
DECLARE
    names text;
    sums text;
BEGIN
    LOCK TABLE organization_days IN SHARE MODE;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
        string_agg(CASE
            WHEN attname IN ('date', 'tier') THEN attname
            WHEN attname IN ('meters', 'largest_meters') THEN format(
                'coalesce(%1$s(%2$I) FILTER (WHERE %2$I <> ''{{}}''), ''{{}}'')',
                CASE attname WHEN 'meters' THEN 'fleetmeter_sum_meters' ELSE 'fleetmeter_max_meters' END,
                attname)
            ELSE format('least(sum(%I), {MOST})', attname) END, ', ' ORDER BY attnum)
    INTO names, sums
    FROM pg_attribute WHERE attrelid = 'tier_days'::regclass AND attnum > 0 AND NOT attisdropped;
    EXECUTE format('INSERT INTO tier_days (%s) SELECT %s FROM organization_days GROUP BY date, tier',
        names, sums);
END $body$
"""


def keep_summaries() -> None:
    # By its path: a backend may have a package `migrations` of its own.
    runpy.run_path(str(Path(__file__).parents[1] / "summaries.py"))["add"](op.get_bind())


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(FILL)
    op.execute("SELECT fleetmeter_protect('tier_days')")  # an organization may not see what others used
    keep_summaries()


def downgrade() -> None:
    op.execute("DROP TABLE tier_days")
    keep_summaries()
