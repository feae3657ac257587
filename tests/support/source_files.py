"""The project's modules, for tests that read the code itself."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("api", "collectors", "console", "fleetmeter", "jobs", "metering")


def source_files(*folders: str) -> list[Path]:
    """Return the modules in those folders of the project, of the product by default, in order."""
    return sorted(path for folder in folders or PRODUCT for path in (ROOT / folder).rglob("*.py"))
