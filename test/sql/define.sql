-- dashcache_define() and dashcache_drop(): what they say, what they put in place
CREATE EXTENSION dashcache;
CREATE TABLE company (id bigint PRIMARY KEY, name text);
CREATE TABLE conversation (id bigint PRIMARY KEY, company_id bigint, status text);
CREATE TABLE message (id bigint PRIMARY KEY, conversation_id bigint, body text, rating int);
CREATE VIEW open_conversation AS SELECT * FROM conversation WHERE status = 'open';
INSERT INTO company VALUES (1, 'one'), (2, 'two');
INSERT INTO conversation VALUES (1, 1, 'open'), (2, 1, 'closed'), (3, 2, 'open');
INSERT INTO message VALUES (1, 1, 'hello', 5), (2, 1, 'bye', 3), (3, 3, 'hi', NULL);

-- The triggers of dashcache, and of which tables.
CREATE VIEW triggers AS
SELECT tgrelid::regclass AS "table", tgname, tgfoid::regproc AS function, tgenabled AS enabled
FROM pg_trigger WHERE tgname LIKE 'dashcache%' ORDER BY 1, 2;

-- a condition on a column, and through an equality of a join
SELECT dashcache_define('conversations', 'SELECT count(*) FROM conversation WHERE company_id = $1');
SELECT dashcache_define('messages',
	'SELECT count(*), avg(m.rating) FROM message m JOIN conversation c ON c.id = m.conversation_id WHERE c.company_id = $1');
