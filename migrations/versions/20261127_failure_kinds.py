"""Record the kind of a failure and of a gap, so that no decision depends on the words of its reason.

`measured.<source>_failed` was a sentence. From now on it is `{"reason": sentence, "kind": kind}`, with kind
"denied" or "failed". Rows recorded before keep the reading that they had; sealed days are not touched.
`gaps.kind` is "silent", "session_lost" or "other".
"""

from alembic import op

revision = "r3456789012n"
down_revision = "q2345678901m"
branch_labels = None
depends_on = None

# How each source's failures were told apart until this revision.
DENIED = {"platform_db": "%permission denied%", "s3": "access denied%", "ecr": "access denied%"}


# How gaps were told apart until this revision.
GAPS = {"silent": "not read since", "session_lost": "the broker lost the session"}


def upgrade() -> None:
    op.execute("ALTER TABLE gaps ADD COLUMN kind text NOT NULL DEFAULT 'other'")
    for kind, reason in GAPS.items():
        op.execute(f"UPDATE gaps SET kind = '{kind}' WHERE reason = '{reason}'")
    for source, pattern in DENIED.items():
        key = f"{source}_failed"
        op.execute(f"""
            UPDATE usage_hourly SET measured = measured || jsonb_build_object('{key}', jsonb_build_object(
                'reason', measured->>'{key}',
                'kind', CASE WHEN measured->>'{key}' LIKE '{pattern}' THEN 'denied' ELSE 'failed' END))
            WHERE jsonb_typeof(measured->'{key}') = 'string'""")


def downgrade() -> None:
    op.execute("ALTER TABLE gaps DROP COLUMN kind")
    for source in DENIED:
        key = f"{source}_failed"
        op.execute(f"""
            UPDATE usage_hourly
            SET measured = measured || jsonb_build_object('{key}', measured->'{key}'->>'reason')
            WHERE jsonb_typeof(measured->'{key}') = 'object'""")
