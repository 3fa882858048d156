-- Schedules: when jobs run, what is accepted, who may change them
CREATE EXTENSION dashcache;
-- the functions that change things are not PUBLIC's
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
REVOKE EXECUTE ON FUNCTION dashcache_reset_stats(), dashcache_check() FROM PUBLIC;
CREATE ROLE dashcache_owner;
CREATE ROLE dashcache_member IN ROLE dashcache_owner;
CREATE ROLE dashcache_stranger;
CREATE ROLE dashcache_monitor IN ROLE pg_monitor;
CREATE SCHEMA app AUTHORIZATION dashcache_owner;
GRANT USAGE ON SCHEMA app TO PUBLIC;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';

-- from the anchor, not from the last time: nothing adds up
CREATE VIEW turns AS WITH RECURSIVE r (name, anchor, every, n, at) AS (
	SELECT v.name, v.anchor::timestamptz, v.every::interval, 1, dashcache.schedule_next(v.anchor::timestamptz, v.every::interval, v.anchor::timestamptz)
	FROM (VALUES
		('month end', '2023-01-31 06:00+00', '1 month'),
		('leap day', '2020-02-29 06:00+00', '1 year'),
		('mixed', '2023-01-31 06:00+00', '1 month 1 day 01:00'),
		('seven minutes', '2023-01-31 06:00:00.5+00', '7 minutes')) v (name, anchor, every)
	UNION ALL
	SELECT name, anchor, every, n + 1, dashcache.schedule_next(anchor, every, at) FROM r WHERE n < 14)
SELECT name, n, at FROM r ORDER BY name, n;
SELECT name, array_agg(at ORDER BY n) FROM turns WHERE n <= 13 AND name <> 'seven minutes' GROUP BY name ORDER BY name;
SELECT count(*) FILTER (WHERE at = timestamptz '2023-01-31 06:00:00.5+00' + n * interval '7 minutes') FROM turns WHERE name = 'seven minutes';
-- a worker that is late by whatever it is does not move the turns
SELECT late, dashcache.schedule_next('2024-01-01 00:00:00+00', '5 minutes', timestamptz '2024-01-01 00:10:00+00' + late)
FROM unnest('{0, 1us, 1s, 4min 59.999999s, 5min, 5min 1us}'::interval[]) late;
-- an hour is an hour and a day is a day, whatever the clocks do
SET TimeZone = 'Europe/Berlin';
SELECT 'day' AS every, dashcache.schedule_next('2024-03-29 06:00', '1 day', after) AS next FROM unnest('{2024-03-29 06:00, 2024-03-30 05:59, 2024-03-30 06:00, 2024-03-31 06:00}'::timestamptz[]) after
UNION ALL SELECT '24 hours', dashcache.schedule_next('2024-03-29 06:00', '24 hours', after) FROM unnest('{2024-03-29 06:00, 2024-03-30 05:59, 2024-03-30 06:00, 2024-03-31 06:00}'::timestamptz[]) after
UNION ALL SELECT 'day, autumn', dashcache.schedule_next('2024-10-25 06:00', '1 day', after) FROM unnest('{2024-10-26 05:59, 2024-10-26 06:00, 2024-10-27 05:59:59, 2024-10-27 06:00}'::timestamptz[]) after
UNION ALL SELECT '24 hours, autumn', dashcache.schedule_next('2024-10-25 06:00', '24 hours', after) FROM unnest('{2024-10-26 06:00, 2024-10-27 05:00}'::timestamptz[]) after
-- a time that there is not, and one that there is twice
UNION ALL SELECT 'no 2:30', dashcache.schedule_next('2024-03-29 02:30', '1 day', after) FROM unnest('{2024-03-30 02:30, 2024-03-31 03:30}'::timestamptz[]) after
UNION ALL SELECT 'two 2:30', dashcache.schedule_next('2024-10-25 02:30', '1 day', after) FROM unnest('{2024-10-26 02:30, 2024-10-27 02:30 CEST, 2024-10-27 02:30 CET}'::timestamptz[]) after;
-- for years it stays at six
SELECT count(*), count(DISTINCT at) FROM generate_series(0, 3000) n, dashcache.schedule_next('2020-01-01 06:00', '1 day', timestamptz '2020-01-01 06:00' + n * interval '1 day') at
WHERE at::time = '06:00' AND at = timestamptz '2020-01-01 06:00' + (n + 1) * interval '1 day';
SET TimeZone = 'UTC';
-- before the anchor, at it, and just after
SELECT dashcache.schedule_next('2024-01-01', '1 hour', after) FROM unnest('{1999-01-01, 2023-12-31 23:59:59.999999, 2024-01-01, 2024-01-01 00:00:00.000001}'::timestamptz[]) after;
-- after a long time down
SELECT every, dashcache.schedule_next('2000-01-01', every, '2199-12-31 23:59:59.999999') FROM unnest('{1 second, 90 seconds, 5 minutes, 1 day, 1 week, 1 month, 1 year, 100 years, 1 month 3 days 00:00:07}'::interval[]) every;
-- the law: it is after "after", a whole number of intervals from the anchor, and the first that is
SELECT every, count(*), bool_and(next > after) AS after, bool_and(next = anchor + k * every) AS whole, bool_and(anchor + (k - 1) * every <= after) AS first
FROM unnest('{1 second, 7 minutes, 36 hours, 1 day, 13 days 05:00, 1 month, 3 months 2 days, 1 year}'::interval[]) every,
	(VALUES (timestamptz '2023-01-31 03:30'), ('1995-06-15 00:00:00.123456')) a (anchor), generate_series(0, 400) i,
	LATERAL (SELECT anchor + i * interval '3 days 07:11:13.000001') b (after),
	LATERAL dashcache.schedule_next(anchor, every, after) next,
	LATERAL (SELECT i AS k FROM generate_series((extract(epoch FROM next - anchor) / (extract(epoch FROM every) * 1.02))::int - 2, (extract(epoch FROM next - anchor) / (extract(epoch FROM every) * 0.98))::int + 2) i
		WHERE every > interval '1 hour' AND anchor + i * every = next
		UNION ALL SELECT (extract(epoch FROM next - anchor) / extract(epoch FROM every))::int WHERE every <= interval '1 hour') c
