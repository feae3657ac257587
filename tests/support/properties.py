"""Settings of property tests over one database: the same examples each time, none made smaller."""

from hypothesis import HealthCheck, Phase, settings

quick = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
