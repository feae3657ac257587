"""The archive: once for a month, checked after writing, and it verifies when it is restored."""

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine

from jobs.tasks import archive
from metering.archive import files, records
from metering.config.settings import Settings, load_settings
from metering.db.transactions import transaction
from metering.errors import FleetmeterError, PeriodError, SourceUnavailable
from tests.support import runs
from tests.support.closed_months import OCTOBER, closed_october
from tests.support.platform import Platform

BUCKET = "bills"
POLICY = Path(__file__).parents[3] / "deploy" / "iam" / "archive.json"
# What AWS asks a policy for, by call; a head of what is absent is "denied" unless the bucket may be listed.
ACTIONS = {
    "PutObject": {"s3:PutObject"},
    "GetObject": {"s3:GetObject"},
    "HeadObject": {"s3:GetObject", "s3:ListBucket"},
}


@pytest.fixture
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield client
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()  # noqa: S310
    server.stop()


def keys(s3: Any) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_a_month_is_archived_once_and_verifies_when_restored(
    engine: Engine, platform: Platform, s3: Any, tmp_path: Path
) -> None:
    assert archive.archive(engine, s3, BUCKET, "fm/", OCTOBER) is None, "nothing is closed yet"
    closed_october(engine, platform, projects=2)
    first = archive.archive(engine, s3, BUCKET, "fm/", OCTOBER)
    assert first is not None
    assert (first.written, first.bills) == (True, 2)
    before = keys(s3)
    assert len(before) == 8
    again = archive.archive(engine, s3, BUCKET, "fm/", OCTOBER)
    assert again is not None
    assert not again.written
    assert keys(s3) == before
    assert archive.restore(s3, BUCKET, first.prefix, tmp_path) == {"bills": 2, "days": 62}


def test_the_policy_allows_the_calls_made_and_nothing_else(
    engine: Engine, platform: Platform, s3: Any
) -> None:
    closed_october(engine, platform)
    called: set[str] = set()
    s3.meta.events.register("before-call.s3", lambda model, **_: called.add(model.name))
    archive.archive(engine, s3, BUCKET, "", OCTOBER)
    allowed: set[str] = set()
    for statement in json.loads(POLICY.read_text())["Statement"]:
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    assert set().union(*(ACTIONS[call] for call in called)) == allowed


def test_the_policy_lets_nothing_be_overwritten_unseen() -> None:
    statements = json.loads(POLICY.read_text())["Statement"]
    conditions = [one["Condition"] for one in statements if "s3:PutObject" in one["Action"]]
    assert conditions == [{"Null": {"s3:if-none-match": "false"}}, {"Null": {"s3:if-match": "false"}}]


def test_a_project_closed_later_replaces_the_archive_and_keeps_the_earlier_one(
    engine: Engine, platform: Platform, s3: Any, tmp_path: Path
) -> None:
    """Of several archives of a month one lies in its folder; a sum over it counts each bill once."""
    closed_october(engine, platform)
    first = archive.archive(engine, s3, BUCKET, "fm/", OCTOBER)
    closed_october(engine, platform)
    second = archive.archive(engine, s3, BUCKET, "fm/", OCTOBER)
    assert first is not None
    assert second is not None
    assert (first.prefix, second.prefix) == ("fm/2026-10/", "fm/2026-10/")
    assert sorted(key.rpartition("/")[2] for key in keys(s3) if key.startswith("fm/2026-10/")) == sorted(
        (*files.NAMES, files.MANIFEST)
    )
    (earlier,) = {key.rpartition("/")[0] + "/" for key in keys(s3) if not key.startswith("fm/2026-10/")}
    assert earlier.startswith("fm/superseded/2026-10/")
    (tmp_path / "earlier").mkdir()
    (tmp_path / "now").mkdir()
    noted = [first.manifest]
    counts = archive.restore(s3, BUCKET, earlier, tmp_path / "earlier", OCTOBER, noted)
    assert counts == {"bills": 1, "days": 31}
    noted.append(second.manifest)
    counts = archive.restore(s3, BUCKET, second.prefix, tmp_path / "now", OCTOBER, noted)
    assert counts == {"bills": 2, "days": 62}


def test_a_replacement_that_was_interrupted_is_finished(engine: Engine, platform: Platform, s3: Any) -> None:
    closed_october(engine, platform)
    archive.archive(engine, s3, BUCKET, "", OCTOBER)
    closed_october(engine, platform)
    uploads = 0

    def interrupt(params: dict[str, Any], **_: Any) -> None:
        nonlocal uploads
        uploads += params["Key"].startswith("2026-10/")
        if uploads == 3:
            raise KeyboardInterrupt

    s3.meta.events.register("provide-client-params.s3.PutObject", interrupt)
    with pytest.raises(KeyboardInterrupt):
        archive.archive(engine, s3, BUCKET, "", OCTOBER)
    result = archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert result is not None
    assert (result.written, result.bills) == (True, 2)
    assert len(keys(s3)) == 16


