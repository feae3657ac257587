"""A cloud that misbehaves: throttles, errors, slow bodies and resets change no number."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from sqlalchemy import Engine

from collectors import circuit_breaker, gauge_collector
from collectors.aws import client, cloudwatch, response_checks, s3_listing
from collectors.aws.client import CONCURRENCY, RETRIES, RequestCount
from collectors.aws.ecr import ECR
from collectors.aws.s3 import S3
from metering.catalogue.periods import Hour
from tests.support import retries
from tests.support.aws import PAGE, Cloud, settings_for
from tests.support.platform import Platform

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
POLICY = Path(__file__).parents[3] / "deploy" / "iam" / "collectors.json"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge_collector, "PAUSES", ())
    retries.at_once(monkeypatch)


def fill(cloud: Cloud, platform: Platform) -> int:
    """One project with 18 bytes in S3 over several pages and sub-prefixes, and 7 images of 10 bytes."""
    project = platform.project()
    organization = platform.scalar("SELECT organization_id FROM projects")
    prefix = f"{organization}/{project}/"
    keys = ["top", "a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "b/ü + &", "b/4"]
    cloud.objects = {prefix + key: 2 for key in keys} | {f"{organization}/{project}1/x": 999}
    cloud.repositories["shared"] = [
        {"imageDigest": f"sha256:{n}", "imageTags": [f"{organization}-{project}-{n}"], "imageSizeInBytes": 10}
        for n in range(7)
    ]
    return project


LEVELS = "SELECT total_s3_storage_bytes, current_ecr_images, total_docker_storage_bytes FROM project_stats"


@pytest.mark.parametrize(
    ("of_s3", "of_ecr"),
    [
        ("503 SlowDown", "400 ThrottlingException"),
        ("500 InternalError", "500 ServerException"),
        ("slow", "slow"),
        ("reset", "reset"),
    ],
)
def test_a_fault_in_mid_listing_changes_no_number(
    cloud: Cloud, engine: Engine, platform: Platform, of_s3: str, of_ecr: str
) -> None:
    fill(cloud, platform)
    cloud.faults = [of_s3, "", of_s3]
    stored = S3.refresh(settings_for(cloud), engine, AT)
    cloud.faults = [of_ecr, "", of_ecr]
    images = ECR.refresh(settings_for(cloud), engine, AT)
    assert (stored.failures, images.failures) == ({}, {})
    assert platform.rows(LEVELS) == [(18, 7, 70)]
    throttled = of_s3 == "503 SlowDown"
    assert (stored.throttles, images.throttles) == ((2, 2) if throttled else (0, 0))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("403 AccessDenied", "access denied"),
        ("404 NoSuchBucket", "does not exist"),
        ("403 ExpiredToken", "expired"),
        ("403 SignatureDoesNotMatch", "do not match"),
        ("400 IllegalLocationConstraintException", "another region"),
        ("503 SlowDown", "throttled"),
    ],
)
def test_what_cannot_be_read_is_told_apart_and_stays_unknown(
    cloud: Cloud, engine: Engine, platform: Platform, fault: str, message: str
) -> None:
    project = fill(cloud, platform)
    cloud.faults = [fault] * 5
    measured = S3.refresh(settings_for(cloud), engine, AT)
    assert message in str(measured.failures[project])
    assert platform.rows("SELECT 1 FROM project_stats WHERE total_s3_storage_bytes IS NOT NULL") == []


def test_a_repository_for_each_project(cloud: Cloud, engine: Engine, platform: Platform) -> None:
    one, absent = fill(cloud, platform), platform.project()
    cloud.repositories[f"fleet/{one}"] = cloud.repositories.pop("shared")
    measured = ECR.refresh(settings_for(cloud, "fleet/{project_id}"), engine, AT)
    assert platform.rows("SELECT project_id, current_ecr_images FROM project_stats ORDER BY 1") == [
        (one, 7),
        (absent, None),
    ]
    assert "does not exist" in str(measured.failures[absent])


TWO = {"aws_region": ("eu-west-1", "us-east-1"), "s3_bucket": "here,there"}
MEASURED = "SELECT measured->'s3_parts', measured->'s3_failed'->>'reason' FROM usage_hourly"


def test_regions_are_summed_and_their_parts_kept(cloud: Cloud, engine: Engine, platform: Platform) -> None:
    fill(cloud, platform)
    assert S3.refresh(settings_for(cloud, **TWO), engine, AT).failures == {}
    assert platform.rows(LEVELS) == [(36, None, None)]
    part = {"s3_storage_bytes": 18}
    assert platform.rows(MEASURED) == [({"eu-west-1/here": part, "us-east-1/there": part}, None)]


def test_a_region_that_is_denied_leaves_no_smaller_sum(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    project = fill(cloud, platform)
    S3.refresh(settings_for(cloud, **TWO), engine, AT)
    cloud.refused = {"there": "403 AccessDenied"}
    cloud.objects = dict.fromkeys(cloud.objects, 3)
    measured = S3.refresh(settings_for(cloud, **TWO), engine, AT + timedelta(hours=1))
    assert measured.failures[project].reason.startswith("access denied to the bucket there (us-east-1)")
    assert platform.scalar("SELECT total_s3_storage_bytes FROM project_stats") == 36
    parts, failed = platform.rows(MEASURED + " ORDER BY hour")[1]
    assert (parts["eu-west-1/here"], parts["us-east-1/there"]) == ({"s3_storage_bytes": 27}, None)
    assert failed == measured.failures[project].reason


def crowd(cloud: Cloud, platform: Platform, projects: int = 120) -> dict[int, int]:
    """Projects of 0 to 6 objects of a byte, one of 40, and objects of nobody before, between, after."""
    organization = platform.organization()
    ids = [platform.project(organization) for _ in range(projects)]
    sizes = {project: 40 if place == 7 else place % 7 for place, project in enumerate(ids)}
    cloud.objects = {
        f"{organization}/{project}/{'ü/' * (n % 2)}{n:03d}": 1
        for project, size in sizes.items()
        for n in range(size)
    }
    cloud.objects |= {f"0/{n}": 9 for n in range(9)} | {f"{organization}/{ids[50]}!{n}": 9 for n in range(20)}
    cloud.objects |= {f"{organization}/{ids[9]}": 9, "zzz": 9}
    return sizes


SIZES = "SELECT project_id, total_s3_storage_bytes FROM project_stats ORDER BY 1"


@pytest.mark.parametrize("fault", ["", "503 SlowDown", "reset", "500 InternalError"])
def test_many_projects_are_read_in_one_sweep(
    cloud: Cloud, engine: Engine, platform: Platform, fault: str
) -> None:
    sizes = crowd(cloud, platform)
    cloud.faults = [fault, "", "", fault] if fault else []
    measured = S3.refresh(settings_for(cloud), engine, AT)
    assert measured.failures == {}
    assert dict(platform.rows(SIZES)) == sizes
    pages = sum(max(1, -(-size // PAGE)) for size in sizes.values())
    assert measured.requests < pages, "prefix by prefix would have taken as many"


def test_where_only_prefixes_may_be_listed_each_is(cloud: Cloud, engine: Engine, platform: Platform) -> None:
    sizes = crowd(cloud, platform)
    denied = list(sizes)[3]
    organization = platform.scalar("SELECT organization_id FROM projects LIMIT 1")
    cloud.refused = {"": "403 AccessDenied", f"{organization}/{denied}/": "403 AccessDenied"}
    measured = S3.refresh(settings_for(cloud), engine, AT)
    assert list(measured.failures) == [denied]
    readable = {project: size for project, size in sizes.items() if project != denied}
    assert dict(platform.rows(SIZES + " LIMIT 500")) == readable | {denied: None}


def test_what_is_the_same_for_all_is_asked_once(cloud: Cloud, engine: Engine, platform: Platform) -> None:
    crowd(cloud, platform, 90)
    cloud.refused = {"fleet-bucket": "403 ExpiredToken"}
    measured = S3.refresh(settings_for(cloud), engine, AT)
    assert len(measured.failures) == 90
    assert measured.requests <= CONCURRENCY


def test_an_answer_that_drips_is_asked_for_again(
    cloud: Cloud, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cloud, platform)
    monkeypatch.setattr(response_checks, "WITHIN", 0.5)
    cloud.faults = ["drip", "", "drip"]
    assert S3.refresh(settings_for(cloud), engine, AT).failures == {}
    cloud.faults = ["drip"]
    assert ECR.refresh(settings_for(cloud), engine, AT).failures == {}
    assert platform.rows(LEVELS) == [(18, 7, 70)]


@pytest.mark.parametrize(
    ("fault", "message"),
    [("hang", "did not answer"), ("drip", "did not answer"), ("503 SlowDown", "throttled")],
)
def test_a_place_that_answers_nobody_is_not_asked_for_every_project(
    cloud: Cloud,
    engine: Engine,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    message: str,
) -> None:
    crowd(cloud, platform, 90)
    if message == "did not answer":  # who throttles does answer, if late on a busy machine
        monkeypatch.setattr(client, "RETRIES", RETRIES.merge(Config(read_timeout=0.2)))
        monkeypatch.setattr(response_checks, "WITHIN", 0.2)
    cloud.refused = {"fleet-bucket": fault}
    measured = S3.refresh(settings_for(cloud), engine, AT)
    assert len(measured.failures) == 90
    assert all(message in str(reason) and reason.retryable for reason in measured.failures.values())
    assert measured.requests <= 5 * 2 * CONCURRENCY, "of 450 attempts"


INDEX = "application/vnd.oci.image.index.v1+json"


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def image(digest: str, size: int, *tags: str, kind: str = MANIFEST) -> Any:
    details = {"imageDigest": digest, "imageSizeInBytes": size, "imageManifestMediaType": kind}
    return details | ({"imageTags": list(tags)} if tags else {})


def multi_arch(tag: str) -> list[dict[str, Any]]:
    """An index of two platforms under two tags, one image besides, and one that lost its tag."""
    return [
        image("index", 60, f"{tag}v1", f"{tag}latest", kind=INDEX),
        image("amd64", 60),
        image("arm64", 50),
        image("plain", 7, f"{tag}tool"),
        image("left", 3),
    ]


IMAGES = "SELECT current_ecr_images, total_docker_storage_bytes FROM project_stats"


def test_an_index_is_one_image_with_the_bytes_of_its_platforms(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    project = fill(cloud, platform)
    cloud.platforms = {"index": ["amd64", "arm64", "never listed"]}
    tag = f"{platform.scalar('SELECT organization_id FROM projects')}-{project}-"
    cloud.repositories = {"shared": multi_arch(tag), f"fleet/{project}": multi_arch("")}
    measured = ECR.refresh(settings_for(cloud), engine, AT)
    assert platform.rows(IMAGES) == [(2, 117)]
    assert "1 untagged images of 3 bytes in shared belong to no project" in measured.sentence
    ECR.refresh(settings_for(cloud, "fleet/{project_id}"), engine, AT + timedelta(hours=1))
    assert platform.rows(IMAGES) == [(3, 120)], "what has no tag is the project's as well"


def test_where_manifests_may_not_be_read_an_index_is_one_image_and_it_is_said(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    project = fill(cloud, platform)
    cloud.repositories = {f"fleet/{project}": multi_arch("")}
    cloud.faults = ["400 AccessDeniedException", "", ""]
    measured = ECR.refresh(settings_for(cloud, "fleet/{project_id}"), engine, AT)
    assert platform.rows(IMAGES) == [(2, 120)], "all of it is stored, but what has no tag may be a platform"
    assert "no ecr:BatchGetImage" in measured.sentence


def test_an_index_that_expires_meanwhile_is_no_error(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    project = fill(cloud, platform)
    cloud.repositories = {f"fleet/{project}": multi_arch("")}
    assert ECR.refresh(settings_for(cloud, "fleet/{project_id}"), engine, AT).failures == {}
    assert platform.rows(IMAGES) == [(4, 120)]


def test_the_policy_allows_the_calls_made_and_nothing_else(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    fill(cloud, platform)
    cloud.repositories["shared"] += multi_arch("")
    S3.refresh(settings_for(cloud), engine, AT)
    ECR.refresh(settings_for(cloud), engine, AT)
    cloudwatch.read(settings_for(cloud), [Hour.of(AT)], RequestCount())
    statements = json.loads(POLICY.read_text())["Statement"]
    allowed = {action for each in statements for action in each["Action"]}
    assert allowed == set(cloud.actions)


class Killed(Exception):
    """The runner died."""


@pytest.mark.parametrize("most_one_by_one", [100, 1], ids=["prefix by prefix", "in sweeps"])
def test_a_reading_that_was_broken_off_goes_on_where_it_stopped(
    cloud: Cloud, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch, most_one_by_one: int
) -> None:
    monkeypatch.setattr(gauge_collector, "RECORD_AFTER", -1.0)
    monkeypatch.setattr(s3_listing, "MAX_ONE_BY_ONE", most_one_by_one)
    monkeypatch.setattr(s3_listing, "STRIP", 2)
    monkeypatch.setattr(client, "CONCURRENCY", 1)
    monkeypatch.setattr(circuit_breaker, "CONCURRENCY", 1)
    organization = platform.organization()
    ids = [platform.project(organization) for _ in range(9)]
    cloud.objects = {f"{organization}/{one}/x": one for one in ids}
    reached = "SELECT array_agg(project_id ORDER BY project_id) FROM project_stats WHERE s3_measured_at = :at"

    def killed(completed: int, total: int) -> None:
        assert total == len(ids)
        if completed == 4:
            raise Killed

    with pytest.raises(Killed):
        S3.refresh(settings_for(cloud), engine, AT, None, killed)
    assert platform.scalar(reached, at=AT) == ids[:4]
    cloud.actions.clear()
    cloud.objects |= {f"{organization}/{one}/late": 1_000 for one in ids}
    measured = S3.refresh(settings_for(cloud), engine, AT, None, None, True)
    assert (measured.before, measured.projects) == (4, 5)
    assert cloud.actions["s3:ListBucket"] <= 5, "nothing is listed once more"
    stored = dict(platform.rows("SELECT project_id, total_s3_storage_bytes FROM project_stats"))  # type: ignore[arg-type]
    assert stored == {one: one if one in ids[:4] else one + 1_000 for one in ids}
    assert "9 projects measured (4 before it was taken over)" in measured.sentence