GROUP BY every ORDER BY every;
SELECT dashcache.schedule_next('2024-01-01', '0', '2024-01-01');
\echo :SQLSTATE
SELECT dashcache.schedule_next('2024-01-01', '-1 day', '2024-01-01');
SELECT dashcache.schedule_next('2024-01-01', '1 month -1 day', '2024-01-01');
SELECT dashcache.schedule_next('infinity', '1 day', '2024-01-01');
SELECT dashcache.schedule_next('2024-01-01', '1 day', 'infinity');
SELECT dashcache.schedule_next('2024-01-01', '1 day', '294276-12-31 23:59:59');
\echo :SQLSTATE
SELECT dashcache.schedule_next('2024-01-01', '178000000 years', '2024-01-01');
\echo :SQLSTATE
SELECT dashcache.schedule_next(NULL, '1 day', '2024-01-01');

-- jobs; those of long intervals, so that none runs here (a predictive one may)
SET ROLE dashcache_owner;
CREATE TABLE app.t (company_id bigint, x int);
SET client_min_messages = warning;
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.t WHERE company_id = $1', 'd');
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.t WHERE company_id = $1', 'other');
RESET client_min_messages;
SELECT dashcache_schedule('1 day 2 hours', 'd') AS job \gset
SELECT dashcache_schedule('@ 90 minutes', 'd', '7') AS tenant_job \gset
SELECT dashcache_schedule('5400') IS NOT NULL;
SELECT dashcache_schedule('1 mon', 'd', 7) IS NOT NULL, dashcache_schedule('P2D', 'd', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid) IS NOT NULL, dashcache_schedule('predictive', 'd') IS NOT NULL;
RESET ROLE;
CREATE VIEW jobs AS SELECT j.job, j.dashboard, j.tenant, j.schedule, j.scheduler, j.active, j.last_run, j.last_status,
	j.next_run = CASE i.kind WHEN 'p' THEN date_trunc('hour', i.anchor) + interval '1 hour' ELSE i.anchor + i.every END AS next_is_right, i.kind, i.role::regrole AS role