def body(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def test_an_object_that_nobody_has_read_is_kept_before_it_is_replaced(
    engine: Engine, platform: Platform, s3: Any
) -> None:
    closed_october(engine, platform)
    s3.put_object(Bucket=BUCKET, Key="fm/2026-10/bills.csv", Body=b"somebody else's")
    result = archive.archive(engine, s3, BUCKET, "fm/", OCTOBER)
    assert result is not None
    (copy,) = (key for key in keys(s3) if key.startswith("fm/superseded/2026-10/"))
    assert copy.endswith("/bills.csv")
    assert body(s3, copy) == b"somebody else's"


def test_an_object_of_an_interrupted_run_is_taken_as_it_is(
    engine: Engine, platform: Platform, s3: Any
) -> None:
    closed_october(engine, platform)
    archive.archive(engine, s3, BUCKET, "", OCTOBER)
    s3.delete_object(Bucket=BUCKET, Key="2026-10/manifest.json")
    stamp = s3.head_object(Bucket=BUCKET, Key="2026-10/bills.csv")["LastModified"]
    result = archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert result is not None
    assert result.written
    assert len(keys(s3)) == 8
    assert s3.head_object(Bucket=BUCKET, Key="2026-10/bills.csv")["LastModified"] == stamp


def test_an_object_that_appears_meanwhile_is_not_overwritten(
    engine: Engine, platform: Platform, s3: Any
) -> None:
    closed_october(engine, platform)
    key = "2026-10/bills.csv"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"the first")

    def appear(params: dict[str, Any], **_: Any) -> None:
        if params["Key"] == key and "IfMatch" in params:
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"the second")

    s3.meta.events.register("provide-client-params.s3.PutObject", appear)
    with pytest.raises(FleetmeterError, match="was written by somebody else meanwhile"):
        archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert body(s3, key) == b"the second"


@pytest.mark.parametrize("name", ["/{tmp}/evil", "../evil", "bills.csv/../../evil", "notes.txt", ""])
def test_a_name_that_no_archive_has_is_refused_before_any_download(
    engine: Engine, platform: Platform, s3: Any, tmp_path: Path, name: str
) -> None:
    closed_october(engine, platform)
    place = archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert place is not None
    name = name.format(tmp=tmp_path)
    manifest = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{place.prefix}manifest.json")["Body"].read())
    manifest["files"][name] = hashlib.sha256(b"evil").hexdigest()
    s3.put_object(Bucket=BUCKET, Key=f"{place.prefix}manifest.json", Body=json.dumps(manifest).encode())
    s3.put_object(Bucket=BUCKET, Key=place.prefix + name, Body=b"evil")
    folder = tmp_path / "to"
    folder.mkdir()
    with pytest.raises(FleetmeterError, match="is not a file of an archive"):
        archive.restore(s3, BUCKET, place.prefix, folder)
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert not list(tmp_path.rglob("evil"))


def test_no_link_in_the_folder_is_followed(
    engine: Engine, platform: Platform, s3: Any, tmp_path: Path
) -> None:
    closed_october(engine, platform)
    place = archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert place is not None
    target = tmp_path / "mine"
    target.write_text("mine")
    folder = tmp_path / "to"
    folder.mkdir()
    (folder / "days.csv").symlink_to(target)
    with pytest.raises(FleetmeterError, match=r"days\.csv is not an ordinary file"):
        archive.restore(s3, BUCKET, place.prefix, folder)
    assert target.read_text() == "mine"


def test_an_object_that_is_too_large_is_refused(
    engine: Engine, platform: Platform, s3: Any, tmp_path: Path
) -> None:
    closed_october(engine, platform)
    place = archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert place is not None
    large = b" " * (files.LARGEST_MANIFEST + 1)
    s3.put_object(Bucket=BUCKET, Key=f"{place.prefix}manifest.json", Body=large)
    with pytest.raises(FleetmeterError, match="is larger than"):
        archive.restore(s3, BUCKET, place.prefix, tmp_path)


