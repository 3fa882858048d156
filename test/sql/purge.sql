-- dashcache_purge(): what it drops, and when
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id bigint, uuid uuid, name text);
SET client_min_messages = warning;
SELECT dashcache_define('a', 'SELECT count(*) FROM t WHERE company_id = $1', 'one', tags => '{red,all}');
SELECT dashcache_define('b', 'SELECT count(*) FROM t WHERE company_id = $1', 'one', tags => '{blue,all}');
SELECT dashcache_define('a', 'SELECT count(*) FROM t WHERE company_id = $1 AND $2 IS NOT NULL', 'two', tags => '{blue,all}');
SELECT dashcache_define('c', 'SELECT count(*) FROM t WHERE company_id = $1', 'two', tags => '{}');
-- Fills all, purges, shows what is left.
CREATE FUNCTION fill() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(dashcache_get(i, 'one')) + count(dashcache_get(i, 'two')) + count(dashcache_get(i, 'two', 'a', '{"p": 1}')) FROM generate_series(1::bigint, 3) i
$$;
CREATE VIEW kept AS
SELECT dashboard, widget, string_agg(tenant || CASE WHEN params <> '{}' THEN 'p' ELSE '' END, ' ' ORDER BY tenant, params) AS tenants FROM dashcache_entries GROUP BY 1, 2 ORDER BY 1, 2;
SELECT fill();
SELECT * FROM kept;
\set show 'SELECT * FROM kept; SELECT fill() > 0 AS filled;'

SELECT dashcache_purge();
:show
SELECT dashcache_purge('2');
:show
SELECT dashcache_purge(2::bigint);
:show
SELECT dashcache_purge(dashboard => 'one');
:show
SELECT dashcache_purge(dashboard => 'one', widget => 'a');
:show
SELECT dashcache_purge(widget => 'a');
:show
SELECT dashcache_purge(tag => 'red');
:show
SELECT dashcache_purge(tag => 'blue');
:show
SELECT dashcache_purge(3, tag => 'all');
:show
SELECT dashcache_purge(1, 'two');
:show
SELECT dashcache_purge(1, 'two', 'a');
:show
SELECT dashcache_purge(1, 'two', 'a', 'blue');
:show
SELECT dashcache_purge(ARRAY['1', '3']);
:show
SELECT dashcache_purge('{1,3}'::text[], 'one', 'b', 'all');
:show
SELECT dashcache_purge(tenants => ARRAY['2', '2', '7'], dashboard => 'two');
:show
-- nothing that matches
SELECT dashcache_purge('{}'::text[]);
SELECT dashcache_purge(99);
SELECT dashcache_purge(tag => 'green');
SELECT dashcache_purge(dashboard => 'two', tag => 'red');
SELECT dashcache_purge(widget => 'nobody');
SELECT dashcache_purge('1', NULL, NULL, '');
-- null is "not given"
SELECT dashcache_purge(NULL::text[], 'one', NULL, NULL);
:show
SELECT dashcache_purge(NULL::bigint, NULL, 'c');
:show
SELECT dashcache_purge(NULL::uuid, NULL, 'c');
:show
-- a tenant as it is spelled otherwise
SELECT dashcache_purge(' 01 ', 'one');
:show

-- errors
SELECT dashcache_purge(dashboard => 'nowhere');
\echo :SQLSTATE
SELECT dashcache_purge(dashboard => 'one', widget => 'c');
\echo :SQLSTATE
SELECT dashcache_purge('one', 'one');
\echo :SQLSTATE
SELECT dashcache_purge(ARRAY['1', NULL]);
\echo :SQLSTATE
SELECT dashcache_purge(ARRAY['1', 'x'], 'one');
\echo :SQLSTATE
SELECT * FROM kept;

-- dashboards whose tenants are of other types: a tenant that cannot be one of theirs has no entries there
SELECT dashcache_define('u', 'SELECT count(*) FROM t WHERE uuid = $1', 'uuid');
SELECT dashcache_define('n', 'SELECT count(*) FROM t WHERE name = $1', 'name');
SELECT dashcache_get('00000000-0000-0000-0000-000000000001'::uuid, 'uuid'), dashcache_get('1', 'name'), dashcache_get('one', 'name');
SELECT dashcache_purge(1);
:show
SELECT dashcache_purge('00000000-0000-0000-0000-000000000001'::uuid);
SELECT dashcache_purge('one');
SELECT * FROM kept;

-- at once, whether the transaction commits or not
SELECT fill() > 0;
BEGIN;
SELECT dashcache_purge(dashboard => 'one');
SELECT * FROM kept;
ROLLBACK;
SELECT * FROM kept;
-- until it has ended nothing is stored from what was before; then it is
BEGIN;
SELECT dashcache_purge(dashboard => 'one');
SELECT widget, source, reason FROM dashcache_fetch(1, 'one');
SELECT widget, source, reason FROM dashcache_fetch(1, 'two');
COMMIT;
SELECT widget, source, reason FROM dashcache_fetch(1, 'one');
SELECT widget, source, reason FROM dashcache_fetch(1, 'one');
-- along with the change that is its reason
BEGIN;
INSERT INTO t VALUES (1);
SELECT dashcache_purge(1) > 0;
COMMIT;
SELECT widget, data, source FROM dashcache_fetch(1, 'one');
SELECT widget, data, source FROM dashcache_fetch(1, 'one');

DROP EXTENSION dashcache CASCADE;
DROP TABLE t;
DROP FUNCTION fill;
