-- dashcache_get() and dashcache_fetch(): arguments, overloads, reasons
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id bigint, x int);
INSERT INTO t VALUES (1, 10), (1, 20), (2, 30);
SET client_min_messages = warning;
SELECT dashcache_define('sum', 'SELECT sum(x) FROM t WHERE company_id = $1');
SELECT dashcache_define('rows', 'SELECT x FROM t WHERE company_id = $1 ORDER BY x');
SELECT dashcache_define('value', 'SELECT max(x) FROM t WHERE company_id = $1', result => 'value');

-- the tenant as a literal, text, numbers
SELECT dashcache_get('1');
SELECT dashcache_get('1'::text);
SELECT dashcache_get(1);
SELECT dashcache_get(1::smallint);
SELECT dashcache_get(1::bigint);
SELECT dashcache_get(' 1 ');
SELECT pg_typeof(dashcache_get(1));
PREPARE untyped AS SELECT dashcache_get($1);
EXECUTE untyped(1);
PREPARE typed(bigint) AS SELECT dashcache_get($1);
EXECUTE typed(1);
SELECT dashboard, widget, tenant, hits FROM dashcache_entries ORDER BY widget;

-- by position, by name, one widget
SELECT dashcache_get(1, 'default', 'rows');
SELECT dashcache_get(tenant => '2', widget => 'value');
SELECT dashcache_get(widget => 'sum', tenant => 2::bigint, dashboard => 'default', params => '{}', refresh => false, with_meta => false);
SELECT dashcache_get(3);
-- defaults are for those that are left out; null is not left out, but for a widget
SELECT dashcache_get(1, widget => NULL);
SELECT dashcache_get(1, refresh => NULL, with_meta => NULL);

