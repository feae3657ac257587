"""Settings of AWS: the regions of buckets and repositories, and the keys and tags of each project.

`AWS_REGION`, `S3_BUCKET` and `ECR_REPOSITORY_URI` each take a list. Buckets go with the regions in
order, or all lie in the only region, or the only bucket in the first; a repository's address names
its region itself. A place that is listed twice would be counted twice, and is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

REGISTRY = re.compile(r"(?:([0-9]{12})\.)?dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.")
FIELDS = ("org_id", "project_id")


@dataclass(frozen=True)
class Place:
    """A bucket or a repository; without `region` boto3 chooses it, without `registry` the credentials do."""

    name: str
    region: str | None = None
    registry: str | None = None

    def __str__(self) -> str:
        return f"{self.region}/{self.name}" if self.region else self.name


class CloudSettings(BaseSettings):
    """Where the projects' objects and images are."""

    aws_region: Annotated[tuple[str, ...], NoDecode] = ()
    aws_endpoint_url: str | None = None
    ecr_repository_uri: str | None = None
    ecr_tag_prefix: str = "{org_id}-{project_id}-"
    s3_bucket: str | None = None
    s3_prefix: str = "{org_id}/{project_id}/"
    drift_percent: float = Field(default=1.0, gt=0, le=100, alias="FLEETMETER_DRIFT_PERCENT")

    @field_validator("aws_region", mode="before")
    @classmethod
    def _split_regions(cls, value: Any) -> Any:
        return _names(value) if isinstance(value, str) else value

    @field_validator("aws_region")
    @classmethod
    def _are_regions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]+", region) for region in value):
            raise ValueError("takes regions separated by commas, like eu-west-1,us-east-1")
        return value

    @field_validator("ecr_repository_uri", "s3_bucket")
    @classmethod
    def _once_each(cls, value: str | None) -> str | None:
        places = _names(value)
        twice = sorted({name for name in places if places.count(name) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice, and would count it twice")
        return value

    @field_validator("s3_bucket")
    @classmethod
    def _are_buckets(cls, value: str | None) -> str | None:
        if not all(re.fullmatch(r"[A-Za-z0-9._-]+|arn:[^ ]+", name) for name in _names(value)):
            raise ValueError("takes names of buckets separated by commas, without s3:// and without a path")
        return value

    @field_validator("ecr_repository_uri")
    @classmethod
    def _are_repositories(cls, value: str | None) -> str | None:
        for uri in _names(value):
            if not _repository(uri) or "://" in uri or ":" in uri.rpartition("/")[2]:
                raise ValueError(
                    "takes 123456789012.dkr.ecr.eu-west-1.amazonaws.com/repository, without a tag, "
                    "or several separated by commas"
                )
            if _fields(uri, separate_last=False) == {"org_id"}:
                raise ValueError("needs {project_id} in the repository's name beside {org_id}")
        return value

    @field_validator("s3_prefix", "ecr_tag_prefix")
    @classmethod
    def _names_the_project(cls, value: str) -> str:
        if "project_id" not in _fields(value):
            raise ValueError("must contain {project_id}, or projects would be mixed up")
        return value

    @field_validator("aws_endpoint_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("takes http://host:port or https://host")
        return value

    @model_validator(mode="after")
    def _go_together(self) -> "CloudSettings":
        buckets, regions = len(_names(self.s3_bucket)), len(self.aws_region)
        if buckets > 1 and regions > 1 and buckets != regions:
            raise ValueError(
                f"S3_BUCKET lists {buckets} buckets and AWS_REGION {regions} regions; "
                "give a region for each bucket, in the same order"
            )
        return self

    @property
    def buckets(self) -> tuple[Place, ...]:
        """Return the buckets with their regions."""
        return _pair_with_regions(_names(self.s3_bucket), self.aws_region)

    @property
    def repositories(self) -> tuple[Place, ...]:
        """Return the repositories with their regions; a name may hold {org_id} and {project_id}."""
        uris = _names(self.ecr_repository_uri)
        regions = self.aws_region if len(self.aws_region) == len(uris) else self.aws_region[:1]
        places = _pair_with_regions([_repository(uri) for uri in uris], regions)
        registries = [REGISTRY.match(uri) for uri in uris]
        return tuple(
            Place(place.name, registry[2], registry[1]) if registry else place
            for place, registry in zip(places, registries, strict=True)
        )


def _names(listed: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (listed or "").split(",") if part.strip())


def _pair_with_regions(names: Sequence[str], regions: Sequence[str]) -> tuple[Place, ...]:
    per_place = list(regions) if len(regions) >= len(names) else [*(regions or (None,))] * len(names)
    return tuple(Place(name, region) for name, region in zip(names, per_place, strict=False))


def _repository(uri: str) -> str:
    """Return a repository's name: the part of its address after the registry."""
    host, _, name = uri.partition("/")
    return name if "." in host or ":" in host else uri


def _fields(template: str, separate_last: bool = True) -> set[str]:
    """Return the names between braces. Raises ValueError for unknown names, formats and attributes.

    After each comes something else than digits, or project 1 would hold project 11's; where not
    `separate_last`, the last may end the text.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError("takes text with {org_id} and {project_id}") from error
    for _, name, format_spec, conversion in parts:
        if name is not None and (name not in FIELDS or format_spec or conversion):
            raise ValueError("takes text with {org_id} and {project_id}, nothing else in braces")
    after = [literal for literal, _, _, _ in parts[1:]] + ([""] if parts and parts[-1][1] else [])
    for place, (_, name, _, _) in enumerate(parts):
        last = place == len(parts) - 1
        if name and not after[place].strip("0123456789") and (separate_last or not last):
            raise ValueError(f"needs a separator after {{{name}}}, or project 1 would hold project 11's")
    return {name for _, name, _, _ in parts if name}
