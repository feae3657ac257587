"""Count MQTT messages, each exactly once; README.md has the invariants."""
