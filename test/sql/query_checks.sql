-- Queries that cannot be a widget, and where in them the reason is
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id bigint, x int, y text);
CREATE TEMPORARY TABLE temporary_t (company_id bigint);
CREATE SEQUENCE s;
CREATE FUNCTION volatile_function(bigint) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT $1';
CREATE FUNCTION volatile_set(bigint) RETURNS SETOF bigint LANGUAGE sql VOLATILE AS 'SELECT $1';
CREATE FUNCTION stable_function(bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM t WHERE company_id = $1';
CREATE FUNCTION immutable_function(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE VIEW volatile_view AS SELECT company_id, random() AS r FROM t;
CREATE VIEW temporary_view AS SELECT * FROM temporary_t;

-- not one SELECT
SELECT dashcache_define('w', '');
\echo :SQLSTATE
SELECT dashcache_define('w', ' ; -- nothing');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1; SELECT 2');
\echo :SQLSTATE
SELECT dashcache_define('w', 'INSERT INTO t VALUES ($1)');
\echo :SQLSTATE
SELECT dashcache_define('w', 'UPDATE t SET x = 1 WHERE company_id = $1 RETURNING x');
\echo :SQLSTATE
SELECT dashcache_define('w', 'DELETE FROM t WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'MERGE INTO t USING (SELECT $1::bigint AS c) s ON s.c = t.company_id WHEN MATCHED THEN DELETE');
\echo :SQLSTATE
SELECT dashcache_define('w', 'EXPLAIN SELECT 1 WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'TRUNCATE t');
\echo :SQLSTATE
SELECT dashcache_define('w', 'COPY t TO STDOUT');
\echo :SQLSTATE
SELECT dashcache_define('w', 'BEGIN');
\echo :SQLSTATE
SELECT dashcache_define('w', 'CALL p($1)');
\echo :SQLSTATE
-- writes nevertheless
SELECT dashcache_define('w', 'SELECT x INTO u FROM t WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'WITH gone AS (DELETE FROM t WHERE company_id = $1 RETURNING x)
SELECT count(*) FROM gone');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT x FROM t WHERE company_id = $1 FOR UPDATE');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM (SELECT x FROM t WHERE company_id = $1 FOR SHARE) q');
\echo :SQLSTATE

-- parameters
SELECT dashcache_define('w', 'SELECT count(*) FROM t');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT $2');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1 AND x = $3');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1 AND x = $0');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1 AND x = $2');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1 AND y = $1');
\echo :SQLSTATE

-- volatile functions, wherever they are
SELECT dashcache_define('w', 'SELECT random() FROM t WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*)
FROM t
WHERE company_id = $1 AND x > random()');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT volatile_function($1)');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT * FROM volatile_set($1)');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 FROM t WHERE company_id = $1 ORDER BY random()');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT (SELECT clock_timestamp() WHERE $1 = 1)');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT nextval(''s'') WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FILTER (WHERE random() > 0.5) FROM t WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM volatile_view WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'WITH r AS (SELECT random()) SELECT * FROM r WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT pg_sleep(0) WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM t TABLESAMPLE SYSTEM (10) WHERE company_id = $1');
\echo :SQLSTATE

-- what belongs to a session
SELECT dashcache_define('w', 'SELECT session_user WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT current_setting(''app.x'') WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT pg_backend_pid() WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM temporary_t WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM temporary_view WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1 AND x IN (SELECT company_id FROM pg_temp.temporary_t)');
\echo :SQLSTATE

-- what is wrong with any query
SELECT dashcache_define('w', 'SELEKT 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT (1 WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM nowhere WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT nothing FROM t WHERE company_id = $1');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1 AND x = ''a''');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT count(*), y FROM t WHERE company_id = $1');
\echo :SQLSTATE

-- other arguments
SELECT dashcache_define(NULL, 'SELECT 1 WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('', 'SELECT 1 WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define(repeat('n', 64), 'SELECT 1 WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define(repeat('ö', 32), 'SELECT 1 WHERE $1 = 1');
\echo :SQLSTATE
SELECT dashcache_define('w', NULL);
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', NULL);
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', '');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', repeat('n', 64));
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', ttl => '-1 second');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', ttl => '1 month -31 days');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', align => 'year');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', align => '');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', max_stale => NULL);
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', max_stale => '-1 day');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', result => 'table');
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', tags => '{a,NULL}');
\echo :SQLSTATE

-- nothing of all that has been defined
SELECT count(*) FROM dashcache.dashboard;
SELECT count(*) FROM dashcache.widget;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dashcache%';

-- what is allowed
SELECT dashcache_define('stable', 'SELECT stable_function($1)');
SELECT dashcache_define('immutable', 'SELECT immutable_function($1)');
SELECT dashcache_define('clock', 'SELECT count(*) FROM t WHERE company_id = $1 AND now() > current_date');
SELECT dashcache_define('recursive', 'WITH RECURSIVE r AS (SELECT $1::bigint AS n UNION ALL SELECT n - 1 FROM r WHERE n > 0) SELECT count(*) FROM r');
SELECT dashcache_define('lateral', 'SELECT q.n FROM t, LATERAL (SELECT t.x + 1 AS n) q WHERE t.company_id = $1');
SELECT dashcache_define('window', 'SELECT x, row_number() OVER (ORDER BY x) FROM t WHERE company_id = $1');
SELECT dashcache_define('sample', 'SELECT count(*) FROM t TABLESAMPLE BERNOULLI (100) REPEATABLE (1) WHERE company_id = $1');
SELECT dashcache_define('values', 'VALUES ($1::int)');
SELECT dashcache_define('table', 'SELECT * FROM (TABLE t) q WHERE company_id = $1');
SELECT dashcache_define('empty row', 'SELECT FROM t WHERE company_id = $1');
SELECT dashcache_define('text', 'SELECT $1 AS tenant');
SELECT widget, data FROM dashcache_fetch(1);
-- tenants of strange types
SELECT dashcache_define('array', 'SELECT count(*) FROM t WHERE company_id = ANY ($1::bigint[])', 'strange');
SELECT dashcache_define('row', 'SELECT count(*) FROM t WHERE company_id = ($1::t).company_id', 'strange');
INSERT INTO t VALUES (1, 1, 'a'), (2, 1, 'b');
SELECT data, source FROM dashcache_fetch('{1,2}', 'strange', 'array');
SELECT data, source FROM dashcache_fetch('{1,2}', 'strange', 'array');
SELECT data, source FROM dashcache_fetch('(1,,)', 'strange', 'row');
SELECT data, source FROM dashcache_fetch('(1,,)', 'strange', 'row');
SELECT dashcache_get(1, 'strange', 'row');
\echo :SQLSTATE

DROP EXTENSION dashcache;
DROP VIEW volatile_view, temporary_view;
DROP TABLE t, temporary_t;
DROP SEQUENCE s;
DROP FUNCTION volatile_function, volatile_set, stable_function, immutable_function;
