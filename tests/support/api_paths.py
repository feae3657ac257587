"""Every address of the API that is read, as OpenAPI names it, and an address of it that answers 200."""

from tests.support.two_tenants import TwoTenants

PATHS = {
    "/projects": "/projects",
    "/projects/{project_id}": "/projects/{p}",
    "/projects/{project_id}/hours": "/projects/{p}/hours?from={m}-01",
    "/projects/{project_id}/days": "/projects/{p}/days?from={m}-01&to={d}",
    "/projects/{project_id}/months": "/projects/{p}/months",
    "/projects/{project_id}/devices": "/projects/{p}/devices?date={y}",
    "/projects/{project_id}/coverage/{date}": "/projects/{p}/coverage/{d}",
    "/projects/{project_id}/limits": "/projects/{p}/limits",
    "/projects/{project_id}/explain/{month}": "/projects/{p}/explain/{m}",
    "/days": "/days?date={d}",
    "/months/{month}": "/months/{m}",
    "/missing": "/missing",
    "/organizations/{organization_id}/limits": "/organizations/{o}/limits",
    "/limits/check": "/limits/check?check=storage&project={p}",
    "/spend": "/spend",
    "/adjustments": "/adjustments",
    "/runs": "/runs",
    "/runs/{run_id}": "/runs/1",
    "/audit": "/audit",
    "/exports/monthly": "/exports/monthly?month={m}",
}


def address(path: str, tenants: TwoTenants) -> str:
    """Return the address of a path of PATHS."""
    closed = tenants.closed
    named = {"p": tenants.project, "o": tenants.organization, "m": closed, "d": closed.last}
    return PATHS[path].format(**named, y=closed.last.next())
