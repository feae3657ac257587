"""Say which MQTT brokers do not keep MQTT's rules, so that counts taken from them are approximate."""

AWS_IOT_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")
APPROXIMATE = (
    "counts are approximate: AWS IoT Core sends unacknowledged messages again without DUP and possibly under "
    "new packet ids, and discards what exceeds its limit of 100 messages a second on a connection "
    "(docs/brokers.md)"
)


def is_approximate(host: str) -> bool:
    """Return whether the broker at `host` cannot be counted exactly: AWS IoT Core."""
    name = host.lower().rstrip(".")
    return name.endswith(AWS_IOT_DOMAINS) and ".iot." in name
