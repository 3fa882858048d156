-- The views, and what they count
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id bigint, x int);
CREATE TABLE u (company_id bigint, x int);
INSERT INTO t SELECT 1, i FROM generate_series(1, 100) i;
SET client_min_messages = warning;

-- their columns, in the order that is promised
SELECT attrelid::regclass AS view, string_agg(attname, ', ' ORDER BY attnum)
FROM pg_attribute WHERE attnum > 0 AND attrelid IN ('dashcache_entries'::regclass, 'dashcache_stats'::regclass,
	'dashcache_status'::regclass, 'dashcache_sources'::regclass, 'dashcache_changes'::regclass,
	'dashcache_memory'::regclass, 'dashcache_memory_estimate'::regclass)
GROUP BY 1 ORDER BY attrelid::regclass::text;
-- every object has a comment
SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
WHERE c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dashcache')
WHERE obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;

-- dashcache_status
SELECT version, preloaded, enabled, in_recovery, memory_total = pg_size_bytes(current_setting('dashcache.memory')) AS memory_total, memory_used BETWEEN 1 AND memory_total AS memory_used,
	stats_since <= now() AS stats_since, caching_paused_by
FROM dashcache_status;
SET dashcache.enabled = off;
SELECT enabled, caching_paused_by FROM dashcache_status;
RESET dashcache.enabled;

-- dashcache_stats and dashcache_entries
SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', result => 'value');
SELECT dashcache_define('never', 'SELECT count(*) FROM u WHERE company_id = $1', ttl => '0');
SELECT dashcache_define('broken', 'SELECT 1 / ($1::int - 1)', 'broken');
CREATE VIEW counts AS SELECT dashboard, widget, entries, bytes, hits, stale_hits, misses, bypasses, fills, errors, evictions, changes, round(hit_ratio::numeric, 2) AS hit_ratio
FROM dashcache_stats ORDER BY 1, 2;
SELECT * FROM counts;
SELECT dashcache_get(1);
SELECT dashcache_get(1);
SELECT dashcache_get(2);
SELECT dashcache_get(1, refresh => true);
SELECT * FROM counts;
INSERT INTO t VALUES (1, 1000);
SELECT dashboard, widget, tenant, params, state, hits, bytes, stored_bytes > bytes AS stored FROM dashcache_entries ORDER BY tenant;
SELECT dashcache_get(1);
SELECT dashboard, widget, tenant, params, state, hits, bytes, stored_bytes > bytes AS stored FROM dashcache_entries ORDER BY tenant;
SELECT dashcache_get(1, 'broken');
\echo :SQLSTATE
SELECT dashcache_get(3, 'broken');
BEGIN;
INSERT INTO t VALUES (3, 3);
SELECT dashcache_get(3);
ROLLBACK;
SET dashcache.enabled = off;
SELECT dashcache_get(1);
RESET dashcache.enabled;
SELECT * FROM counts;
SELECT widget, compute_ms_total > 0 AS total, compute_ms_mean > 0 AS mean, compute_ms_max > 0 AND compute_ms_max <= compute_ms_total AS max, saved_ms >= 0 AS saved FROM dashcache_stats ORDER BY 1;
SELECT last_used_at BETWEEN generated_at AND now() AS used, expires_at > now() AS expires, compute_ms > 0 AS compute_ms FROM dashcache_entries WHERE tenant = '1';
SELECT entries >= (SELECT count(*) FROM dashcache_entries) AS entries FROM dashcache_status;
-- zero them; entries are not counts
CREATE TEMPORARY TABLE since AS SELECT stats_since FROM dashcache_status;
SELECT dashcache_reset_stats();
SELECT * FROM counts;
SELECT s.stats_since > since.stats_since AS later FROM dashcache_status s, since;

-- dashcache_changes
CREATE VIEW changes AS SELECT source, tenant, operation, entries_hit, at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS now, pg_xact_status(xid) AS status FROM dashcache_changes;
SELECT count(*) > 0 FROM changes;
TRUNCATE u;
SELECT * FROM changes LIMIT 1;
INSERT INTO t VALUES (7, 1), (7, 2), (7, 3);
SELECT * FROM changes LIMIT 1;
SELECT dashcache_get(7);
DELETE FROM t WHERE company_id = 7;
SELECT * FROM changes LIMIT 1;
SELECT dashcache_get(7);
SELECT * FROM changes LIMIT 1;
-- what one transaction does is told once a tenant
BEGIN;
INSERT INTO t VALUES (8, 1);
UPDATE t SET x = 2 WHERE company_id = 8;
DELETE FROM t WHERE company_id = 8;
INSERT INTO u VALUES (8, 1);
COMMIT;
SELECT * FROM (SELECT * FROM changes LIMIT 2) q ORDER BY source::text;
SELECT count(DISTINCT xid) FROM (SELECT xid FROM dashcache_changes LIMIT 2) q;
SELECT count(*) AS before FROM dashcache_changes \gset
-- what touches nobody, and what is rolled back, is not
UPDATE t SET x = x WHERE company_id = 1;
INSERT INTO t VALUES (NULL, 1);
BEGIN;
INSERT INTO t VALUES (9, 1);
ROLLBACK;
SELECT count(*) - :before AS more FROM dashcache_changes;
-- long tenants are cut
CREATE TABLE named (name text);
SELECT dashcache_define('n', 'SELECT count(*) FROM named WHERE name = $1', 'named');
INSERT INTO named VALUES (repeat('ü', 1000));
SELECT length(tenant) BETWEEN 10 AND 999 AS cut, tenant = repeat('ü', length(tenant)) AS whole FROM dashcache_changes LIMIT 1;

-- dashcache_sources: what is wrong is said
SELECT widget, source, installed, problem FROM dashcache_sources WHERE dashboard = 'default';
ALTER TABLE t DISABLE TRIGGER dashcache_row;
ALTER TABLE u ENABLE TRIGGER dashcache_statement;
SELECT widget, source, installed, problem FROM dashcache_sources WHERE dashboard = 'default';
DROP TRIGGER dashcache_row ON t;
SELECT widget, source, installed, problem FROM dashcache_sources WHERE dashboard = 'default';
-- defining it again mends it
SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', result => 'value');
SELECT dashcache_define('never', 'SELECT count(*) FROM u WHERE company_id = $1', ttl => '0');
SELECT widget, source, installed, problem FROM dashcache_sources WHERE dashboard = 'default';
-- a table that is renamed, one that is dropped
ALTER TABLE u RENAME TO renamed;
SELECT widget, source, installed, problem FROM dashcache_sources WHERE dashboard = 'default';
DROP TABLE renamed;
SELECT widget, installed, problem FROM dashcache_sources WHERE dashboard = 'default';
SELECT dashcache_get(1, widget => 'never');
\echo :SQLSTATE
SELECT dashcache_drop('never');

-- the log at DEBUG1 tells each hit, miss, fill and invalidation
SELECT dashcache_purge(dashboard => 'default') IS NOT NULL AS purged;
SET client_min_messages = debug1;
SELECT dashcache_get(1) IS NOT NULL;
SELECT dashcache_get(1) IS NOT NULL;
RESET client_min_messages;

DROP EXTENSION dashcache CASCADE;
DROP TABLE t, named, since;
