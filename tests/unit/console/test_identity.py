"""Who somebody is: addresses, claims, organizations, and when a sign-in ends."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.access import identity
from console.access.identity import Person
from metering.config.settings import Settings, load_settings
from metering.errors import AccessRefused, NotSignedIn, SettingsError
from tests.support import people as the_people
from tests.support.people import PROVIDER

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("FLEETMETER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    def loaded(**variables: str) -> Settings:
        for name, value in (PROVIDER | variables).items():
            if value:
                monkeypatch.setenv(name, value)
        return load_settings()

    return loaded


def claims(**changes: Any) -> dict[str, Any]:
    return the_people.claims(AT, **changes)


@pytest.mark.parametrize("variable", sorted(PROVIDER))
def test_half_a_provider_is_refused_and_the_missing_half_named(load: Any, variable: str) -> None:
    with pytest.raises(SettingsError, match=variable) as refusal:
        load(FLEETMETER_ADMINS="a@b.example", **{variable: ""})
    assert "hush-hush" not in str(refusal.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FLEETMETER_OIDC_METADATA_URL", "http://login.example/x", "https"),
        ("FLEETMETER_OIDC_REDIRECT_URI", "http://fleet.example/oauth2callback", "https"),
        ("FLEETMETER_OIDC_REDIRECT_URI", "https://fleet.example/", "/oauth2callback"),
        ("FLEETMETER_OIDC_COOKIE_SECRET", "short", "32"),
        ("FLEETMETER_METRICS_TOKEN", "short", "32"),
        ("FLEETMETER_ADMINS", "ann", "e-mail"),
        ("FLEETMETER_ROLE_VALUES", "fleet=captain", "'viewer', 'operator' or 'admin'"),
        ("FLEETMETER_ORGANIZATION_VIEWERS", "ann@x.example", "name=value"),
        ("FLEETMETER_ORGANIZATION_VIEWERS", "ann=17", "address"),
        ("FLEETMETER_SIGN_IN_HOURS", "0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(load: Any, variable: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refusal:
        load(**({"FLEETMETER_ADMINS": "a@b.example"} | {variable: value}))
    assert variable in str(refusal.value)


def test_a_sign_in_that_gives_nobody_a_role_is_refused(load: Any) -> None:
    with pytest.raises(SettingsError, match="nobody would have a role"):
        load()


def test_an_address_cannot_be_narrowed_and_see_everything(load: Any) -> None:
    with pytest.raises(SettingsError, match=r"ann@fleet\.example cannot be"):
        load(FLEETMETER_ADMINS="ann@fleet.example", FLEETMETER_ORGANIZATION_VIEWERS="Ann@fleet.example=1")


def test_a_listed_address_has_its_highest_role_whatever_its_case(load: Any) -> None:
    settings = load(
        FLEETMETER_OPERATORS="Ann@Fleet.example, bob@fleet.example", FLEETMETER_VIEWERS="ann@fleet.example"
    )
    person = identity.identify(claims(email="ANN@fleet.EXAMPLE"), settings, AT)
    assert person == Person("ann@fleet.example", "operator")
    assert person.has("viewer")
    assert not person.has("admin")


def test_a_letter_that_only_folds_into_another_is_another_address(load: Any) -> None:
    settings = load(FLEETMETER_ADMINS="kim@fleet.example")
    with pytest.raises(AccessRefused):
        identity.identify(claims(email="\u212aim@fleet.example"), settings, AT)  # the Kelvin sign


@pytest.mark.parametrize("verified", [False, "false", None, 1.5, "yes"])
def test_an_address_that_is_not_verified_has_no_role(load: Any, verified: Any) -> None:
    settings = load(FLEETMETER_ADMINS="ann@fleet.example", FLEETMETER_OIDC_TRUST_EMAIL="true")
    with pytest.raises(AccessRefused, match="verified"):
        identity.identify(claims(email_verified=verified), settings, AT)


def test_a_provider_that_does_not_say_is_believed_only_if_the_settings_say_so(load: Any) -> None:
    silent = claims()
    del silent["email_verified"]
    with pytest.raises(AccessRefused, match="verified"):
        identity.identify(silent, load(FLEETMETER_ADMINS="ann@fleet.example"), AT)
    trusting = load(FLEETMETER_ADMINS="ann@fleet.example", FLEETMETER_OIDC_TRUST_EMAIL="true")
    assert identity.identify(silent, trusting, AT).role == "admin"


@pytest.mark.parametrize(
    ("own_claims", "role"),
    [
        ({"roles": ["viewer", "admin", "cook"]}, "admin"),
        ({"roles": "operator"}, "operator"),
        ({"https://fleet.example/roles": ["viewer"]}, None),
        ({"roles": {"viewer": {}}}, "viewer"),
        ({"roles": ["Admin"]}, None),
        ({"roles": True}, None),
        ({}, None),
    ],
)
def test_a_role_comes_from_a_claim(load: Any, own_claims: dict[str, Any], role: str | None) -> None:
    settings = load(FLEETMETER_ROLE_CLAIM="roles", FLEETMETER_ACCESS_CONTACT="fleet-ops")
    if role is None:
        with pytest.raises(AccessRefused, match="ask fleet-ops for one"):
            identity.identify(claims(**own_claims), settings, AT)
    else:
        assert identity.identify(claims(**own_claims), settings, AT).role == role


def test_a_claim_may_lie_within_another_and_use_words_of_its_own(load: Any) -> None:
    settings = load(
        FLEETMETER_ROLE_CLAIM="realm_access.roles", FLEETMETER_ROLE_VALUES="fleet crew=operator,boss=admin"
    )
    own_claims = claims(realm_access={"roles": ["fleet crew", "admin"]})
    assert identity.identify(own_claims, settings, AT).role == "operator"


def test_an_organization_narrows_whatever_role_the_token_claims(load: Any) -> None:
    settings = load(FLEETMETER_ROLE_CLAIM="roles", FLEETMETER_ORGANIZATION_CLAIM="org")
    person = identity.identify(claims(roles=["admin"], org=[17, "Acme"]), settings, AT)
    assert person == Person("ann@fleet.example", "viewer", ("17", "Acme"))
    assert identity.identify(claims(roles=["admin"], org=[]), settings, AT).organizations is None


def test_an_organization_comes_from_the_settings_too_and_a_listed_address_is_not_narrowed(load: Any) -> None:
    settings = load(
        FLEETMETER_ORGANIZATION_VIEWERS="Bob@customer.example=17",
        FLEETMETER_ORGANIZATION_CLAIM="org",
        FLEETMETER_ADMINS="ann@fleet.example",
    )
    assert identity.identify(claims(email="bob@customer.example"), settings, AT).organizations == ("17",)
    assert identity.identify(claims(org="17"), settings, AT) == Person("ann@fleet.example", "admin")


@pytest.mark.parametrize(
    ("own_claims", "hours", "ended"),
    [
        ({}, "", False),
        ({"exp": AT.timestamp()}, "", True),
        ({"exp": None}, "", True),
        ({"exp": AT.timestamp() - 3600, "iat": AT.timestamp() - 7_000}, "2", False),
        ({"exp": AT.timestamp() + 3600, "iat": AT.timestamp() - 7_201}, "2", True),
        ({"aud": "another"}, "", True),
        ({"aud": ["another", "console"]}, "", False),
        ({"is_logged_in": False}, "", True),
    ],
)
def test_a_sign_in_ends_with_its_token_or_after_the_hours_set(
    load: Any, own_claims: dict[str, Any], hours: str, ended: bool
) -> None:
    settings = load(FLEETMETER_ADMINS="ann@fleet.example", FLEETMETER_SIGN_IN_HOURS=hours)
    if ended:
        with pytest.raises(NotSignedIn):
            identity.identify(claims(**own_claims), settings, AT)
    else:
        assert identity.identify(claims(**own_claims), settings, AT).role == "admin"


def test_a_role_taken_away_is_gone_at_once(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(FLEETMETER_ADMINS="ann@fleet.example,bob@fleet.example")
    assert identity.identify(claims(), before, AT + timedelta(seconds=1)).role == "admin"
    monkeypatch.setenv("FLEETMETER_ADMINS", "bob@fleet.example")
    with pytest.raises(AccessRefused):
        identity.identify(claims(), load_settings(), AT)
