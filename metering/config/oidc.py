"""Settings of the console's sign-in: who may come in, as what, and from which provider.

Complete or absent: some of the provider's settings without the others are refused by name.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
CALLBACK = "/oauth2callback"
PROVIDER = {
    "oidc_metadata_url": "FLEETMETER_OIDC_METADATA_URL",
    "oidc_client_id": "FLEETMETER_OIDC_CLIENT_ID",
    "oidc_client_secret": "FLEETMETER_OIDC_CLIENT_SECRET",
    "oidc_redirect_uri": "FLEETMETER_OIDC_REDIRECT_URI",
    "oidc_cookie_secret": "FLEETMETER_OIDC_COOKIE_SECRET",
}
Addresses = Annotated[tuple[str, ...], NoDecode]


def same(address: str) -> str:
    """Return `address` for comparisons: in lower case if it is ASCII.

    Some letters outside of ASCII have an ASCII letter as their lower case.
    """
    address = address.strip()
    return address.lower() if address.isascii() else address


class SignInSettings(BaseSettings):
    """The console's address, its OpenID Connect provider, and who has which role."""

    console_address: str = Field(default="127.0.0.1", alias="FLEETMETER_CONSOLE_ADDRESS")
    oidc_metadata_url: str | None = Field(default=None, alias=PROVIDER["oidc_metadata_url"])
    oidc_client_id: str | None = Field(default=None, alias=PROVIDER["oidc_client_id"])
    oidc_client_secret: SecretStr | None = Field(default=None, alias=PROVIDER["oidc_client_secret"])
    oidc_redirect_uri: str | None = Field(default=None, alias=PROVIDER["oidc_redirect_uri"])
    oidc_cookie_secret: SecretStr | None = Field(default=None, alias=PROVIDER["oidc_cookie_secret"])
    oidc_scope: str = Field(default="openid email profile", alias="FLEETMETER_OIDC_SCOPE")
    oidc_trust_email: bool = Field(default=False, alias="FLEETMETER_OIDC_TRUST_EMAIL")
    sign_in_hours: int | None = Field(default=None, ge=1, le=720, alias="FLEETMETER_SIGN_IN_HOURS")
    access_contact: str = Field(
        default="whoever runs Fleetmeter here", alias="FLEETMETER_ACCESS_CONTACT", max_length=200
    )

    admins: Addresses = Field(default=(), alias="FLEETMETER_ADMINS")
    operators: Addresses = Field(default=(), alias="FLEETMETER_OPERATORS")
    viewers: Addresses = Field(default=(), alias="FLEETMETER_VIEWERS")
    role_claim: str | None = Field(default=None, alias="FLEETMETER_ROLE_CLAIM")
    role_values: Annotated[dict[str, Role], NoDecode] = Field(
        default={role: role for role in ROLES}, alias="FLEETMETER_ROLE_VALUES"
    )
    organization_claim: str | None = Field(default=None, alias="FLEETMETER_ORGANIZATION_CLAIM")
    organization_viewers: Annotated[dict[str, str], NoDecode] = Field(
        default={}, alias="FLEETMETER_ORGANIZATION_VIEWERS"
    )
    metrics_token: SecretStr | None = Field(default=None, alias="FLEETMETER_METRICS_TOKEN")

    @field_validator("admins", "operators", "viewers", mode="before")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        addresses = tuple(same(part) for part in value.split(",") if part.strip())
        if not all("@" in address for address in addresses):
            raise ValueError("takes e-mail addresses separated by commas")
        return addresses

    @field_validator("role_values", "organization_viewers", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.rpartition("=") for part in value.split(",") if part.strip()]
        if not all(name.strip() and right.strip() for name, _, right in parts):
            raise ValueError("takes pairs like name=value, separated by commas")
        return {name.strip(): right.strip() for name, _, right in parts}

    @field_validator("organization_viewers")
    @classmethod
    def _of_addresses(cls, value: dict[str, str]) -> dict[str, str]:
        if not all("@" in address for address in value):
            raise ValueError("takes ann@customer.example=17: an address, and its organization's id or name")
        return {same(address): organization for address, organization in value.items()}

    @field_validator("oidc_metadata_url", "oidc_redirect_uri")
    @classmethod
    def _is_https(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://none")
        if not parts.hostname or not (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        ):
            raise ValueError("takes https://…; plain http:// only on loopback")
        return value

    @field_validator("oidc_redirect_uri")
    @classmethod
    def _is_callback(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).path != CALLBACK:
            raise ValueError(f"takes the console's own address with {CALLBACK} and nothing after it")
        return value

    @field_validator("oidc_cookie_secret", "metrics_token")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("takes 32 random characters or more, as `openssl rand -hex 32` prints them")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> "SignInSettings":
        missing = [name for field, name in PROVIDER.items() if getattr(self, field) is None]
        if missing and len(missing) < len(PROVIDER):
            raise ValueError(f"sign-in needs {', '.join(missing)} as well; or set none of FLEETMETER_OIDC_*")
        if not missing and not (self._listed or self.role_claim or self._narrowed):
            raise ValueError(
                "sign-in is set up, and nobody would have a role: set FLEETMETER_ADMINS, or "
                "FLEETMETER_ROLE_CLAIM"
            )
        return self

    @model_validator(mode="after")
    def _says_one_thing(self) -> "SignInSettings":
        both = sorted(self._listed & set(self.organization_viewers))
        if both:
            raise ValueError(
                f"{', '.join(both)} cannot be in FLEETMETER_ORGANIZATION_VIEWERS, which narrows, and in "
                "FLEETMETER_ADMINS, _OPERATORS or _VIEWERS, which see everything"
            )
        return self

    @property
    def _listed(self) -> set[str]:
        return {*self.admins, *self.operators, *self.viewers}

    @property
    def _narrowed(self) -> bool:
        return bool(self.organization_claim or self.organization_viewers)

    @property
    def sign_in(self) -> bool:
        """Return whether people sign in.

        Without sign-in the console serves loopback only, and everybody there is an admin.
        """
        return self.oidc_metadata_url is not None
