-- The answer does not depend on who asks: settings, role, temporary tables
CREATE EXTENSION dashcache;
CREATE SCHEMA ours;
CREATE SCHEMA theirs;
CREATE TABLE ours.t (company_id bigint, at timestamptz, d date, iv interval, f float8, b bytea, m money, x xml, words text);
INSERT INTO ours.t VALUES (1, '2024-03-10 12:00+00', '2024-03-10', '1 year 2 days 03:04:05', 0.1::float8 + 0.2, '\x00ff41', 1.5, '<a/>', 'running dogs');
CREATE TABLE theirs.t (company_id bigint, at timestamptz, d date, iv interval, f float8, b bytea, m money, x xml, words text);
CREATE FUNCTION ours.name() RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT 'ours'$$;
CREATE FUNCTION theirs.name() RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT 'theirs'$$;
SET client_min_messages = warning;
SET search_path = ours, public;
SET TimeZone = 'Europe/Berlin';
SET DateStyle = 'ISO, DMY';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET default_text_search_config = 'english';
SELECT dashcache_define('columns', 'SELECT at, d, iv, f, b, m FROM t WHERE company_id = $1');
SELECT dashcache_define('texts', 'SELECT at::text AS at, d::text AS d, iv::text AS iv, f::text AS f, b::text AS b, to_char(at, ''TZ'') AS tz, at::date AS local, ''01/02/2024''::date AS literal,
	to_tsvector(words)::text AS words, name() AS function FROM t WHERE company_id = $1');
SELECT dashcache_define('now', 'SELECT count(*) FROM t WHERE company_id = $1 AND at < date_trunc(''day'', now())');
CREATE TEMPORARY TABLE expected AS SELECT widget, data::text, etag FROM dashcache_fetch(1);
SELECT widget, data FROM expected;

-- computed and stored by a session with other settings; then read by one with the first
SET search_path = theirs, pg_temp;
SET TimeZone = 'America/New_York';
SET DateStyle = 'German';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -5;
SET bytea_output = 'escape';
SET default_text_search_config = 'simple';
SET array_nulls = off;
SET quote_all_identifiers = on;
SET standard_conforming_strings = off;
SET transform_null_equals = on;
SET xmlbinary = 'hex';
SELECT f.widget, f.source, f.data::text = e.data AS "right", f.etag = e.etag AS same FROM public.dashcache_fetch(1) f JOIN pg_temp.expected e USING (widget);
SELECT f.widget, f.source, f.data::text = e.data AS "right", f.etag = e.etag AS same FROM public.dashcache_fetch(1, refresh => true) f JOIN pg_temp.expected e USING (widget);
SET dashcache.enabled = off;
SELECT f.widget, f.source, f.data::text = e.data AS "right", f.etag = e.etag AS same FROM public.dashcache_fetch(1) f JOIN pg_temp.expected e USING (widget);
RESET dashcache.enabled;
-- and the session has its own afterwards, also after an error
SELECT public.dashcache_get('x');
SHOW TimeZone;
SHOW search_path;
SELECT current_user = session_user AS user, '2024-03-10 12:00+00'::timestamptz, '1 day'::interval;
BEGIN;
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT f.widget, f.source, f.data::text = e.data AS "right" FROM public.dashcache_fetch(1, refresh => true) f JOIN pg_temp.expected e USING (widget);
SHOW TimeZone;
COMMIT;
SHOW TimeZone;
RESET ALL;
SET client_min_messages = warning;

-- a temporary table of the same name, a table earlier in the path, an operator and a function of one's own
CREATE TEMPORARY TABLE t (company_id bigint, at timestamptz, d date, iv interval, f float8, b bytea, m money, x xml, words text);
INSERT INTO t VALUES (1);
SELECT f.widget, f.source, f.data::text = e.data AS "right" FROM dashcache_fetch(1, refresh => true) f JOIN expected e USING (widget);
SET search_path = pg_temp, theirs, ours, public;
SELECT f.widget, f.source, f.data::text = e.data AS "right" FROM dashcache_fetch(1, refresh => true) f JOIN expected e USING (widget);
RESET search_path;
-- defining while a temporary table shadows takes the permanent one, or refuses
SET search_path = ours, public;
SELECT dashcache_define('shadowed', 'SELECT count(*) FROM t WHERE company_id = $1', 'shadowed');
SELECT source::regclass FROM dashcache_sources WHERE dashboard = 'shadowed';
RESET search_path;
DROP TABLE pg_temp.t;

-- the settings that are pinned, as seen in the widget; those of the session that defines
SELECT split_part(s, '=', 1) AS setting FROM dashcache.widget, unnest(settings) s WHERE name = 'columns' AND s !~ '^lc_' ORDER BY 1;
SELECT s FROM dashcache.widget, unnest(settings) s WHERE name = 'columns' AND s ~* '^(search_path|timezone=|row_security)' ORDER BY 1;

-- the settings of dashcache
SELECT name, boot_val, unit, context, vartype, min_val FROM pg_settings WHERE name LIKE 'dashcache.%' AND name IN ('dashcache.enabled', 'dashcache.memory', 'dashcache.log_min_duration') ORDER BY 1;
SET dashcache.memory = '1GB';
\echo :SQLSTATE
SET dashcache.enabled = maybe;
\echo :SQLSTATE
SET dashcache.no_such_setting = 1;
\echo :SQLSTATE

-- read_only, jit, planner settings and statement_timeout are the caller's
SET enable_seqscan = off;
SET work_mem = '64kB';
SET default_transaction_read_only = on;
SELECT widget, source FROM dashcache_fetch(1, refresh => true);
RESET ALL;

DROP EXTENSION dashcache;
DROP TABLE expected;
SET client_min_messages = warning;
DROP SCHEMA ours, theirs CASCADE;