FROM dashcache_jobs j JOIN dashcache.job i ON i.id = j.job ORDER BY j.job;
SELECT * FROM jobs;
-- what is no schedule
\set VERBOSITY default
SELECT dashcache_schedule('0');
\echo :SQLSTATE
SELECT dashcache_schedule('-5 minutes');
SELECT dashcache_schedule('0.999999 seconds');
SELECT dashcache_schedule('1 day -25 hours');
SELECT dashcache_schedule('1 month -40 days');
SELECT dashcache_schedule('-1 month');
SELECT dashcache_schedule('2 days -1 second');
SELECT dashcache_schedule('200 years');
SELECT dashcache_schedule('2147483647 days');
SELECT dashcache_schedule('-2147483647 days');
SELECT dashcache_schedule('178956970 years');
SELECT dashcache_schedule('2147483647 hours');
SELECT dashcache_schedule('178956970 years -2147483648 days');
SELECT dashcache_schedule('99999999999999999999 days');
\echo :SQLSTATE
SELECT dashcache_schedule('');
\echo :SQLSTATE
SELECT dashcache_schedule(' ');
SELECT dashcache_schedule('every day');
SELECT dashcache_schedule('* * * *');
SELECT dashcache_schedule('* * * * * *');
SELECT dashcache_schedule('Predictive');
SELECT dashcache_schedule('infinity');
SELECT dashcache_schedule(repeat('x', 100));
SELECT dashcache_schedule(NULL);
\echo :SQLSTATE
SELECT dashcache_schedule('predictive', 'd', '7');
\echo :SQLSTATE
SELECT dashcache_schedule('1 day', 'nowhere');
\echo :SQLSTATE
SELECT dashcache_schedule('1 day', '');
SELECT dashcache_schedule('1 day', 'd', repeat('x', 100000));
\echo :SQLSTATE
-- what is a cron expression, and that it takes pg_cron
\set VERBOSITY terse
SELECT dashcache_schedule(s) FROM (VALUES ('0 0 * * *')) v (s);
\echo :SQLSTATE
SELECT dashcache_schedule('*/5 9-17 * * mon-fri');
SELECT dashcache_schedule('0 6 1,15 JAN-mar,Dec 1-5');
SELECT dashcache_schedule('  0	0 * * *  ');
SELECT dashcache_schedule('0 0 $ * *');
SELECT dashcache_schedule('99 99 99 99 99');
SELECT dashcache_schedule('1 2 3 4 5');
SELECT dashcache_schedule('@hourly');
SELECT dashcache_schedule('@rubbish');
SELECT dashcache_schedule('@ rubbish');
SELECT dashcache_schedule('0 0 * * funday');
\set VERBOSITY default
SELECT dashcache_schedule('0 0 * * *');
SELECT count(*) FROM jobs;

-- altered: the schedule, paused, resumed; NULL leaves
SELECT anchor FROM dashcache.job WHERE id = :job \gset
SELECT dashcache_alter_job(:job);
SELECT dashcache_alter_job(:job, active => false);
SELECT * FROM jobs WHERE job = :job;
SELECT dashcache_run_job(:job);
SELECT dashcache_alter_job(:job, active => false);
SELECT dashcache_alter_job(:job, active => true);
SELECT * FROM jobs WHERE job = :job;
SELECT anchor = :'anchor' AS keeps_its_turns FROM dashcache.job WHERE id = :job;
SELECT dashcache_alter_job(:job, '2 days');
SELECT * FROM jobs WHERE job = :job;
SELECT anchor > :'anchor' AS begins_anew FROM dashcache.job WHERE id = :job;
SELECT dashcache_alter_job(:job, '3 days', false);
SELECT dashcache_alter_job(:job, '4 days');
SELECT * FROM jobs WHERE job = :job;
SELECT dashcache_alter_job(:job, 'predictive', true);
SELECT * FROM jobs WHERE job = :job;
SELECT dashcache_alter_job(:job, '1 week');
SELECT * FROM jobs WHERE job = :job;
BEGIN;
SELECT dashcache_alter_job(:job, '1 day', false);
SELECT dashcache_unschedule(:tenant_job);
ROLLBACK;
SELECT * FROM jobs WHERE job IN (:job, :tenant_job);
SELECT dashcache_alter_job(:job, '0 seconds');
SELECT dashcache_alter_job(:job, '0 0 * * *');
SELECT dashcache_alter_job(:job, '0 0 * * *', false);
SELECT dashcache_alter_job(:tenant_job, 'predictive');
SELECT dashcache_alter_job(-1, '1 day');
\echo :SQLSTATE
SELECT dashcache_alter_job(NULL, '1 day');
\echo :SQLSTATE
SELECT dashcache_run_job(-1);
\echo :SQLSTATE
SELECT dashcache_run_job(NULL);
SELECT dashcache_unschedule(-1);
SELECT dashcache_unschedule(NULL);
\echo :SQLSTATE

