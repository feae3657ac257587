"""Random requests that look for another organization's rows: ids, filters, cursors, forms, bodies."""

import random
from typing import Any

import httpx

from tests.support.two_tenants import ORGANIZATION, PROJECTS, STAFF, TwoTenants

PATHS = (
    *("/projects", "/projects/{p}", "/projects/{p}/hours", "/projects/{p}/days", "/projects/{p}/months"),
    *("/days", "/months/{m}", "/missing", "/projects/{p}/coverage/{d}", "/projects/{p}/limits"),
    *("/organizations/{o}/limits", "/limits/check", "/spend", "/projects/{p}/explain/{m}", "/adjustments"),
    *("/runs", "/runs/{r}", "/exports/monthly", "/audit", "/nothing", "/projects/{p}/devices"),
)
POSTS = ("/runs", "/runs/{r}/cancel", "/runs/{r}/retry", "/adjustments", "/usage")
PARAMETERS = (
    *("project_id", "organization_id", "project", "organization", "limit", "from", "to", "date", "month"),
    *("check", "bytes", "cursor", "format", "state", "job", "actor", "subject", "is_active", "count"),
)


class Fuzz:
    """Random requests, the same ones for the same seed."""

    def __init__(self, tenants: TwoTenants, seed: int) -> None:
        self.random, self.tenants = random.Random(seed), tenants
        self.cursors: list[str] = ["x"]
        self.tags: dict[str, str] = {'"x"': ""}  # and what was read with them

    def request(self, client: httpx.Client) -> tuple[str, httpx.Response, str]:
        """Send a random request and return what was sent and received.

        The three values are the request as text, the answer, and the text of all that the client knows by it:
        a 304 confirms the text that was read with that ETag, whoever read it.
        """
        choose = self.random.choice
        posts = self.random.random() < 0.15
        path = choose(POSTS if posts else PATHS).format(
            p=self._project(),
            o=self._organization(),
            m=self._month(),
            d=self._day(),
            r=choose((1, 2, 3, 4, 99)),
        )
        parameters = {
            name: self._value(name) for name in self.random.sample(PARAMETERS, choose((0, 0, 1, 2, 3)))
        }
        headers = {"Accept": choose(("*/*", "text/csv", "application/json"))}
        if self.random.random() < 0.2:
            headers["If-None-Match"] = choose(list(self.tags))
        body = self._body(path) if posts else None
        answer = client.request(
            "POST" if posts else "GET", path, params=parameters, headers=headers, json=body
        )
        received = answer.text + " ".join(f"{name}: {value}" for name, value in answer.headers.items())
        if answer.status_code == 304:
            received += self.tags[headers["If-None-Match"]]
        self._learn(answer)
        return f"{path} {parameters} {body}", answer, received

    def _learn(self, answer: httpx.Response) -> None:
        if answer.status_code == 200 and (tag := answer.headers.get("etag")):
            self.tags = dict([*self.tags.items(), (tag, answer.text)][-20:])
        if answer.headers.get("content-type") == "application/json" and (following := _next(answer)):
            self.cursors = [*self.cursors[-20:], following]

    def _project(self) -> int:
        return self.random.choice((1, 2, 3, 4, 5, *PROJECTS, *PROJECTS, 999_999, 0))

    def _organization(self) -> int:
        return self.random.choice((1, ORGANIZATION, 999_999))

    def _month(self) -> str:
        return self.random.choice((str(self.tenants.closed), str(self.tenants.closed.next()), "2020-02"))

    def _day(self) -> str:
        return str(self.random.choice(list(self.tenants.closed.days())))

    def _value(self, name: str) -> Any:
        values = {
            "project_id": self._project,
            "project": self._project,
            "organization_id": self._organization,
            "organization": self._organization,
            "limit": lambda: self.random.choice((1, 2, 1_000)),
            "from": self._day,
            "to": self._day,
            "date": self._day,
            "month": self._month,
            "check": lambda: self.random.choice(("project", "user", "storage", "mqtt_inbound")),
            "cursor": lambda: self.random.choice(self.cursors),
            "actor": lambda: STAFF[: self.random.randint(0, 5)],
        }
        return values.get(
            name, lambda: self.random.choice(("", "true", "csv", "json", "dead", "7", "daily"))
        )()

    def _body(self, path: str) -> dict[str, Any] | list[Any] | None:
        if path == "/usage":
            return [self._event() for _ in range(self.random.randint(1, 3))]
        if path == "/runs":
            return {"job": "hourly", "project_id": self._project(), "dry_run": True}
        if path == "/adjustments":
            return {"project_id": self._project(), "reason": "fuzz", "reverses": self.random.randint(1, 4)}
        return None

    def _event(self) -> dict[str, Any]:
        fixed = {"specversion": "1.0", "source": "urn:fuzz", "type": "mqtt_inbound"}
        subject = {"id": str(self.random.randint(1, 9)), "subject": str(self._project())}
        late = {"time": f"{self._day()}T10:00:00Z"} if self.random.random() < 0.5 else {}
        return fixed | subject | late | {"data": {"quantity": self.random.randint(-1, 5)}}


def _next(answer: httpx.Response) -> str | None:
    body = answer.json()
    return body.get("next") if isinstance(body, dict) else None


def leaks(request: str, received: str, secrets: tuple[str, ...]) -> list[str]:
    """Return the secrets that were received and not sent."""
    return [secret for secret in secrets if secret in received and secret not in request]
