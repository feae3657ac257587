"""The API keeps what its OpenAPI description says: schemathesis tries every operation."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api_site import Site

# What a schema cannot say makes a valid request wrong: `from` after `to`, a cursor of another list, rules
# between fields. The answer is 422 then, which is no failure of the description.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429]
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 429]
"""


def description(site: Site) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{site.address}/api/v1/openapi.json").raise_for_status().json()
    return answer


def test_every_operation_has_an_example_and_its_problems(site: Site) -> None:
    schema = description(site)
    assert schema["openapi"].startswith("3.1")
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            assert {"401", "403", "404", "422", "429", "503"} <= set(answers), (method, path)
            good = next(answers[status] for status in answers if status.startswith("2"))
            kinds = good["content"]
            assert "exports" in path or kinds["application/json"]["example"], (method, path)


def test_the_reference_loads_nothing_from_elsewhere(site: Site) -> None:
    page = httpx.get(f"{site.address}/api/v1/docs").text
    assert "/projects/{project_id}/days" in page
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//", page) == []
    assert "<script" not in page


def test_schemathesis_finds_no_failure(site: Site, tmp_path: Path) -> None:
    attack(site, tmp_path, "examples", 5, "--exclude-path-regex", "exports|usage")


@pytest.mark.drill
def test_schemathesis_finds_no_failure_in_the_whole_schema(site: Site, tmp_path: Path) -> None:
    attack(site, tmp_path, "examples,coverage,fuzzing,stateful", 100)


def attack(site: Site, folder: Path, phases: str, examples: int, *more: str) -> None:
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{site.address}/api/v1/openapi.json", "--no-color", "--phases", phases),
        *("-n", str(examples), "-H", f"Authorization: Bearer {site.tokens['admin']}", *more),
    ]
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"}
    )
    print(ran.stdout[ran.stdout.find("= SUMMARY") :])
    assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr
    assert json.dumps(description(site))
