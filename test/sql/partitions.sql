-- Partitions and inheritance: whatever way a row takes, its tenant is touched.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION dashcache;
CREATE SCHEMA parts;
SET search_path = parts, public;

CREATE TABLE event (dropped int, tenant int, at date, n int) PARTITION BY RANGE (at);
ALTER TABLE event DROP dropped;
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
-- columns in another order
CREATE TABLE event_2 (n int, at date, tenant int);
ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM ('2026-03-01') TO ('2026-04-01') PARTITION BY LIST (tenant);
CREATE TABLE event_3_1 PARTITION OF event_3 FOR VALUES IN (1);
CREATE TABLE event_3_2 PARTITION OF event_3 FOR VALUES IN (2);

CREATE TABLE base (tenant int, n int);
CREATE TABLE child (extra int) INHERITS (base);

SELECT dashcache_define('event', 'SELECT count(*) AS n, sum(n) AS v FROM event WHERE tenant = $1');
SELECT dashcache_define('february', 'SELECT count(*) AS n FROM event_2 WHERE tenant = $1');
SELECT dashcache_define('base', 'SELECT count(*) AS n FROM base WHERE tenant = $1');
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger
WHERE tgname LIKE 'dashcache%' ORDER BY tgrelid::regclass::text, tgname;

-- both tenants; what is said is what the tables hold
CREATE FUNCTION load() RETURNS TABLE (tenant int, widget text, data text, source text, reason text, same boolean)
LANGUAGE sql AS $$
	SELECT t, f.widget, f.data::text, f.source, f.reason,
		(f.data->>'n')::int = CASE f.widget
			WHEN 'event' THEN (SELECT count(*) FROM event e WHERE e.tenant = t)
			WHEN 'february' THEN (SELECT count(*) FROM event_2 e WHERE e.tenant = t)
			ELSE (SELECT count(*) FROM base b WHERE b.tenant = t) END
	FROM generate_series(1, 2) t, LATERAL dashcache_fetch(t) f
$$;
CREATE FUNCTION changed() RETURNS TABLE (tenant int, widget text, data text, source text, reason text, same boolean)
LANGUAGE sql AS $$ SELECT * FROM load() WHERE source <> 'cache' OR NOT same $$;
SELECT * FROM load();
SELECT * FROM changed();

\echo by the parent
INSERT INTO event (tenant, at, n) VALUES (1, '2026-01-02', 1), (2, '2026-03-02', 2);
SELECT * FROM changed();
\echo straight to a partition
INSERT INTO event_2 (tenant, at, n) VALUES (1, '2026-02-02', 4);
SELECT * FROM changed();
COPY event_3_2 (tenant, at, n) FROM stdin;
2	2026-03-03	8
\.
SELECT * FROM changed();
\echo from one partition to another
UPDATE event SET at = '2026-02-03' WHERE at = '2026-01-02';
SELECT * FROM changed();
\echo and to another tenant
UPDATE event SET tenant = 1 WHERE at = '2026-03-03';
SELECT * FROM changed();
DELETE FROM event_3_1;
SELECT * FROM changed();
\echo own writes
BEGIN;
INSERT INTO event_2 (tenant, at, n) VALUES (1, '2026-02-04', 16);
SELECT tenant, widget, source, reason, same FROM load() WHERE widget <> 'base';
ROLLBACK;
SELECT * FROM changed();
\echo own writes by the parent, for who reads a partition or a child
BEGIN;
INSERT INTO event (tenant, at, n) VALUES (1, '2026-02-04', 16);
SELECT tenant, widget, source, reason, same FROM load() WHERE widget = 'february';
ROLLBACK;
BEGIN;
SELECT dashcache_define('child', 'SELECT count(*) AS n FROM child WHERE tenant = $1', 'children');
INSERT INTO child VALUES (1, 7, 7);
COMMIT;
SELECT data FROM dashcache_fetch(1, 'children');
BEGIN;
UPDATE base SET tenant = 2 WHERE n = 7;
SELECT data, source, reason FROM dashcache_fetch(1, 'children');
ROLLBACK;
SELECT data, source, reason, (SELECT count(*) FROM child WHERE tenant = 1) FROM dashcache_fetch(1, 'children');
SELECT dashcache_drop(dashboard => 'children');
DELETE FROM child;
SELECT count(*) FROM load();
\echo a new partition
CREATE TABLE event_4 PARTITION OF event FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
SELECT * FROM changed();
INSERT INTO event_4 VALUES (2, '2026-04-01', 1);
SELECT * FROM changed();
TRUNCATE event_4;
SELECT * FROM changed();
INSERT INTO event_4 VALUES (2, '2026-04-01', 1);
SELECT count(*) FROM load();
\echo detached, written to, attached
ALTER TABLE event DETACH PARTITION event_4;
SELECT * FROM changed();
INSERT INTO event_4 VALUES (2, '2026-04-02', 1);
SELECT * FROM changed();
ALTER TABLE event ATTACH PARTITION event_4 FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
SELECT * FROM changed();
ALTER TABLE event DETACH PARTITION event_4 CONCURRENTLY;
SELECT * FROM changed();
\echo dropped
DROP TABLE event_3_2;
SELECT * FROM changed();
TRUNCATE event;
SELECT * FROM changed();

