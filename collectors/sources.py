"""The sources that the hourly job reads, in order."""

from collectors.aws.ecr import ECR
from collectors.aws.s3 import S3
from collectors.platform.source import PLATFORM_DB
from collectors.source import Source

SOURCES: tuple[Source, ...] = (PLATFORM_DB, S3, ECR)
