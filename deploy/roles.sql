-- Least privilege on the platform's database: an owner that migrates, a writer that counts and runs
-- jobs, a reader for dashboards. Run once as an administrator, then migrate as fleetmeter_owner, then
-- run the second half. Give each role a login and a password of your own.

CREATE ROLE fleetmeter_owner;
CREATE ROLE fleetmeter_writer;
CREATE ROLE fleetmeter_reader;

GRANT USAGE, CREATE ON SCHEMA public TO fleetmeter_owner;
GRANT USAGE ON SCHEMA public TO fleetmeter_writer, fleetmeter_reader;

-- The platform's tables: read, and be referred to by foreign keys. Never written.
GRANT SELECT ON organizations, users, projects, devices, sessions, logs, deployments, api_calls,
    data_transfers TO fleetmeter_owner, fleetmeter_writer, fleetmeter_reader;
GRANT REFERENCES ON organizations, projects TO fleetmeter_owner;

-- After `fleetmeter migrate` as fleetmeter_owner:
-- The writer makes each month's partitions, which only an owner of the parent may.
GRANT fleetmeter_owner TO fleetmeter_writer;
GRANT SELECT ON usage_hourly, project_stats, daily_stats, monthly_stats, plan_versions, adjustments,
    gaps, unattributed_messages, mqtt_sessions, job_runs, alerts, alert_notices, audit_log, workers,
    reconciliations, broker_samples, log_levels, catalogue_readings, organization_tiers,
    project_owners, project_pauses TO fleetmeter_reader;
