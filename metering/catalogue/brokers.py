"""Say which MQTT brokers do not keep MQTT's rules, so that counts taken from them are approximate."""

AWS_IOT_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")
AWS_IOT_LABEL = ".iot."
APPROXIMATE = (
    "counts are approximate: AWS IoT Core sends unacknowledged messages again without DUP and possibly under "
    "new packet ids, and discards what exceeds its limit of 100 messages a second on a connection "
    "(docs/brokers.md)"
)
EMQX = (
    "not tried by us; a full queue (1,000 messages by default) drops the oldest, sessions in memory end with "
    "their node, and in a shared group messages of a session that ends go to other members (docs/brokers.md)"
)


def is_approximate(host: str) -> bool:
    """Return whether the broker at `host` cannot be counted exactly: AWS IoT Core."""
    name = host.lower().rstrip(".")
    return name.endswith(AWS_IOT_DOMAINS) and AWS_IOT_LABEL in name
