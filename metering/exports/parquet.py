"""Parquet: the columns of an export with their types, written and read again as texts."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet
from sqlalchemy import Table
from sqlalchemy.types import BigInteger, Date, DateTime, Numeric, SmallInteger

from metering.exports import csv_format

BATCH = 5_000


def schema(source: Table, names: Iterable[str]) -> pa.Schema:
    """The types of those columns of `source`; what is computed is text."""
    return pa.schema([(name, _type(source, name)) for name in names])


def _type(source: Table, name: str) -> pa.DataType:
    kind = source.c[name].type if name in source.c else None
    if isinstance(kind, BigInteger | SmallInteger) or name == "organization_id":
        return pa.int64()
    if isinstance(kind, Numeric):
        return pa.decimal128(38, 6)
    if isinstance(kind, DateTime):
        return pa.timestamp("us", "UTC")
    return pa.date32() if isinstance(kind, Date) else pa.string()


def write(lines: Iterable[tuple[Any, ...]], types: pa.Schema, stream: BinaryIO | Path) -> int:
    """A Parquet file, a row group for each batch; returns the rows written."""
    written = 0
    with parquet.ParquetWriter(stream, types, compression="zstd") as writer:
        pending = iter(lines)
        while batch := list(islice(pending, BATCH)):
            values = [[csv_format.as_text(value) for value in column] for column in zip(*batch, strict=True)]
            writer.write_table(pa.table(dict(zip(types.names, values, strict=True)), types))
            written += len(batch)
    return written


def read(path: Path) -> Iterator[dict[str, str]]:
    """The rows as a plain CSV has them, but that money has all six decimals.

    Raises ValueError when it is no Parquet.
    """
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH):
            for row in batch.to_pylist():
                yield {name: csv_format.text_of(value) for name, value in row.items()}
