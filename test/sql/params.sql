-- $2: params
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id bigint, x int);
INSERT INTO t SELECT 1, i FROM generate_series(1, 10) i;
SET client_min_messages = warning;
SELECT dashcache_define('sum', 'SELECT sum(x) FROM t WHERE company_id = $1 AND x > COALESCE(($2->>''min'')::int, 0)');
SELECT dashcache_define('echo', 'SELECT $2 AS params WHERE $1 = 1', ttl => NULL);
SELECT dashcache_define('without', 'SELECT count(*) FROM t WHERE company_id = $1');

SELECT dashcache_get(1);
SELECT dashcache_get(1, params => '{"min": 5}');
SELECT dashcache_get(1, 'default', 'sum', '{"min": 8}');
-- one entry for what jsonb calls equal; a widget without $2 has one for all
SELECT widget, data, source FROM dashcache_fetch(1, params => '{"min":5}');
SELECT widget, data, source FROM dashcache_fetch(1, params => '{ "min" :  5, "min": 5 }');
SELECT widget, data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"b": 1, "a": 2}');
SELECT widget, data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"a": 2, "b": 1}');
SELECT widget, params FROM dashcache_entries ORDER BY 1, 2;
-- numbers that are equal, and written otherwise: the answer is that of the params given
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"n": 1}');
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"n": 1.0}');
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"n": 1.00}');
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"n": 1}');
-- nothing is nothing
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"n": null}');
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{}');
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"": ""}');
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"deep": {"a": [1, {"b": "☃ \" \\"}]}}');
SELECT data, source FROM dashcache_fetch(1, widget => 'echo', params => '{"deep": {"a": [1, {"b": "☃ \" \\"}]}}');
-- large: toasted, compressed, from a table
CREATE TABLE p (id int, params jsonb);
INSERT INTO p VALUES (1, jsonb_build_object('k', repeat('v', 300000))), (2, jsonb_build_object('k', repeat('v', 299999) || 'w'));
INSERT INTO p SELECT 3, jsonb_object_agg('key' || i, md5(i::text)) FROM generate_series(1, 5000) i;
SELECT id, f.data::jsonb -> 'params' = p.params AS right, f.source FROM p, LATERAL dashcache_fetch(1, widget => 'echo', params => p.params) f ORDER BY 1;
SELECT id, f.data::jsonb -> 'params' = p.params AS right, f.source FROM p, LATERAL dashcache_fetch(1, widget => 'echo', params => p.params) f ORDER BY 1;
-- a write changes them all
INSERT INTO t VALUES (1, 100);
SELECT widget, data, source, reason FROM dashcache_fetch(1, widget => 'sum');
SELECT widget, data, source, reason FROM dashcache_fetch(1, widget => 'sum', params => '{"min": 5}');
SELECT widget, data, source, reason FROM dashcache_fetch(1, widget => 'sum', params => '{"min": 8}');

-- not an object
SELECT dashcache_get(1, params => '[]');
\echo :SQLSTATE
SELECT dashcache_get(1, params => '[{"min": 5}]');
\echo :SQLSTATE
SELECT dashcache_get(1, params => '5');
\echo :SQLSTATE
SELECT dashcache_get(1, params => '"text"');
\echo :SQLSTATE
SELECT dashcache_get(1, params => 'null');
\echo :SQLSTATE
SELECT dashcache_get(1, params => 'true');
\echo :SQLSTATE
SELECT dashcache_get(1, params => NULL);
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(1, params => '[1, 2]');
\echo :SQLSTATE
-- also where no widget uses them
SELECT dashcache_get(1, widget => 'without', params => '[]');
\echo :SQLSTATE
-- an object that the query cannot use: its error, nothing cached
SELECT dashcache_get(1, widget => 'sum', params => '{"min": "many"}');
\echo :SQLSTATE
SELECT count(*) FROM dashcache_entries WHERE params ->> 'min' = 'many';

DROP EXTENSION dashcache;
DROP TABLE t, p;
