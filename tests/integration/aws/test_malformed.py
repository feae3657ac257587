"""An answer that makes no sense is a failure of its project: nothing is zero, and the others are counted."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from collectors.aws import cloudwatch, s3_listing
from collectors.aws.client import RequestCount
from collectors.aws.ecr import ECR
from collectors.aws.s3 import S3
from metering.catalogue import projects
from metering.catalogue.periods import Day, Hour
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.errors import SourceUnavailable
from metering.proof.verify import verify
from tests.support import retries
from tests.support.aws import Cloud, settings_for
from tests.support.platform import Platform

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGES = "SELECT project_id, current_ecr_images, total_docker_storage_bytes FROM project_stats ORDER BY 1"
BYTES = "SELECT project_id, total_s3_storage_bytes FROM project_stats ORDER BY 1"
FAILURE = "SELECT measured->'{0}_failed' FROM usage_hourly WHERE measured ? '{0}_failed'"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    retries.at_once(monkeypatch)


def images(size: object = 10, tag: str = "", **more: object) -> list[dict[str, Any]]:
    return [{"imageDigest": f"sha256:{tag}1", "imageTags": [f"{tag}1"], "imageSizeInBytes": size} | more]


def spoil_json(change: Callable[[dict[str, Any]], None]) -> Callable[[str], str]:
    def spoil(body: str) -> str:
        answer = json.loads(body)
        change(answer)
        return json.dumps(answer)

    return spoil


def two_repositories(cloud: Cloud, platform: Platform) -> tuple[int, int]:
    """A project with a multi-arch image in a repository of its own, and one with a single image."""
    odd, sound = platform.project(), platform.project()
    cloud.repositories[f"fleet/{odd}"] = [
        *images(5, "i", imageManifestMediaType=INDEX),
        {"imageDigest": "sha256:p", "imageSizeInBytes": 100},
    ]
    cloud.repositories[f"fleet/{sound}"] = images()
    cloud.platforms = {"sha256:i1": ["sha256:p"]}
    return odd, sound


def manifest(text: object) -> Callable[[dict[str, Any]], None]:
    def change(answer: dict[str, Any]) -> None:
        for image in answer.get("images", ()):
            image["imageManifest"] = text

    return change


def drop(field: str, value: object = None) -> Callable[[dict[str, Any]], None]:
    """Put `value` for `field` into answers about the multi-arch image."""

    def change(answer: dict[str, Any]) -> None:
        if "sha256:i1" in json.dumps(answer) and field in answer:
            answer[field] = value

    return change


def of_items(field: str, name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(answer: dict[str, Any]) -> None:
        if "sha256:i1" in json.dumps(answer):
            for item in answer.get(field) or ():
                item[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(
            manifest(text)
            for text in ("{", "{}", "[]", "null", '{"manifests": [{}]}', '{"manifests": [null]}')
        ),
        *(manifest(text) for text in (None, '{"manifests": {"digest": 1}}', "[" * 100_000)),
        drop("imageDetails"),
        *(drop("imageDetails", value) for value in ([None], [{}], "x", [{"imageDigest": ""}])),
        *(drop("images", value) for value in ([None], [{}], [{"imageId": None}])),
        *(of_items("imageDetails", name, None) for name in ("imageDigest", "imageSizeInBytes")),
        *(of_items("imageDetails", "imageSizeInBytes", size) for size in (-1, "many", 2**70)),
        of_items("imageDetails", "imageTags", [None]),
    ],
)
def test_an_odd_answer_about_one_repository_leaves_its_level_unknown_and_the_others_exact(
    cloud: Cloud, engine: Engine, platform: Platform, change: Callable[[dict[str, Any]], None]
) -> None:
    odd, sound = two_repositories(cloud, platform)
    settings = settings_for(cloud, "fleet/{project_id}")
    assert ECR.refresh(settings, engine, AT - timedelta(hours=1)).failures == {}
    cloud.spoil = spoil_json(change)
    cloud.repositories[f"fleet/{sound}"] = images(20)
    result = ECR.refresh(settings, engine, AT)
    assert list(result.failures) == [odd], result.sentence
    assert f"fleet/{odd}" in str(result.failures[odd]) or "64 bits" in str(result.failures[odd])
    assert platform.rows(IMAGES) == [(odd, 1, 100), (sound, 1, 20)]
    assert [row[0]["kind"] for row in platform.rows(FAILURE.format("ecr"))] == ["failed"]


def test_an_image_without_a_size_is_unknown_to_its_owner_alone_in_a_shared_repository(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization()
    odd, sound = platform.project(organization), platform.project(organization)
    cloud.repositories["shared"] = images(None, f"{organization}-{odd}-") + images(
        7, f"{organization}-{sound}-"
    )
    result = ECR.refresh(settings_for(cloud), engine, AT)
    assert list(result.failures) == [odd]
    assert "no size is given" in str(result.failures[odd])
    assert platform.rows(IMAGES) == [(odd, None, None), (sound, 1, 7)]
    with transaction(engine) as connection:
        seal_through(connection, Day.of(AT), projects.ids(connection), AT + timedelta(days=1))
    states = """SELECT coverage->'ecr'->>'state', docker_storage_bytes FROM daily_stats
        WHERE date = :date ORDER BY project_id"""
    assert platform.rows(states, date=Day.of(AT).date) == [("failed", None), ("measured", 7)]
    assert verify(engine).sound


@pytest.mark.parametrize("one_by_one", [100, 0], ids=["prefix by prefix", "in sweeps"])
@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("<Size>3</Size>", ""),
        ("<Size>3</Size>", "<Size>-3</Size>"),
        ("<Size>3</Size>", "<Size>many</Size>"),
        ("<Size>3</Size>", f"<Size>{2**64}</Size>"),
        ("odd</Key>", "odd</Name>"),
    ],
)
def test_an_odd_object_leaves_the_level_of_its_project_unknown_and_the_others_exact(
    cloud: Cloud,
    engine: Engine,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    one_by_one: int,
    text: str,
    instead: str,
) -> None:
    monkeypatch.setattr(s3_listing, "MAX_ONE_BY_ONE", one_by_one)
    organization = platform.organization()
    odd, sound = platform.project(organization), platform.project(organization)
    cloud.objects = {f"{organization}/{odd}/odd": 3, f"{organization}/{sound}/x": 4}
    cloud.spoil = lambda body: body.replace(text, instead).replace("<Key></Name>", "")
    if "Name" in instead:
        cloud.spoil = lambda body: body.replace(f"<Key>{organization}%2F{odd}%2Fodd</Key>", "")
    result = S3.refresh(settings_for(cloud), engine, AT)
    assert list(result.failures) == [odd], result.sentence
    assert platform.rows(BYTES) == [(odd, None), (sound, 4)]


def test_a_page_without_its_successor_is_not_taken_for_the_last_one(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    organization = platform.scalar("SELECT organization_id FROM projects")
    cloud.objects = {f"{organization}/{project}/{number}": 1 for number in range(9)}
    cloud.spoil = lambda body: body.replace("NextContinuationToken", "Other")
    assert list(S3.refresh(settings_for(cloud), engine, AT).failures) == [project]
    assert platform.rows(BYTES) in ([], [(project, None)])


@pytest.mark.parametrize(
    "results",
    [
        [None],
        [{}],
        [{"Id": "m0", "Timestamps": [1], "Values": []}],
        [{"Id": "m99", "Timestamps": [1], "Values": [1]}],
        [{"Id": "x", "Timestamps": [1], "Values": [1]}],
        [{"Id": "m0", "Timestamps": [1], "Values": [-5]}],
        [{"Id": "m0", "Timestamps": ["soon"], "Values": [1]}],
    ],
)
def test_odd_figures_of_cloudwatch_are_unknown(cloud: Cloud, results: object) -> None:
    cloud.spoil = lambda _: json.dumps({"MetricDataResults": results})
    with pytest.raises(SourceUnavailable, match="makes no sense"):
        cloudwatch.read(settings_for(cloud), [Hour.of(AT)], RequestCount())
