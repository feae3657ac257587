"""The constant that processes compare the database with is the newest revision file."""

from fleetmeter import schema
from metering.db.schema_head import HEAD


def test_the_head_is_the_newest_revision() -> None:
    assert schema.revisions()[0].revision == HEAD


def test_every_revision_has_its_file() -> None:
    assert schema.known_revisions() == {revision.revision for revision in schema.revisions()}
