"""SQL of the canonical form of a row, from which hashes and seals are computed (docs/proof.md).

The bytes of fleetmeter_canonical(to_jsonb(row)), money as text, but written out column by column, and
level by level for JSON: a call of the function for each row takes four times as long.
"""

from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger, Numeric, SmallInteger

from metering.catalogue import forms
from metering.catalogue.forms import Sealed

LEVELS = 2  # of nested objects that are written out; fleetmeter_canonical does the deeper ones
AT_ONCE = 20  # columns of one concat(): it takes a hundred arguments, and a column is up to four


def in_own_form(table: Table, row: str) -> str:
    """Return SQL of the canonical form of `row`, an alias of `table`, in the row's own form.

    NULL if the form is unknown, or if a column that the form does not have is not empty: a value there
    was never sealed.
    """
    name = cast(Sealed, table.name)
    cases = " ".join(
        f"WHEN {form} THEN {_if_empty(table, row, forms.columns_after(name, form))}"
        f" {of_row(table, row, forms.columns(name, form))} END"
        for form in forms.FORMS
    )
    return f"CASE {row}.form {cases} END"


def _if_empty(table: Table, row: str, names: Iterable[str]) -> str:
    conditions = " AND ".join(_is_empty(table.c[name], f"{row}.{name}") for name in names)
    return f"CASE WHEN {conditions or 'true'} THEN"


def _is_empty(column: Column[Any], cell: str) -> str:
    default = cast(Any, column.server_default)
    return f"{cell} IS NULL" if default is None else f"{cell} = {default.arg}"


def of_row(table: Table, row: str, names: Iterable[str]) -> str:
    """Return SQL of the canonical form of the columns `names` of `row`, an alias of `table`."""
    members = [
        f"""'{"," if place else ""}"{name}":', {_cell(table, row, name)}"""
        for place, name in enumerate(sorted(names))
    ]
    chunks = (members[first : first + AT_ONCE] for first in range(0, len(members), AT_ONCE))
    parts = (f"concat({', '.join(chunk)})" for chunk in chunks)
    return f"('{{' || {' || '.join(parts)} || '}}')"


def _cell(table: Table, row: str, name: str) -> str:
    column, cell = table.c[name], f"{row}.{name}"
    if isinstance(column.type, Numeric):
        return f"""'"', {cell}, '"'"""
    if isinstance(column.type, BigInteger | SmallInteger):
        value = f"{cell}::text"
    else:
        value = of_json(cell) if isinstance(column.type, JSONB) else f"to_json({cell})::text"
    return f"coalesce({value}, 'null')" if column.nullable else value


def of_json(value: str, level: int = LEVELS) -> str:
    """Return SQL of the canonical form of the jsonb `value`."""
    if not level:
        return f"""CASE WHEN jsonb_typeof({value}) IN ('object', 'array') THEN fleetmeter_canonical({value})
            ELSE {value}::text END"""
    key, item = f"key{level}", f"item{level}"
    return f"""CASE jsonb_typeof({value}) WHEN 'object' THEN (
            SELECT '{{' || coalesce(string_agg(to_json({key})::text || ':' || {of_json(item, level - 1)},
                ',' ORDER BY {key} COLLATE "C"), '') || '}}' FROM jsonb_each({value}) AS e ({key}, {item}))
        WHEN 'array' THEN fleetmeter_canonical({value}) ELSE {value}::text END"""
