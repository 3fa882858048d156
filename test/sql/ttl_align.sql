-- ttl and align: when an answer ends
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id bigint, at timestamptz);
SET client_min_messages = warning;
SET TimeZone = 'UTC';

-- ttl
SELECT dashcache_define('default', 'SELECT 1 AS one WHERE $1 = 1', 'ttl');
SELECT dashcache_define('second', 'SELECT 1 AS one WHERE $1 = 1', 'ttl', '1 second');
SELECT dashcache_define('day', 'SELECT 1 AS one WHERE $1 = 1', 'ttl', '1 day');
SELECT dashcache_define('fraction', 'SELECT 1 AS one WHERE $1 = 1', 'ttl', '0.25 seconds');
SELECT dashcache_define('for ever', 'SELECT 1 AS one WHERE $1 = 1', 'ttl', NULL);
SELECT dashcache_define('zero', 'SELECT 1 AS one WHERE $1 = 1', 'ttl', '0');
SELECT dashcache_define('zero days', 'SELECT 1 AS one WHERE $1 = 1', 'ttl', '0 days');
SELECT dashcache_define('century', 'SELECT 1 AS one WHERE $1 = 1', 'ttl', '100 years');
SELECT widget, source, reason, expires_at - generated_at AS lifetime FROM dashcache_fetch(1, 'ttl') WHERE widget <> 'century';
SELECT widget, expires_at = generated_at + interval '100 years' AS lifetime FROM dashcache_fetch(1, 'ttl', 'century');
SELECT widget, source, reason FROM dashcache_fetch(1, 'ttl', 'for ever');
SELECT widget, source, reason FROM dashcache_fetch(1, 'ttl', 'zero');
SELECT widget FROM dashcache_entries WHERE dashboard = 'ttl' ORDER BY 1;
-- out of range
SELECT dashcache_define('beyond', 'SELECT 1 AS one WHERE $1 = 1', 'beyond', '300000 years');
\echo :SQLSTATE
SELECT source, expires_at FROM dashcache_fetch(1, 'beyond');
\echo :SQLSTATE
-- expired: not served, and shown as such
SELECT pg_sleep(0.3);
SELECT widget, state FROM dashcache_entries WHERE dashboard = 'ttl' AND widget IN ('fraction', 'day') ORDER BY 1;
SELECT widget, source, reason FROM dashcache_fetch(1, 'ttl', 'fraction');
SELECT widget, source, reason FROM dashcache_fetch(1, 'ttl', 'fraction');

