"""The examples of docs/api.md run as they stand, against a real server; only the month is another."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.api_site import Site

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
TASKS = PAGE.read_text(encoding="utf-8").partition("## The five commonest tasks")[2]
RUNNERS = {"sh": ["sh", "-e", "-c"], "python": [sys.executable, "-c"]}


def test_the_examples_of_the_five_commonest_tasks_run(site: Site) -> None:
    examples = re.findall(r"^```(sh|python)\n(.*?)^```", TASKS, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in examples] == ["sh", "python"] * 5
    assert TASKS.count("```typescript") == 5
    environment = os.environ | {
        "FLEETMETER_API": f"{site.address}/api/v1",
        "FLEETMETER_TOKEN": site.tokens["admin"],
        "NO_PROXY": "127.0.0.1",
    }
    month = site.tenants.closed

    def run(example: tuple[str, str]) -> subprocess.CompletedProcess[str]:
        language, code = example
        code = code.replace("2026-10-31", str(month.last)).replace("2026-10", str(month))
        return subprocess.run(
            [*RUNNERS[language], code], env=environment, capture_output=True, text=True, check=False
        )

    with ThreadPoolExecutor(4) as threads:
        for (_, code), ran in zip(examples, threads.map(run, examples), strict=True):
            assert (ran.returncode, ran.stdout != "") == (0, True), code + ran.stderr
