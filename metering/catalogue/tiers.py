"""The tiers as they were seen: the platform keeps none but today's, and a day may be sealed late."""

from datetime import datetime

from sqlalchemy import Connection, text

# Seen at `:at` as before, the interval grows; seen as another one, a new interval begins. Intervals of
# an organization never overlap, in whatever order instants are asked for.
NOTE = text("""
    WITH before AS (
        SELECT o.id, o.tier, last.seen_from, last.seen_until, last.tier AS last_tier
        FROM organizations o LEFT JOIN LATERAL (
            SELECT * FROM tiers_seen t WHERE t.organization_id = o.id AND t.seen_from <= :at
            ORDER BY t.seen_from DESC LIMIT 1) last ON true
        WHERE last.seen_until IS NULL OR last.seen_until < :at
    ), longer AS (
        UPDATE tiers_seen t SET seen_until = :at FROM before b
        WHERE t.organization_id = b.id AND t.seen_from = b.seen_from AND b.tier = b.last_tier
    )
    INSERT INTO tiers_seen (organization_id, seen_from, seen_until, tier)
    SELECT id, :at, :at, tier FROM before WHERE tier IS DISTINCT FROM last_tier AND tier IS NOT NULL""")

# The tier of organization `o` at `:end`: of all that were seen, the one seen nearest to it, what stands
# there now (`:at`) included. Where it was never seen before, that is today's.
AT_END = """(
    SELECT tier FROM (
        SELECT t.tier, t.seen_from, t.seen_until FROM tiers_seen t WHERE t.organization_id = o.id
        UNION ALL SELECT o.tier, CAST(:at AS timestamptz), CAST(:at AS timestamptz)) seen
    ORDER BY greatest(seen_from - :end, :end - seen_until, interval '0'), seen_from LIMIT 1)"""


def note(connection: Connection, at: datetime) -> None:
    """Remember every organization's tier as it is at `at`; one caller at a time, by its own lock."""
    connection.execute(NOTE, {"at": at})
