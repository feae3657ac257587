"""Manifests: the contents of an exported file, stored beside it, so that a removed row is noticed.

`bills.csv` has `bills.csv.manifest.json`: its rows, its totals by currency, the sum of its rows' seals,
and its SHA-256 (docs/proof.md). The files of an archive share one `manifest.json`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from metering.errors import FleetmeterError

SUFFIX = ".manifest.json"
ARCHIVE = "manifest.json"
CHUNK = 1 << 20
_SEAL = ("seal", "row_hash")
_AMOUNT = ("total_charge", "amount")


@dataclass
class Contents:
    """The contents of a file: the number of rows, their money by currency, and the sum of their seals.

    The sum is modulo 2^256 and so the same in any order of the rows.
    """

    rows: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)
    seals: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row. Raises ValueError or ArithmeticError if its seal or its money is not one."""
        seal = next((row[name] for name in _SEAL if name in row), "0")
        amount = next((row[name] for name in _AMOUNT if row.get(name) not in (None, "")), None)
        if amount is not None and row.get("currency"):
            total = self.totals.get(row["currency"], Decimal(0))
            self.totals[row["currency"]] = total + Decimal(str(amount).replace(",", "."))
        self.seals = (self.seals + int(seal, 16)) % 2**256
        self.rows += 1

    def count_rows(self, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, with values in the order of `names`, and count each."""
        for row in rows:
            self.add(dict(zip(names, row, strict=True)))
            yield row

    def as_json(self) -> dict[str, Any]:
        """Return it as a manifest has it; money as text."""
        totals = {currency: format(total, "f") for currency, total in sorted(self.totals.items())}
        return {"rows": self.rows, "totals": totals, "seals": f"{self.seals:064x}"}


@dataclass(frozen=True)
class Manifest:
    """The contents of a file when it was written; `contents` is None in archives that did not note them."""

    sha256: str | None
    contents: Contents | None

    @classmethod
    def beside(cls, path: Path) -> "Manifest | None":
        """Return the manifest of the file `path`, None if there is none.

        Raises FleetmeterError if it cannot be read.
        """
        for place in (path.with_name(path.name + SUFFIX), path.with_name(path.stem + SUFFIX)):
            if place.is_file():
                with _readable(place):
                    noted = json.loads(place.read_text("utf-8"))
                    return cls(noted["sha256"], _contents(noted))
        return cls._of_archive(path.with_name(ARCHIVE), path)

    @classmethod
    def _of_archive(cls, place: Path, path: Path) -> "Manifest | None":
        if not place.is_file():
            return None
        with _readable(place):
            noted = json.loads(place.read_text("utf-8"))
            if not isinstance(noted, dict) or path.name not in noted.get("files", ()):
                return None
            contents = noted.get("contents", {}).get(path.stem)
            return cls(noted["files"][path.name], None if contents is None else _contents(contents))

    def differences(self, path: Path, contents: Contents) -> Iterator[str]:
        """Yield a sentence for each difference of the file `path`, with those `contents`, from the manifest.

        A file that was saved again with the same rows does not differ.
        """
        if self.contents is None:
            if sha256(path) != self.sha256:
                yield f"{path.name} is not the file that was archived (SHA-256)"
            return
        expected = self.contents
        if contents.rows != expected.rows:
            yield f"{path.name} holds {contents.rows:,} rows, but its manifest says {expected.rows:,}"
        for currency in sorted({*contents.totals, *expected.totals}):
            total, noted = contents.totals.get(currency, 0), expected.totals.get(currency, 0)
            if total != noted:
                yield f"{path.name}: the total in {currency} is {total}, but its manifest says {noted}"
        if contents.rows == expected.rows and contents.seals != expected.seals:
            yield f"{path.name}: its rows are not those of its manifest (seals)"


def as_text(name: str, contents: Contents, digest: str) -> str:
    """Return the manifest of a file of that name and SHA-256 as JSON."""
    return json.dumps({"file": name, **contents.as_json(), "sha256": digest}, indent=1) + "\n"


def save(output: Path, contents: Contents) -> None:
    """Write the manifest of the file `output` beside it. Raises FleetmeterError if that fails."""
    path = output.with_name(output.name + SUFFIX)
    try:
        path.write_text(as_text(output.name, contents, sha256(output)), "utf-8")
    except OSError as error:
        raise FleetmeterError(f"{path} cannot be written ({error.strerror})") from error


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _contents(record: Mapping[str, Any]) -> Contents:
    totals = {currency: Decimal(total) for currency, total in record["totals"].items()}
    return Contents(int(record["rows"]), totals, int(record["seals"], 16))


@contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise FleetmeterError(f"{place} is not a manifest of an export: {error}") from error
