"""Record sampled gauges in the running hour."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import projects
from metering.catalogue.meters import GAUGES, STORAGE_PARTS, columns, gauges_of
from metering.catalogue.periods import Hour
from metering.catalogue.sources import SourceName
from metering.ledger.parts import Parts, parts_json


def record_gauges(
    connection: Connection,
    source: SourceName,
    samples: Mapping[int, Mapping[str, int | None]],
    at: datetime,
    parts: Parts | None = None,
    complete: bool = True,
    stale: Mapping[int, datetime] | None = None,
) -> None:
    """Record the levels of `source`, project id -> gauge name -> value, sampled at `at`.

    A value of None is unknown: that gauge keeps its last known value, like a project that is not in
    `samples`. `stale`: project id -> the instant that its levels are of, if it is before `at`; they are
    ignored if a younger sample is known, and are carried over into the hour of `at` with their age.
    `parts`: the levels of each place, kept beside their sum. Without `complete`, something else of the
    source could not be read, and the project is not marked as measured.
    """
    ids = sorted(samples)
    projects.ensure(connection, ids, at)
    projects.lock(connection, ids)
    gauges = gauges_of(source)
    values = {gauge.name: [samples[project].get(gauge.name) for project in ids] for gauge in gauges}
    connection.execute(
        _record_gauges(source, complete),
        values
        | {"ids": ids, "hour": Hour.of(at).start, "at": at, "source": source}
        | {"sampled": [(stale or {}).get(project, at) for project in ids]}
        | {"parts": parts_json(source, ids, parts or {})},
    )


def known_sum(names: Sequence[str], prefix: str = "") -> str:
    """Return SQL of the sum of the known columns; NULL if all are unknown."""
    total = " + ".join(f"coalesce({prefix}{name}, 0)" for name in names)
    return f"CASE WHEN num_nonnulls({', '.join(prefix + n for n in names)}) > 0 THEN {total} END"


def _record_gauges(source: SourceName, complete: bool) -> Any:
    measured = f"{source}_measured_at = greatest(s.{source}_measured_at, g.sampled)," if complete else ""
    mark = "jsonb_build_object(CAST(:source AS text), sampled)" if complete else "jsonb '{}'"
    earlier_marks = f"u.measured - '{source}_failed'" if complete else "u.measured"
    gauges = gauges_of(source)
    names = tuple(gauge.name for gauge in gauges)
    live = {gauge.name: gauge.live for gauge in GAUGES}
    parts = [
        f"coalesce(g.{part}, s.{live[part]})" if part in names else f"s.{live[part]}"
        for part in STORAGE_PARTS
    ]
    return text(f"""
        WITH samples AS (
            SELECT g.* FROM unnest(CAST(:ids AS bigint[]), {columns("CAST(:{0} AS bigint[])", names)},
                CAST(:parts AS text[]), CAST(:sampled AS timestamptz[]))
                AS g (project_id, {columns("{0}", names)}, parts, sampled)
            JOIN project_stats k USING (project_id)
            WHERE g.sampled = :at OR g.sampled >= coalesce(k.{source}_measured_at, '-infinity')
        ), stats AS (
            UPDATE project_stats s SET {
        columns("{0}", tuple(f"{gauge.live} = coalesce(g.{gauge.name}, s.{gauge.live})" for gauge in gauges))
    },
                total_storage_bytes = {known_sum(parts)},
                {measured}
                updated_at = greatest(s.updated_at, :at)
            FROM samples g WHERE s.project_id = g.project_id
            RETURNING s.project_id, s.open_from, s.total_storage_bytes
        )
        INSERT INTO usage_hourly AS u
            (project_id, hour, {columns("{0}", names)}, storage_bytes, measured)
        SELECT project_id, greatest(:hour, open_from), {columns("{0}", names)},
            total_storage_bytes,
            {mark} || CAST(parts AS jsonb)
        FROM samples JOIN stats USING (project_id)
        ON CONFLICT (project_id, hour) DO UPDATE SET
            {columns("{0} = coalesce(excluded.{0}, u.{0})", (*names, "storage_bytes"))},
            measured = {earlier_marks} || excluded.measured""")
