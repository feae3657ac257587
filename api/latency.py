"""The duration of answers by route, for Prometheus: of the API alone or in the console's server."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
REGISTRY = CollectorRegistry()
# A route is an address with its parameters' names, so that no label has as many values as there are projects.
SECONDS = Histogram(
    "fleetmeter_api_request_seconds",
    "Time that answers took, the sending of the body included.",
    ["method", "route", "status"],
    registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def observe(method: str, route: str | None, status: int, seconds: float) -> None:
    """Note one answer; unknown routes and methods share a label, since clients choose them."""
    SECONDS.labels(method if method in METHODS else "other", route or "none", str(status)).observe(seconds)


def exposition() -> bytes:
    """Return the figures of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)