-- who may
SET ROLE dashcache_stranger;
SELECT dashcache_schedule('1 day', 'd');
\echo :SQLSTATE
SELECT dashcache_alter_job(:job, '1 day');
\echo :SQLSTATE
SELECT dashcache_alter_job(:job, active => false);
SELECT dashcache_unschedule(:job);
\echo :SQLSTATE
SELECT dashcache_run_job(:job);
\echo :SQLSTATE
SELECT count(*) FROM dashcache_jobs;
\echo :SQLSTATE
SELECT dashcache.lost_cron_jobs();
\echo :SQLSTATE
SELECT dashcache.note_visits('d', now());
SELECT dashcache_schedule('1 day') IS NOT NULL AS of_nothing;
SET ROLE dashcache_monitor;
SELECT job = :job, schedule FROM dashcache_jobs WHERE job = :job;
SELECT dashcache_unschedule(:job);
SET ROLE dashcache_member;
SELECT dashcache_alter_job(:job, '8 days');
SELECT dashcache_run_job(:job) IS NOT NULL AS runs;
SELECT dashcache_unschedule(:tenant_job);
SELECT dashcache_unschedule(:tenant_job);
RESET ROLE;
-- whose job it is does not change with who alters it
SELECT role::regrole FROM dashcache.job WHERE id = :job;
-- there are no more settings in the way of it
SET dashcache.enabled = off;
SELECT dashcache_alter_job(:job, '9 days');
RESET dashcache.enabled;

-- the run of a job by hand
CREATE PROCEDURE wait_for_job(job_to_wait_for bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 6000 LOOP
		EXIT WHEN (SELECT last_status <> 'running' FROM dashcache_jobs WHERE job = job_to_wait_for);
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
CALL wait_for_job(:job);
SELECT last_run IS NOT NULL AS ran, last_status, next_run IS NOT NULL AS next FROM dashcache_jobs WHERE job = :job;
SELECT job = :job AS job, dashboard, planned, failed, last_error, finished_at >= started_at AS ended FROM dashcache_runs WHERE job = :job;
-- one that fails
INSERT INTO app.t VALUES (1, 1);
SELECT dashcache_schedule('1 year', 'd', 'no number') AS failing \gset
SELECT dashcache_run_job(:failing) IS NOT NULL AS runs;
CALL wait_for_job(:failing);
SELECT last_status FROM dashcache_jobs WHERE job = :failing;
SELECT failed, last_error FROM dashcache_runs WHERE job = :failing;

-- a dashboard takes its jobs with it; another one's stay, and those of all
SELECT dashcache_schedule('1 day', 'other') IS NOT NULL;
SELECT dashcache_drop('w', 'd');
SELECT count(*) > 1 AS there FROM dashcache_jobs WHERE dashboard = 'd';
BEGIN;
SELECT dashcache_drop(dashboard => 'd');
SELECT count(*) FROM dashcache_jobs WHERE dashboard = 'd';
ROLLBACK;
SELECT count(*) > 1 AS there FROM dashcache_jobs WHERE dashboard = 'd';
SELECT dashcache_drop(dashboard => 'd');
SELECT dashboard, schedule, tenant FROM dashcache_jobs;
BEGIN;
SELECT dashcache_schedule('1 hour') IS NOT NULL;
ROLLBACK;
SELECT count(*) FROM dashcache_jobs;
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'dashcache_jobs' ORDER BY ordinal_position;

SET client_min_messages = warning;
DROP VIEW jobs, turns;
DROP PROCEDURE wait_for_job;
DROP EXTENSION dashcache;
DROP SCHEMA app CASCADE;
DROP ROLE dashcache_member, dashcache_stranger, dashcache_monitor, dashcache_owner;
