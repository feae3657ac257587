"""Parquet: the columns of an export with their types, written, and read again as texts."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from metering.exports import csv_format
from metering.exports.columns import Column, Kind
from metering.exports.export import BATCH

TYPES: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "money": pa.decimal128(38, 6),
    "json": pa.string(),
    "date": pa.date32(),
    "instant": pa.timestamp("us", "UTC"),
    "text": pa.string(),
}


def schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the types of those columns."""
    return pa.schema([(column.name, TYPES[column.kind]) for column in columns])


def write(lines: Iterable[tuple[Any, ...]], columns: Sequence[Column], stream: BinaryIO | Path) -> int:
    """Write a Parquet file, a row group for each batch; returns the rows written."""
    written, types = 0, schema(columns)
    with parquet.ParquetWriter(stream, types, compression="zstd") as writer:
        pending = iter(lines)
        while batch := list(islice(pending, BATCH)):
            values = [[csv_format.as_text(value) for value in column] for column in zip(*batch, strict=True)]
            writer.write_table(pa.table(dict(zip(types.names, values, strict=True)), types))
            written += len(batch)
    return written


def read(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows as a plain CSV has them, but with all six decimals of money.

    Raises ValueError if it is not a Parquet file.
    """
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH):
            for row in batch.to_pylist():
                yield {name: csv_format.text_of(value) for name, value in row.items()}
