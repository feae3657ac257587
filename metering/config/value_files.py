"""Settings whose value is in a file: NAME_FILE instead of NAME, as for secrets of containers."""

from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import BaseSettings, EnvSettingsSource

from metering.errors import SettingsError

SUFFIX = "_FILE"


class ValueFiles(EnvSettingsSource):
    """Read the settings that one source (the environment, `.env`) gives as NAME_FILE.

    Raises SettingsError when the source has both names, and when a file cannot be read or is empty.
    """

    def __init__(self, settings_class: type[BaseSettings], source: EnvSettingsSource) -> None:
        super().__init__(settings_class)
        self.env_vars = _values(settings_class, source.env_vars)


def _values(settings_class: type[BaseSettings], variables: Mapping[str, str | None]) -> dict[str, str | None]:
    fields = settings_class.model_fields.items()
    names = [(field.alias or name).upper() for name, field in fields]
    paths = {name: variables.get((name + SUFFIX).lower()) for name in names}
    for name, path in paths.items():
        if path and variables.get(name.lower()):
            raise SettingsError(f"{name} and {name}{SUFFIX} are both set; set one of them")
    return {name.lower(): _content(name + SUFFIX, path) for name, path in paths.items() if path}


def _content(variable: str, path: str) -> str:
    try:
        value = Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: {path} is not text in UTF-8") from None
    if not value:
        raise SettingsError(f"{variable}: {path} is empty; it must hold the value")
    return value


def override(environment: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with `values` in place of its own, in files or directly."""
    replaced = {name + SUFFIX for name in values}
    return {name: value for name, value in environment.items() if name not in replaced} | dict(values)
