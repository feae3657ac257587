"""Rules about counting: daemons, their sessions and client ids, clocks, the broker's own count."""

# Sessions that a daemon has claimed. Two minutes, because a daemon reports every few seconds up to which
# instant it has counted, and a restart takes some seconds.
COUNTER_SILENT = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, m.client_id AS subject,
        jsonb_build_object('client_id', m.client_id, 'last_seen_at', m.last_seen_at, 'why', CASE
            WHEN w.last_seen_at > now() - interval '1 minute' THEN 'the daemon runs, its broker is away'
            ELSE 'the daemon does not run: start fleetmeter counter' END) AS detail
    FROM mqtt_sessions m LEFT JOIN workers w ON w.name = 'counter ' || m.client_id
    WHERE m.session_started_at IS NOT NULL AND m.epoch > 0 AND m.retired_at IS NULL
        AND m.last_seen_at < CAST(:at AS timestamptz) - interval '2 minutes'"""

SESSION_LOST = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, 'gap ' || g.id AS subject,
        jsonb_build_object('gap', g.id, 'from', g.starts_at, 'to', g.ends_at, 'reason', g.reason) AS detail
    FROM gaps g WHERE g.source = 'mqtt' AND g.kind = 'session_lost'
        AND g.covered_at IS NULL AND g.accepted_at IS NULL"""

# Another client connected under a counter's client id, and the broker sends the messages to it.
CLIENT_ID_TAKEN = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, g.client_id AS subject,
        jsonb_build_object('gap', g.id, 'from', g.starts_at, 'to', g.ends_at, 'reason', g.reason) AS detail
    FROM gaps g WHERE g.source = 'mqtt' AND g.kind = 'taken_over'
        AND g.covered_at IS NULL AND g.accepted_at IS NULL"""

# Hours of the last day that differ by FLEETMETER_DRIFT_PERCENT, and by more than 100 messages: messages
# that arrive while both counts are read are not a drift. The hour that differs most stands for the others.
DRIFT = """
    SELECT DISTINCT ON (source) 'warning' AS severity, NULL::bigint AS project_id, source AS subject,
        jsonb_build_object('source', source, 'hour', hour, 'theirs', theirs, 'ours', ours,
            'drift', ours - theirs, 'percent', round(100.0 * (ours - theirs) / nullif(theirs, 0), 2),
            'hours', count(*) OVER (PARTITION BY source)) AS detail
    FROM reconciliations WHERE hour > CAST(:at AS timestamptz) - interval '24 hours'
        AND abs(ours - theirs) > 100
        AND abs(ours - theirs) * 100 > theirs * CAST(:drift_percent AS numeric)
    ORDER BY source, abs(ours - theirs) DESC, hour"""

# Processes report the difference with their heartbeat; a process that has ended is left out.
CLOCK_WRONG = """
    SELECT 'critical' AS severity, NULL::bigint AS project_id, w.host AS subject,
        jsonb_build_object('host', w.host,
            'seconds', (array_agg(reported.seconds ORDER BY abs(reported.seconds) DESC))[1],
            'roles', string_agg(DISTINCT w.role, ', ')) AS detail
    FROM workers w CROSS JOIN LATERAL (
        SELECT CAST(w.figures->>'clock_difference_seconds' AS double precision) AS seconds) reported
    WHERE w.last_seen_at > clock_timestamp() - interval '2 minutes'
        AND abs(reported.seconds) > CAST(:clock_tolerance AS double precision) GROUP BY w.host"""
