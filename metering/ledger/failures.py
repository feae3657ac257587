"""Record why a source could not be read for a project, in the hour in which it was tried.

An hour holds `<source>_failed` in `usage_hourly.measured`: `{"reason": sentence, "kind": kind}`, with
`"of_project": true` where the source itself answers. The reason is for people, decides nothing and may be
worded anew at any time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from metering.catalogue import projects
from metering.catalogue.periods import Hour
from metering.catalogue.sources import SourceName, source_info
from metering.db.engine import error_line
from metering.ledger.parts import Parts, parts_json

# In order of rank: of several failures at once the first is the one to act on.
#   denied   a right is missing: a person has to grant it
#   failed   anything else, such as no answer or an answer that makes no sense
#   timeout  the source was given up after a time limit
FailureKind = Literal["denied", "failed", "timeout"]
RANK: tuple[FailureKind, ...] = ("denied", "failed", "timeout")

# https://www.postgresql.org/docs/current/errcodes-appendix.html
KIND_OF_SQLSTATE: dict[str, FailureKind] = {"42501": "denied", "57014": "timeout"}


@dataclass(frozen=True)
class SourceFailure:
    """Why a source was not read: `reason` is a sentence for the operator, `kind` decides the state.

    `of_project`: the source answers, but what it says of this project cannot be counted.
    """

    reason: str
    kind: FailureKind = "failed"
    of_project: bool = False

    def __str__(self) -> str:
        return self.reason


def combine(failures: Iterable[SourceFailure]) -> SourceFailure:
    """Return the failure of a source of which several parts failed, the same in any order of them."""
    each = list(failures)
    distinct = {(RANK.index(failure.kind), failure.reason) for failure in each}
    reasons = dict.fromkeys(reason for _, reason in sorted(distinct))
    of_project = any(failure.of_project for failure in each)
    return SourceFailure("; ".join(reasons), RANK[min(distinct)[0]], of_project)


def database_failure(error: DBAPIError) -> SourceFailure:
    """Return the failure of a source for an error of PostgreSQL."""
    code = getattr(error.orig, "pgcode", None) or ""
    kind = KIND_OF_SQLSTATE.get(code, "failed")
    advice = "; raise statement_timeout for this role" if kind == "timeout" else ""
    return SourceFailure(error_line(error) + advice, kind)


def failure_state(failure: str) -> str:
    """Return SQL of the coverage state, `denied` or `failed`, that a recorded `failure` (jsonb) means."""
    return f"CASE WHEN {failure}->>'kind' = 'denied' THEN 'denied' ELSE 'failed' END"


RECORD_FAILURES = text("""
    INSERT INTO usage_hourly AS u (project_id, hour, measured)
    SELECT s.project_id, greatest(:hour, s.open_from), jsonb_build_object(CAST(:key AS text),
        jsonb_strip_nulls(jsonb_build_object('reason', f.reason, 'kind', f.kind,
            'of_project', nullif(f.of_project, false)))) || CAST(f.parts AS jsonb)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[]), CAST(:kinds AS text[]),
        CAST(:of_project AS boolean[]), CAST(:parts AS text[]))
        AS f (project_id, reason, kind, of_project, parts)
    JOIN project_stats s USING (project_id) ORDER BY s.project_id
    ON CONFLICT (project_id, hour) DO UPDATE SET measured = u.measured || excluded.measured
        WHERE NOT u.measured ? CAST(:source AS text) OR :counted""")


def record_failures(
    connection: Connection,
    source: SourceName,
    failures: Mapping[int, SourceFailure],
    at: datetime,
    parts: Parts | None = None,
) -> None:
    """Record in the hour of `at` why `source` could not be read, by project id; no level changes.

    A sample of the same hour, before or after, takes the failure's place: one level is enough for an
    hour, whereas rows are counted until its end. `parts` are the levels of the places that were read;
    their sum is not recorded, because it would be too small.
    """
    ids = sorted(failures)
    projects.ensure(connection, ids, at)
    projects.lock(connection, ids)
    connection.execute(
        RECORD_FAILURES,
        {
            "ids": ids,
            "reasons": [failures[project].reason for project in ids],
            "kinds": [failures[project].kind for project in ids],
            "of_project": [failures[project].of_project for project in ids],
            "parts": parts_json(source, ids, parts or {}),
            "hour": Hour.of(at).start,
            "source": source,
            "key": f"{source}_failed",
            "counted": source_info(source).is_counter,
        },
    )