-- with_meta
CREATE FUNCTION meta(answer json) RETURNS TABLE (members text, cached text, generated boolean, expires boolean, etag boolean)
LANGUAGE sql STABLE AS $$
	SELECT (SELECT string_agg(key, ',') FROM json_object_keys(answer) key),
		answer #>> '{_meta,cached}',
		(answer #>> '{_meta,generated_at}')::timestamptz BETWEEN now() - interval '1 minute' AND clock_timestamp(),
		(answer #>> '{_meta,expires_at}')::timestamptz - (answer #>> '{_meta,generated_at}')::timestamptz = interval '5 minutes',
		answer #>> '{_meta,etag}' <> ''
$$;
SELECT * FROM meta(dashcache_get(1, with_meta => true));
SELECT * FROM meta(dashcache_get(1, with_meta => true, refresh => true));
SELECT dashcache_purge(widget => 'value');
SELECT * FROM meta(dashcache_get(1, with_meta => true));
SELECT * FROM meta(dashcache_get(1, with_meta => true));
-- one widget becomes a member, too
SELECT * FROM meta(dashcache_get(1, widget => 'sum', with_meta => true));
SELECT dashcache_get(1, widget => 'sum', with_meta => true) -> 'sum';
SELECT json_object_keys(dashcache_get(1, widget => 'sum', with_meta => true) -> '_meta');
SELECT dashcache_get(1, widget => 'sum', with_meta => true)::text ~
	'^{"sum":{"sum":30},"_meta":{"cached":true,"generated_at":"[-0-9T:.+]+","expires_at":"[-0-9T:.+]+","etag":"[0-9a-f]+"}}$' AS as_written;
-- the oldest generation, the earliest end
SELECT dashcache_define('short', 'SELECT 1 AS one WHERE $1 = 1', 'ends', ttl => '1 minute');
SELECT dashcache_define('for ever', 'SELECT 1 AS one WHERE $1 = 1', 'ends', ttl => NULL);
SELECT dashcache_get(1, 'ends', 'for ever', with_meta => true) #>> '{_meta,expires_at}' IS NULL AS never;
SELECT pg_sleep(0.01);
SELECT dashcache_get(1, 'ends', 'short') IS NOT NULL;
SELECT (dashcache_get(1, 'ends', with_meta => true) #>> '{_meta,generated_at}')::timestamptz = min(generated_at) AS oldest,
	(dashcache_get(1, 'ends', with_meta => true) #>> '{_meta,expires_at}')::timestamptz = min(expires_at) AS earliest
FROM dashcache_fetch(1, 'ends');

-- etag: the bytes', whoever computed them
SELECT count(DISTINCT etag) FROM (
	SELECT etag FROM dashcache_fetch(1, widget => 'sum')
	UNION ALL SELECT etag FROM dashcache_fetch(1, widget => 'sum', refresh => true)) q;
SELECT count(DISTINCT m) FROM (
	SELECT dashcache_get(1, with_meta => true) #>> '{_meta,etag}' AS m
	UNION ALL SELECT dashcache_get(1, with_meta => true, refresh => true) #>> '{_meta,etag}') q;
CREATE TEMPORARY TABLE before AS SELECT widget, etag, dashcache_get(1, with_meta => true) #>> '{_meta,etag}' AS whole FROM dashcache_fetch(1);
INSERT INTO t VALUES (1, 0);
SELECT f.widget, f.reason, f.etag = b.etag AS same, dashcache_get(1, with_meta => true) #>> '{_meta,etag}' = b.whole AS whole_same
FROM dashcache_fetch(1) f JOIN before b USING (widget);
DELETE FROM t WHERE x = 0;
SELECT f.widget, f.reason, f.etag = b.etag AS same, dashcache_get(1, with_meta => true) #>> '{_meta,etag}' = b.whole AS whole_same
FROM dashcache_fetch(1) f JOIN before b USING (widget);
DROP TABLE before;

-- dashcache_fetch(): the columns
SELECT * FROM dashcache_fetch(1) LIMIT 0;
SELECT widget, data, source, reason, generated_at <= clock_timestamp() AS generated,
	expires_at - generated_at AS lifetime, compute_ms >= 0 AS compute_ms, etag ~ '^[0-9a-f]{16}$' AS etag
FROM dashcache_fetch(2);
SELECT widget, data FROM dashcache_fetch('2', 'default', 'rows', '{}', false);
SELECT widget, source, reason, compute_ms = lag(compute_ms) OVER () AS same_compute_ms
FROM (SELECT * FROM dashcache_fetch(2::bigint, widget => 'sum') UNION ALL SELECT * FROM dashcache_fetch('2'::text, widget => 'sum')) q;
-- in any place where a function can stand
SELECT c.id, f.widget, f.data FROM (VALUES (1), (2)) c (id), LATERAL dashcache_fetch(c.id) f WHERE f.widget <> 'rows' ORDER BY 1, 2;
SELECT (dashcache_fetch(1, widget => 'sum')).data;
SELECT sum((dashcache_get(id, widget => 'value'))::text::int) FROM generate_series(1, 2) id;

-- reasons
SELECT dashcache_purge() > 0;
SELECT source, reason FROM dashcache_fetch(1, widget => 'sum');
SELECT source, reason FROM dashcache_fetch(1, widget => 'sum');
INSERT INTO t VALUES (1, 1);
SELECT source, reason FROM dashcache_fetch(1, widget => 'sum');
SELECT source, reason FROM dashcache_fetch(1, widget => 'sum');
SELECT source, reason FROM dashcache_fetch(1, widget => 'sum', refresh => true);
SELECT source, reason FROM dashcache_fetch(1, widget => 'sum');
-- own writes: the transaction's own, also for a tenant it has not touched
BEGIN;
INSERT INTO t VALUES (1, 2);
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum', refresh => true);
ROLLBACK;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
-- a subtransaction's
BEGIN;
SAVEPOINT s;
INSERT INTO t VALUES (1, 2);
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
RELEASE s;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
COMMIT;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
-- a statement that found nothing to change is harmless
BEGIN;
UPDATE t SET x = 0 WHERE company_id = 99;
SELECT data FROM dashcache_fetch(1, widget => 'sum');
COMMIT;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
-- the same statement writes and reads
WITH w AS (INSERT INTO t VALUES (1, 1000) RETURNING x)
SELECT f.data, f.source FROM w, dashcache_fetch(1, widget => 'sum') f;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
DELETE FROM t WHERE x = 1000;

BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
COMMIT;
BEGIN READ ONLY;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
SELECT data, source, reason FROM dashcache_fetch(3, widget => 'sum');
SELECT data, source, reason FROM dashcache_fetch(3, widget => 'sum');
COMMIT;

SET dashcache.enabled = off;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
INSERT INTO t VALUES (1, 3);
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');
RESET dashcache.enabled;
SELECT data, source, reason FROM dashcache_fetch(1, widget => 'sum');

SELECT dashcache_define('never', 'SELECT count(*) FROM t WHERE company_id = $1', 'reasons', ttl => '0');
SELECT source, reason, generated_at IS NOT NULL AS generated FROM dashcache_fetch(1, 'reasons', 'never');
SELECT source, reason FROM dashcache_fetch(1, 'reasons', 'never');
SELECT source, reason FROM dashcache_fetch(1, 'reasons', 'never', refresh => true);
SELECT dashcache_define('moment', 'SELECT count(*) FROM t WHERE company_id = $1', 'reasons', ttl => '1 millisecond');
SELECT source, reason FROM dashcache_fetch(1, 'reasons', 'moment');
SELECT pg_sleep(0.01);
SELECT source, reason FROM dashcache_fetch(1, 'reasons', 'moment');
SELECT dashcache_define('large', 'SELECT repeat(''x'', 20000000) AS x WHERE $1 = 1', 'reasons', result => 'value');
SELECT length(data::text), source, reason FROM dashcache_fetch(1, 'reasons', 'large');
SELECT length(data::text), source, reason FROM dashcache_fetch(1, 'reasons', 'large');
SELECT length(data::text), source, reason FROM dashcache_fetch(2, 'reasons', 'large');
SELECT source, reason FROM dashcache_fetch(2, 'reasons', 'large');

-- cursors: what a portal sees is settled when it is opened
SELECT data, source, reason FROM dashcache_fetch(2, widget => 'sum');
BEGIN;
DECLARE c CURSOR FOR SELECT f.data, f.source FROM generate_series(1, 2) i, LATERAL dashcache_fetch(2 + 0 * i, widget => 'sum') f;
FETCH 1 FROM c;
INSERT INTO t VALUES (2, 500);
FETCH 1 FROM c;
COMMIT;
SELECT data, source, reason FROM dashcache_fetch(2, widget => 'sum');
-- a holdable cursor is read out at the commit
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT f.data FROM dashcache_fetch(2, widget => 'sum') f;
COMMIT;
FETCH ALL FROM c;
CLOSE c;
-- in functions of every kind
CREATE FUNCTION read_stable() RETURNS json STABLE LANGUAGE sql AS 'SELECT dashcache_get(1, widget => ''sum'')';
CREATE FUNCTION write_then_read() RETURNS SETOF json LANGUAGE plpgsql AS $$
BEGIN
	RETURN NEXT dashcache_get(1, widget => 'sum');
	INSERT INTO t VALUES (1, 7000);
	RETURN NEXT dashcache_get(1, widget => 'sum');
	RETURN NEXT read_stable();
END $$;
SELECT read_stable();
SELECT * FROM write_then_read();
SELECT dashcache_get(1, widget => 'sum');

DROP EXTENSION dashcache;
DROP TABLE t;
DROP FUNCTION meta, read_stable, write_then_read;
