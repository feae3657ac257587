"""The sources that jobs read, in the order in which they are read."""

from collectors.aws.ecr import ECR
from collectors.aws.s3 import S3
from collectors.platform.source import PLATFORM_DB
from metering.runs.sources import Source

SOURCES: tuple[Source, ...] = (PLATFORM_DB, S3, ECR)

__all__ = ["PLATFORM_DB", "SOURCES"]
