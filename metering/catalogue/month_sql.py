"""A calendar month as SQL: its first day as a date, the day after it, and its name.

`row` is the alias of a row with the columns `year` and `month`, empty where no alias is needed. Days are
dates, hours are instants whose month is that of UTC. Never call these functions with input.
"""


def first_of_month(row: str = "") -> str:
    """Return the first day of the row's month."""
    return f"make_date({_of(row, 'year')}, {_of(row, 'month')}, 1)"


def after_month(row: str = "") -> str:
    """Return the first day after the row's month."""
    return next_month(first_of_month(row))


def is_in_month(day: str, row: str) -> str:
    """Return whether `day` is one of the row's month; a range, so that an index on days is used."""
    return f"({day} >= {first_of_month(row)} AND {day} < {after_month(row)})"


def month_name(row: str = "") -> str:
    """Return the row's month as it is written: `2026-11`."""
    return f"format('%s-%s', {_of(row, 'year')}, lpad({_of(row, 'month')}::text, 2, '0'))"


def month_of_day(day: str) -> str:
    """Return the first day of the month that contains `day`."""
    return f"date_trunc('month', {day})::date"


def month_of_hour(hour: str) -> str:
    """Return the first day of the month in UTC that contains the instant `hour`."""
    return f"date_trunc('month', {hour} AT TIME ZONE 'UTC')::date"


def next_month(first: str) -> str:
    """Return the first day of the month after that of `first`, which is its first day."""
    return f"({first} + interval '1 month')::date"


def midnight(day: str) -> str:
    """Return the instant at which `day` begins in UTC."""
    return f"({day}::timestamp AT TIME ZONE 'UTC')"


def _of(row: str, column: str) -> str:
    return f"{row}.{column}" if row else column
