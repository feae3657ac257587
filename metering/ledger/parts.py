"""Levels of a source that lies in several places, kept beside their sum."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from metering.catalogue.sources import SourceName

Parts = Mapping[int, Mapping[str, Any]]  # project id -> place -> its levels, None where it was not read


def parts_json(source: SourceName, project_ids: Sequence[int], parts: Parts) -> list[str]:
    """Return for each project the JSON that is merged into `usage_hourly.measured`."""
    key = f"{source}_parts"
    return [json.dumps({key: parts[project]} if project in parts else {}) for project in project_ids]