def test_an_archive_that_was_changed_with_its_manifest_is_refused(
    engine: Engine, platform: Platform, s3: Any, tmp_path: Path
) -> None:
    """Digests and seals agree, but the manifest is not the one that the audit log noted."""
    closed_october(engine, platform)
    place = archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert place is not None
    plans = s3.get_object(Bucket=BUCKET, Key=f"{place.prefix}plans.json")["Body"].read() + b" "
    manifest = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{place.prefix}manifest.json")["Body"].read())
    manifest["files"]["plans.json"] = hashlib.sha256(plans).hexdigest()
    s3.put_object(Bucket=BUCKET, Key=f"{place.prefix}plans.json", Body=plans)
    s3.put_object(Bucket=BUCKET, Key=f"{place.prefix}manifest.json", Body=json.dumps(manifest).encode())
    assert archive.restore(s3, BUCKET, place.prefix, tmp_path)
    with pytest.raises(FleetmeterError, match="the audit log noted"):
        archive.restore(s3, BUCKET, place.prefix, tmp_path, OCTOBER, [place.manifest])


def test_an_archive_that_was_changed_is_named(engine: Engine, platform: Platform, s3: Any) -> None:
    closed_october(engine, platform)
    place = archive.archive(engine, s3, BUCKET, "", OCTOBER)
    assert place is not None
    s3.put_object(Bucket=BUCKET, Key=f"{place.prefix}bills.csv", Body=b"nothing")
    with pytest.raises(FleetmeterError, match=r"bills.csv is not what was archived"):
        archive.archive(engine, s3, BUCKET, "", OCTOBER)


def test_a_bucket_that_is_not_there_is_one_sentence(engine: Engine, platform: Platform, s3: Any) -> None:
    closed_october(engine, platform)
    with pytest.raises(SourceUnavailable, match="s3://nowhere/"):
        archive.archive(engine, s3, "nowhere", "", OCTOBER)


def test_the_job_archives_what_is_closed_once_and_says_when_nothing_is_configured(
    configured: Settings, engine: Engine, platform: Platform, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    closed_october(engine, platform, projects=2)
    at = datetime(2026, 11, 24, tzinfo=UTC)
    nothing = runs.run_now(configured, engine, "archive", at)
    assert (nothing.exit_code, nothing.result["archived"]) == (0, "nothing: set FLEETMETER_ARCHIVE_BUCKET")
    with_bucket = load_settings(
        archive_bucket=BUCKET, aws_endpoint_url=s3.meta.endpoint_url, aws_region=("eu-west-1",)
    )
    preview = runs.run_now(with_bucket, engine, "archive", at, dry_run=True)
    assert (preview.result["would_archive"], keys(s3)) == (["2026-10"], [])
    outcome = runs.run_now(with_bucket, engine, "archive", at)
    assert list(outcome.result["archived"]) == ["2026-10"]
    assert keys(s3)[0].startswith("fleetmeter/2026-10/")
    assert runs.run_now(with_bucket, engine, "archive", at).result["archived"] == {}
    with transaction(engine) as connection:
        assert records.archived_months(connection) == [OCTOBER]


def test_an_archive_that_is_denied_is_named_and_stays_due(
    engine: Engine, platform: Platform, s3: Any, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    closed_october(engine, platform)
    with_bucket = load_settings(
        archive_bucket="elsewhere", aws_endpoint_url=s3.meta.endpoint_url, aws_region=("eu-west-1",)
    )
    outcome = runs.run_now(with_bucket, engine, "archive", datetime(2026, 11, 24, tzinfo=UTC))
    assert outcome.result["archived"] == {}
    assert outcome.errors[0]["error"].startswith("2026-10: s3://elsewhere/")
    with transaction(engine) as connection:
        assert records.unarchived_months(connection) == [OCTOBER]


def test_an_archived_month_comes_back_as_files_that_verify(
    configured: Settings,
    engine: Engine,
    platform: Platform,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from fleetmeter.cli import restore as commands

    own = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}
    own |= {"AWS_ENDPOINT_URL": s3.meta.endpoint_url, "FLEETMETER_ARCHIVE_BUCKET": BUCKET}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    closed_october(engine, platform, projects=2)
    with pytest.raises(PeriodError, match="2026-10 is not archived"):
        commands.restore("2026-10", tmp_path / "back")
    runs.run_now(load_settings(), engine, "archive", datetime(2026, 11, 24, tzinfo=UTC))
    commands.restore("2026-10", tmp_path / "back")
    assert "2 bills and 62 days verify" in capsys.readouterr().out
    assert (tmp_path / "back" / "bills.parquet").exists()
    commands.restore(
        "2026-10", tmp_path / "again", keys(s3)[0].rpartition("/")[0].join((f"s3://{BUCKET}/", ""))
    )
    assert "2 bills and 62 days verify" in capsys.readouterr().out
    with pytest.raises(FleetmeterError, match="is not of 2026-09"):
        commands.restore("2026-09", source=str(tmp_path / "back"))
    commands.restore("2026-10", source=str(tmp_path / "back"), rows=True)
    assert "0 bills, 0 days and 0 adjustments were missing" in capsys.readouterr().out
