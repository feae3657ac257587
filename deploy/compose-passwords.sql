-- compose.yaml: the passwords of the roles, from the secrets. Run once, after owner.sql, when the database is made.
\set ON_ERROR_STOP on
\set owner `cat /run/secrets/db_owner_password`
\set writer `cat /run/secrets/db_writer_password`
ALTER ROLE fleetmeter_owner PASSWORD :'owner';
ALTER ROLE fleetmeter_writer PASSWORD :'writer';
