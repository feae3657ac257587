"""The optional parts of an installation: the extras of the package."""

from importlib.util import find_spec

from metering.errors import FleetmeterError


class ExtraMissing(FleetmeterError):
    """A command needs a part of Fleetmeter that is not installed; names the extra."""


def require_extra(extra: str, module: str, purpose: str) -> None:
    """Raise ExtraMissing unless `module` of the extra is installed; `purpose` says what needs it."""
    if find_spec(module) is None:
        raise ExtraMissing(f"{purpose} needs {module}, which is not installed; {install_hint(extra)}")


def install_hint(extra: str) -> str:
    """Return the command that installs the extra."""
    return f"pip install 'fleetmeter[{extra}]'"
