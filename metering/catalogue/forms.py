"""Forms: the columns of a sealed day or bill that are hashed, by the number of its form.

A form in which a release has sealed rows never changes. A new column joins the newest form while that
is not released, otherwise a form of the next number. A meter names its form in the catalogue.
"""

from typing import Literal

from metering.catalogue.meters import COUNTERS, GAUGES

Sealed = Literal["daily_stats", "monthly_stats"]

# The columns of commit 934929c, which knew no forms and sealed every column that it had.
FORM_1: dict[Sealed, tuple[str, ...]] = {
    "daily_stats": (
        *("project_id", "date", "organization_id", "year", "month", "day"),
        *("logs", "sessions", "mqtt_inbound", "mqtt_outbound", "mqtt_inbound_bytes"),
        *("mqtt_outbound_bytes", "api_calls", "deployments", "docker_upload_bytes"),
        *("docker_download_bytes", "data_transfer_bytes", "s3_storage_bytes", "docker_storage_bytes"),
        *("logs_storage_bytes", "storage_bytes", "device_count", "active_device_count"),
        *("ecr_image_count", "tier", "coverage"),
    ),
    "monthly_stats": (
        *("project_id", "year", "month", "organization_id"),
        *("logs", "sessions", "mqtt_inbound", "mqtt_outbound", "mqtt_inbound_bytes"),
        *("mqtt_outbound_bytes", "api_calls", "deployments", "docker_upload_bytes"),
        *("docker_download_bytes", "data_transfer_bytes", "peak_s3_storage_bytes"),
        *("peak_docker_storage_bytes", "peak_logs_storage_bytes", "peak_storage_bytes"),
        *("peak_device_count", "peak_active_device_count", "peak_ecr_image_count"),
        *("tier", "exceeded_limits", "overage_charge", "plan_fee", "adjustment_charge", "total_charge"),
        *("currency", "plan_version", "days_present", "days_expected", "previous_seal", "closed_by"),
    ),
}

# Form -> the columns, other than meters of the catalogue, that it has more than the form before.
ADDED: dict[int, dict[Sealed, tuple[str, ...]]] = {
    2: {
        "daily_stats": ("form", "meters"),
        "monthly_stats": ("form", "meters", "owners", "later_readings", "versions"),
    },
}

NEWEST = max(*ADDED, *(counter.since for counter in COUNTERS), *(gauge.since for gauge in GAUGES))
FORMS = tuple(range(1, NEWEST + 1))


def columns(table: Sealed, form: int) -> tuple[str, ...]:
    """Return the columns of `table` that are hashed in `form`, by name.

    Raises ValueError if this version does not know the form.
    """
    if form not in FORMS:
        raise ValueError(f"form {form} is not known to this version of Fleetmeter; use a newer one")
    later = [name for number in FORMS[1:form] for name in _added(table, number)]
    return tuple(sorted({*FORM_1[table], *later}))


def columns_after(table: Sealed, form: int) -> tuple[str, ...]:
    """Return the columns of the newest form that `form` does not have, in the order they were added."""
    return tuple(name for number in FORMS[form:] for name in _added(table, number))


def _added(table: Sealed, form: int) -> list[str]:
    peak = "peak_" if table == "monthly_stats" else ""
    return [
        *ADDED.get(form, {}).get(table, ()),
        *(counter.name for counter in COUNTERS if counter.since == form),
        *(peak + gauge.name for gauge in GAUGES if gauge.since == form),
    ]