\echo children
INSERT INTO child VALUES (1, 1, 1);
SELECT * FROM changed();
CREATE TABLE later () INHERITS (base);
INSERT INTO later VALUES (2, 2);
SELECT * FROM changed();
CREATE TABLE stranger (n int, tenant int);
INSERT INTO stranger VALUES (3, 2);
SELECT * FROM changed();
ALTER TABLE stranger INHERIT base;
SELECT * FROM changed();
UPDATE base SET tenant = 1 WHERE n = 3;
SELECT * FROM changed();
ALTER TABLE stranger NO INHERIT base;
SELECT * FROM changed();
TRUNCATE ONLY base;
SELECT count(*) FROM load();
TRUNCATE child;
SELECT * FROM changed();

\echo a foreign table among the partitions
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE event_away (n int, at date, tenant int) SERVER files OPTIONS (filename '/dev/null');
SELECT dashcache_define('away', 'SELECT count(*) FROM event WHERE tenant = $1', 'away');
SELECT source, invalidation, problem FROM dashcache_sources WHERE dashboard = 'away';
ALTER TABLE event ATTACH PARTITION event_away FOR VALUES FROM ('2026-06-01') TO ('2026-07-01');
SELECT source, invalidation, problem FROM dashcache_sources WHERE dashboard = 'away';
SELECT data, source FROM dashcache_fetch(1, 'away');
ALTER TABLE event DETACH PARTITION event_away;
DROP EXTENSION file_fdw CASCADE;
SELECT source, invalidation, problem FROM dashcache_sources WHERE dashboard = 'away';
SELECT dashcache_drop(dashboard => 'away');
SELECT count(*) FROM load();

-- a partition that is read by itself, too, can be detached and attached again
SELECT dashcache_define('alone', 'SELECT sum(n) AS n FROM event_2 WHERE tenant = $1');
ALTER TABLE event DETACH PARTITION event_2;
ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger
WHERE tgrelid = 'event_2'::regclass AND tgname LIKE 'dashcache%' ORDER BY 2;
SELECT dashcache_drop('alone');
SELECT count(*) FROM load();

-- the triggers go with those that need them
SELECT dashcache_drop('event');
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger
WHERE tgname LIKE 'dashcache%' ORDER BY tgrelid::regclass::text, tgname;
INSERT INTO event_2 (tenant, at, n) VALUES (1, '2026-02-02', 4);
SELECT * FROM changed();
SELECT dashcache_drop();
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname LIKE 'dashcache%';
DROP SCHEMA parts CASCADE;
DROP EXTENSION dashcache;