-- align: the end is the next boundary in the zone that was set when it was defined
CREATE FUNCTION next_boundary(at timestamptz, unit text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
	-- in the session's zone, by the clock on the wall; by elapsed time for minutes and hours
	SELECT CASE WHEN unit IN ('minute', 'hour')
		THEN (SELECT min(date_trunc(unit, at + i * interval '15 minutes' * CASE unit WHEN 'minute' THEN 1.0/15 ELSE 1 END))
			FROM generate_series(1, 8) i WHERE date_trunc(unit, at + i * interval '15 minutes' * CASE unit WHEN 'minute' THEN 1.0/15 ELSE 1 END) > at)
		ELSE (date_trunc(unit, at::timestamp) + ('1 ' || unit)::interval)::timestamptz END
$$;
CREATE FUNCTION check_align(zone text) RETURNS TABLE (unit text, "right" boolean, generated boolean) LANGUAGE plpgsql AS $$
DECLARE
	answer record;
BEGIN
	PERFORM set_config('TimeZone', zone, true);
	FOREACH unit IN ARRAY ARRAY['minute', 'hour', 'day', 'week', 'month'] LOOP
		SELECT * INTO answer FROM dashcache_fetch(1, zone, unit);
		"right" := answer.expires_at = next_boundary(answer.generated_at, unit);
		generated := answer.generated_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp();
		RETURN NEXT;
	END LOOP;
END $$;
CREATE PROCEDURE define_all(zone text) LANGUAGE plpgsql AS $$
DECLARE
	unit text;
BEGIN
	PERFORM set_config('TimeZone', zone, true);
	FOREACH unit IN ARRAY ARRAY['minute', 'hour', 'day', 'week', 'month'] LOOP
		PERFORM dashcache_define(unit, 'SELECT count(*) FROM t WHERE company_id = $1', zone, ttl => NULL, align => unit);
	END LOOP;
END $$;
CALL define_all('UTC');
CALL define_all('Europe/Berlin');
CALL define_all('America/New_York');
CALL define_all('Asia/Kathmandu');
CALL define_all('Australia/Lord_Howe');
CALL define_all('Pacific/Kiritimati');
CALL define_all('<+12:34>-12:34');
-- all of them are asked for in another zone
SELECT zone, unit, "right", generated FROM (VALUES ('UTC'), ('Europe/Berlin'), ('America/New_York'), ('Asia/Kathmandu'),
	('Australia/Lord_Howe'), ('Pacific/Kiritimati'), ('<+12:34>-12:34')) z (zone), check_align(zone) ORDER BY 1, 2;
SELECT dashboard, count(*), count(DISTINCT expires_at) AS ends FROM dashcache_entries WHERE dashboard NOT IN ('ttl', 'beyond') GROUP BY 1 HAVING count(*) <> 5;
-- Clocks that change soon, or have just changed: zones that are made up for it, in which the clock
-- goes forward or back by an hour or half an hour, some quarters of an hour from now or ago; some of them such
-- that midnight is half an hour away. The answer must not outlive the first moment (of all
-- minutes or quarters to come) at which date_trunc() gives something else.
CREATE FUNCTION zone(shift interval, quarters int, midnight boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	now timestamp := date_bin('15 minutes', now() AT TIME ZONE 'UTC', '2000-01-01');
	-- how far standard time is ahead of UTC; daylight saving time is further by "saved"
	ahead interval := CASE WHEN midnight THEN date_trunc('day', now + interval '12 hours') - now - interval '30 minutes' ELSE '0' END;
	saved interval := greatest(shift, -shift);
	-- in the local time that holds until then
	change timestamp := now + quarters * interval '15 minutes' + ahead + CASE WHEN shift > '0' THEN interval '0' ELSE saved END;
	other timestamp := change + interval '100 days';
BEGIN
	IF shift < '0' AND midnight THEN
		ahead := ahead - saved;
		change := change - saved;
	END IF;
	-- Jn is a day of a year without February 29
	IF to_char(change, 'MMDD') = '0229' THEN
		RETURN NULL;
	END IF;
	RETURN format(CASE WHEN shift > '0' THEN '<A>%1$s<B>%2$s,J%3$s/%4$s,J%5$s/0' ELSE '<A>%1$s<B>%2$s,J%5$s/0,J%3$s/%4$s' END,
		-ahead, -ahead - saved, extract(doy FROM make_date(2023, extract(month FROM change)::int, extract(day FROM change)::int)), change::time,
		extract(doy FROM make_date(2023, extract(month FROM other)::int, least(extract(day FROM other)::int, 28))));
END $$;
CREATE FUNCTION check_change(shift interval, quarters int, midnight boolean) RETURNS TABLE (unit text, changes boolean, "right" boolean) LANGUAGE plpgsql AS $$
DECLARE
	answer record;
	step interval;
	first timestamptz;
	made_up text;
BEGIN
	SET LOCAL IntervalStyle = 'postgres';
	made_up := zone(shift, quarters, midnight);
	PERFORM set_config('TimeZone', COALESCE(made_up, 'UTC'), true);
	changes := made_up IS NULL OR extract(timezone FROM now() - interval '2 hours') <> extract(timezone FROM now() + (quarters + 1) * interval '15 minutes');
	FOREACH unit IN ARRAY ARRAY['minute', 'hour', 'day', 'week', 'month'] LOOP
		PERFORM dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1', 'change', ttl => NULL, align => unit);
		SELECT * INTO answer FROM dashcache_fetch(1, 'change');
		step := CASE WHEN unit IN ('minute', 'hour') THEN interval '1 minute' ELSE interval '15 minutes' END;
		SELECT min(t) INTO first
		FROM generate_series(date_bin(step, answer.generated_at, '2000-01-01 00:00+00') + step, answer.generated_at + CASE unit
			WHEN 'minute' THEN interval '3 minutes' WHEN 'hour' THEN interval '3 hours' WHEN 'day' THEN interval '50 hours'
			WHEN 'week' THEN interval '200 hours' ELSE interval '800 hours' END, step) t
		WHERE date_trunc(unit, t) <> date_trunc(unit, answer.generated_at);
		"right" := answer.expires_at > answer.generated_at AND answer.expires_at <= first
			AND answer.expires_at > first - interval '1 hour';
		IF NOT "right" THEN
			RAISE WARNING '%, % from now, %: generated %, ends %, should %', made_up, quarters * interval '15 minutes', unit, answer.generated_at, answer.expires_at, first;
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT midnight, shift, count(*), bool_and(changes) AS changes, bool_and("right") AS "right"
FROM unnest(ARRAY[false, true]) midnight, unnest(ARRAY['1 hour', '-1 hour', '30 minutes', '-30 minutes']::interval[]) shift,
	unnest(ARRAY[-5, -3, -2, -1, 0, 1, 2, 3, 4, 6, 9, 40, 100]) quarters, check_change(shift, quarters, midnight)
GROUP BY 1, 2 ORDER BY 1, 2;

-- whichever comes first
SELECT dashcache_define('ttl first', 'SELECT 1 AS one WHERE $1 = 1', 'both', ttl => '1 millisecond', align => 'month');
SELECT dashcache_define('align first', 'SELECT 1 AS one WHERE $1 = 1', 'both', ttl => '100 days', align => 'minute');
SELECT dashcache_define('never', 'SELECT 1 AS one WHERE $1 = 1', 'both', ttl => '0', align => 'minute');
SELECT widget, reason, expires_at - generated_at <= interval '1 minute' AS first FROM dashcache_fetch(1, 'both');

-- a query that asks for the time: as of the start of the transaction
SELECT dashcache_define('clock', 'SELECT now() AS at WHERE $1 = 1', 'clock');
BEGIN;
SELECT pg_sleep(0.01);
SELECT (data ->> 'at')::timestamptz = now() AS now, generated_at = now() AS generated, source FROM dashcache_fetch(1, 'clock');
COMMIT;
SELECT (data ->> 'at')::timestamptz = generated_at AS as_generated, generated_at < now() AS earlier, source FROM dashcache_fetch(1, 'clock');

DROP EXTENSION dashcache;
DROP TABLE t;
DROP FUNCTION next_boundary, check_align, zone, check_change;
DROP PROCEDURE define_all;
