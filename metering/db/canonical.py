"""SQL of the canonical form of a row, which hashes and seals are made of (docs/proof.md).

The bytes of fleetmeter_canonical(to_jsonb(row)), money as text, but written out column by column, and
level by level for JSON: the function itself, called for each row, takes four times as long.
"""

from collections.abc import Collection

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger, Numeric, SmallInteger

LEVELS = 2  # of objects in objects that are written out; what lies deeper is the function's


def of_row(table: Table, row: str, without: Collection[str]) -> str:
    """SQL of the canonical form of `row`, an alias with the columns of `table`, but for those `without`."""
    names = sorted(column.name for column in table.c if column.name not in without)
    members = (
        f"""'{"," if place else ""}"{name}":', {_cell(table, row, name)}"""
        for place, name in enumerate(names)
    )
    # PostgreSQL takes a hundred arguments and no more.
    return f"concat('{{', {', '.join(members)}, '}}')"


def _cell(table: Table, row: str, name: str) -> str:
    column, cell = table.c[name], f"{row}.{name}"
    if isinstance(column.type, Numeric):
        return f"""'"', {cell}, '"'"""
    if isinstance(column.type, BigInteger | SmallInteger):
        return f"coalesce({cell}::text, 'null')" if column.nullable else cell
    return of_json(cell) if isinstance(column.type, JSONB) else f"to_json({cell})"


def of_json(value: str, level: int = LEVELS) -> str:
    """SQL of the canonical form of the jsonb `value`."""
    if not level:
        return f"""CASE WHEN jsonb_typeof({value}) IN ('object', 'array') THEN fleetmeter_canonical({value})
            ELSE {value}::text END"""
    key, item = f"key{level}", f"item{level}"
    return f"""CASE jsonb_typeof({value}) WHEN 'object' THEN (
            SELECT '{{' || coalesce(string_agg(to_json({key})::text || ':' || {of_json(item, level - 1)},
                ',' ORDER BY {key} COLLATE "C"), '') || '}}' FROM jsonb_each({value}) AS e ({key}, {item}))
        WHEN 'array' THEN fleetmeter_canonical({value}) ELSE {value}::text END"""
