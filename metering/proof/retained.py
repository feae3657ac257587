"""SQL of the days that retention has left in a table."""


def kept_from(table: str) -> str:
    """Return SQL of the date from which on `table` is complete, by the audit log of retention."""
    return f"""coalesce((SELECT max((a.after->>'before')::date) FROM audit_log a
        WHERE a.action = 'retention' AND a.subject = '{table}'), '-infinity')"""