SELECT dashcache_define('same', 'SELECT c.name FROM company c, conversation v WHERE c.id = v.company_id AND v.company_id = $1');
-- no key, no table, a view, the same table twice, a subquery, whole rows
SELECT dashcache_define('everybody', 'SELECT count(*) FROM conversation WHERE company_id <> $1');
SELECT dashcache_define('nothing', 'SELECT $1::bigint');
SELECT dashcache_define('view', 'SELECT count(*) FROM open_conversation WHERE company_id = $1');
SELECT dashcache_define('twice', 'SELECT (SELECT count(*) FROM conversation WHERE company_id = $1 AND status = ''open''), (SELECT max(id) FROM conversation WHERE company_id = $1)');
SELECT dashcache_define('whole', 'SELECT c FROM conversation c WHERE company_id = $1');
SELECT dashcache_define('outer', 'SELECT c.id, count(m.id) FROM conversation c LEFT JOIN message m ON m.conversation_id = c.id WHERE c.company_id = $1 GROUP BY c.id');
-- a table that cannot be watched
SELECT dashcache_define('catalog', 'SELECT count(*) FROM pg_class WHERE oid = $1');
CREATE MATERIALIZED VIEW total AS SELECT company_id, count(*) FROM conversation GROUP BY 1;
SELECT dashcache_define('matview', 'SELECT count FROM total WHERE company_id = $1');
-- a trailing semicolon, comments
SELECT dashcache_define('semicolon', 'SELECT 1 -- one
WHERE $1 = 1 /* two */ ; ');

SELECT dashboard, widget, source, tenant_key, columns, invalidation, installed, problem FROM dashcache_sources;
SELECT * FROM triggers;
SELECT widget, data FROM dashcache_fetch(1::bigint);

-- row, rows and value
SELECT dashcache_drop();
SELECT count(*) FROM triggers;
SET client_min_messages = warning;
SELECT dashcache_define(name, query, 'results') FROM (VALUES
	('aggregate', 'SELECT count(*) FROM conversation WHERE company_id = $1'),
	('group', 'SELECT count(*) FROM conversation WHERE company_id = $1 GROUP BY status ORDER BY 1'),
	('plain', 'SELECT id FROM conversation WHERE company_id = $1 ORDER BY id'),
	('limit 1', 'SELECT id FROM conversation WHERE company_id = $1 ORDER BY id LIMIT 1'),
	('limit 0', 'SELECT id FROM conversation WHERE company_id = $1 LIMIT 0'),
	('limit 2', 'SELECT id FROM conversation WHERE company_id = $1 ORDER BY id LIMIT 2'),
	('limit null', 'SELECT id FROM conversation WHERE company_id = $1 ORDER BY id LIMIT NULL'),
	('fetch first', 'SELECT id FROM conversation WHERE company_id = $1 ORDER BY id FETCH FIRST ROW ONLY'),
	('with ties', 'SELECT company_id FROM conversation WHERE company_id = $1 ORDER BY 1 FETCH FIRST 1 ROW WITH TIES'),
	('no from', 'SELECT $1::bigint AS tenant'),
	('values', 'VALUES ($1::bigint), (2)'),
	('union', 'SELECT $1::bigint AS x UNION ALL SELECT 2'),
	('having', 'SELECT 1 AS one FROM conversation WHERE company_id = $1 HAVING count(*) > 100'),
	('set', 'SELECT generate_series(1, 3) AS n WHERE $1 = 1'),
	('set of aggregate', 'SELECT generate_series(1, count(*)) AS n FROM conversation WHERE company_id = $1'),
	('grouping sets', 'SELECT status, count(*) FROM conversation WHERE company_id = $1 GROUP BY GROUPING SETS ((status), ()) ORDER BY 1 NULLS LAST'),
	('empty group', 'SELECT count(*) FROM conversation WHERE company_id = $1 GROUP BY ()')) AS w (name, query);
SELECT widget, data FROM dashcache_fetch(1::bigint, 'results');
SELECT widget, data FROM dashcache_fetch(9::bigint, 'results');
SELECT name, result FROM dashcache.widget WHERE dashboard = 'results' ORDER BY id;

SELECT dashcache_define('row', 'SELECT id FROM conversation WHERE company_id = $1', 'explicit', result => 'row');
SELECT dashcache_define('rows', 'SELECT count(*) FROM conversation WHERE company_id = $1', 'explicit', result => 'rows');
SELECT dashcache_define('value', 'SELECT name FROM company WHERE id = $1', 'explicit', result => 'value');
SELECT dashcache_get(2::bigint, 'explicit');
SELECT dashcache_get(3::bigint, 'explicit');
-- more rows or columns than the result has room for
SELECT dashcache_get(1::bigint, 'explicit');
\echo :SQLSTATE
SELECT dashcache_define('value', 'SELECT id FROM conversation WHERE company_id = $1', 'explicit', result => 'value');
SELECT dashcache_get(1::bigint, 'explicit', 'value');
\echo :SQLSTATE
SELECT dashcache_define('value', 'SELECT id, name FROM company WHERE id = $1', 'explicit', result => 'value');
\echo :SQLSTATE
RESET client_min_messages;

-- again: replaces it, keeps its place, drops its entries
SELECT dashcache_define('a', 'SELECT 1 AS v FROM company WHERE id = $1', 'again');
SELECT dashcache_define('b', 'SELECT 2 AS v FROM message WHERE id = $1', 'again');
SELECT dashcache_get(1::bigint, 'again');
SELECT widget, source, reason FROM dashcache_fetch(1::bigint, 'again');
SELECT dashcache_define('a', 'SELECT 3 AS v FROM company WHERE id = $1', 'again');
SELECT widget, tenant FROM dashcache_entries WHERE dashboard = 'again' ORDER BY 1;
SELECT widget, data, source, reason FROM dashcache_fetch(1::bigint, 'again');
-- the same once more is a new definition, too
SELECT dashcache_define('a', 'SELECT 3 AS v FROM company WHERE id = $1', 'again');
SELECT widget, data, source, reason FROM dashcache_fetch(1::bigint, 'again');
-- with another source the old one's triggers go
SELECT "table", tgname FROM triggers;
SELECT dashcache_drop(dashboard => 'explicit');
SELECT dashcache_drop(dashboard => 'results');
SELECT dashcache_define('b', 'SELECT 2 AS v WHERE $1 = 1', 'again');
SELECT "table", tgname FROM triggers;

-- one widget, then the rest
SELECT dashcache_drop('a', 'again');
SELECT dashboard, widget FROM dashcache_entries;
SELECT * FROM triggers;
SELECT dashcache_get(1::bigint, 'again');
SELECT dashcache_drop('b', 'again');
-- a dashboard without widgets
SELECT dashcache_get(1::bigint, 'again');
SELECT dashcache_get(1::bigint, 'again', with_meta => true)::jsonb #- '{_meta,etag}';
SELECT * FROM dashcache_fetch(1::bigint, 'again');
SELECT dashcache_drop(NULL, 'again');
SELECT dashcache_get(1::bigint, 'again');
\echo :SQLSTATE

-- every argument
SELECT dashcache_define(widget => 'all', query => 'SELECT 1 AS one WHERE $1 = 1', dashboard => 'arguments',
	ttl => '1 hour', align => 'day', max_stale => '1 minute', result => 'rows', tags => '{a,b}');
SELECT dashboard, name, query, ttl, align, max_stale, result, tags, tenant_type::regtype, uses_params, uses_clock
FROM dashcache.widget WHERE dashboard = 'arguments';
SELECT dashcache_define('all', 'SELECT 1 AS one WHERE $1 = 1', 'arguments', NULL, NULL, '0', NULL, NULL);
SELECT ttl, align, max_stale, result, tags FROM dashcache.widget WHERE dashboard = 'arguments';

-- names: case, quotes, unicode, as long as can be
SELECT dashcache_define(name, 'SELECT 1 AS one WHERE $1 = 1', 'Na"me ''s', ttl => NULL)
FROM unnest(ARRAY['Case', 'case', 'a "quoted" one', 'it''s', E'tab\tnew\nline \\ backslash', 'größe ☃', repeat('n', 63), 'null', '1']) name;
SELECT dashcache_define('_meta', 'SELECT 1 AS one WHERE $1 = 1', 'Na"me ''s');
\echo :SQLSTATE
SELECT dashcache_get(1, 'Na"me ''s');
SELECT dashcache_get(1, 'Na"me ''s', E'tab\tnew\nline \\ backslash');
SELECT widget, source FROM dashcache_fetch(1, 'Na"me ''s');
SELECT dashcache_drop('a "quoted" one', 'Na"me ''s');
SELECT count(*) FROM dashcache_entries WHERE dashboard = 'Na"me ''s';
SELECT dashcache_get(1, 'NA"ME ''S');
\echo :SQLSTATE
SELECT dashcache_drop(NULL, 'Na"me ''s');
SELECT dashcache_drop(NULL, 'arguments');

-- transactional
BEGIN;
SELECT dashcache_define('w', 'SELECT count(*) FROM company WHERE id = $1');
SELECT widget, data, source, reason FROM dashcache_fetch(1::bigint);
ROLLBACK;
SELECT dashcache_get(1::bigint);
\echo :SQLSTATE
SELECT count(*) FROM triggers;
SELECT count(*) FROM dashcache_entries;

BEGIN;
SELECT dashcache_define('w', 'SELECT 1 AS v FROM company WHERE id = $1');
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
SAVEPOINT s;
SELECT dashcache_define('w', 'SELECT 2 AS v FROM conversation WHERE company_id = $1 LIMIT 1');
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
ROLLBACK TO s;
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
SELECT dashcache_define('w', 'SELECT 3 AS v FROM message WHERE id = $1');
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
COMMIT;
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
SELECT "table", tgname FROM triggers;

-- a redefinition that is rolled back leaves the entry, and one that is not visible yet does not hit it
BEGIN;
SELECT dashcache_define('w', 'SELECT 4 AS v FROM message WHERE id = $1');
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
ROLLBACK;
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
-- so does a drop
BEGIN;
SELECT dashcache_drop();
SELECT dashcache_get(1::bigint);
\echo :SQLSTATE
ROLLBACK;
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
BEGIN;
SELECT dashcache_drop();
SELECT dashcache_define('w', 'SELECT 5 AS v FROM message WHERE id = $1');
COMMIT;
SELECT data, source, reason FROM dashcache_fetch(1::bigint);
SELECT data, source, reason FROM dashcache_fetch(1::bigint);

-- errors
SELECT dashcache_drop('nobody');
\echo :SQLSTATE
SELECT dashcache_drop('w', 'nowhere');
\echo :SQLSTATE
SELECT dashcache_drop(NULL, NULL);
\echo :SQLSTATE

DROP EXTENSION dashcache;
SELECT * FROM triggers;
DROP VIEW triggers;
DROP TABLE company, conversation, message CASCADE;
