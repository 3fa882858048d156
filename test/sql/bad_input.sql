-- What nobody should pass
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id bigint, name text);
INSERT INTO t VALUES (1, 'one');
SET client_min_messages = warning;
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1');
SELECT dashcache_define('n', 'SELECT count(*) FROM t WHERE name = $1', 'name');

-- names
SELECT dashcache_get(1, 'nowhere');
\echo :SQLSTATE
SELECT dashcache_get(1, widget => 'nobody');
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(1, 'nowhere', 'nobody');
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(1, 'default', 'nobody');
\echo :SQLSTATE
SELECT dashcache_get(1, '');
\echo :SQLSTATE
SELECT dashcache_get(1, widget => '');
\echo :SQLSTATE
SELECT dashcache_get(1, widget => 'W');
\echo :SQLSTATE
SELECT dashcache_get(1, repeat('d', 63));
\echo :SQLSTATE
SELECT dashcache_get(1, repeat('d', 64));
\echo :SQLSTATE
SELECT dashcache_get(1, widget => repeat('w', 100));
\echo :SQLSTATE
SELECT dashcache_get(1, 'default' || chr(1));
\echo :SQLSTATE
SELECT dashcache_get(1, '"; DROP TABLE t; --', ''';--');
\echo :SQLSTATE
SELECT dashcache_get(1, '%s%n%1$s', '%s%s%s%n');
\echo :SQLSTATE
SELECT dashcache_get(1, widget => '%s%s%s%n');
\echo :SQLSTATE
-- a name of 10 MB is not shown in full... but told
\set VERBOSITY sqlstate
SELECT dashcache_get(1, repeat('x', 10000000));
SELECT dashcache_get(1, widget => repeat('x', 10000000));
SELECT dashcache_define(repeat('x', 10000000), 'SELECT 1 WHERE $1 = 1');
SELECT dashcache_drop(repeat('x', 10000000));
SELECT dashcache_purge(1, repeat('x', 10000000));
SELECT dashcache_grant(repeat('x', 10000000), '-');
\set VERBOSITY default

-- nulls
SELECT dashcache_get(NULL);
\echo :SQLSTATE
SELECT dashcache_get(NULL::text);
\echo :SQLSTATE
SELECT dashcache_get(NULL::bigint);
\echo :SQLSTATE
SELECT dashcache_get(NULL::uuid);
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(NULL::text);
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(NULL::bigint);
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(NULL::uuid);
\echo :SQLSTATE
SELECT dashcache_get(1, NULL);
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(1, NULL);
\echo :SQLSTATE
SELECT dashcache_get(1, 'default', NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_get(NULL::text, NULL, NULL, NULL, NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_define(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_drop(NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_watch(NULL, NULL, NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_unwatch(NULL, NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_grant(NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_revoke(NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_purge(NULL::text, NULL, NULL, NULL);
SELECT dashcache_purge(NULL::text[], NULL, NULL, NULL);

-- too few, too many, of the wrong type
SELECT dashcache_get();
\echo :SQLSTATE
SELECT dashcache_get(true);
\echo :SQLSTATE
SELECT dashcache_get(ARRAY[1]);
\echo :SQLSTATE
SELECT dashcache_get(1, params => '{"a"');
\echo :SQLSTATE
SELECT dashcache_get(1, no_such => 1);
\echo :SQLSTATE

-- tenants: large, empty, strange
SELECT data, source, reason FROM dashcache_fetch(repeat('x', 1000000), 'name');
SELECT data, source, reason FROM dashcache_fetch(repeat('x', 1000000), 'name');
SELECT data, source, reason FROM dashcache_fetch(repeat('x', 999999) || 'y', 'name');
INSERT INTO t VALUES (1, repeat('x', 1000000));
SELECT data, source, reason FROM dashcache_fetch(repeat('x', 1000000), 'name');
SELECT length(tenant), count(*) FROM dashcache_entries GROUP BY 1 ORDER BY 1;
SELECT dashcache_purge(repeat('x', 1000000), 'name');
DELETE FROM t WHERE length(name) > 100;
SELECT data, source FROM dashcache_fetch(E'\t\n " '' \\ %s $1 ☃', 'name');
SELECT data, source FROM dashcache_fetch(E'\t\n " '' \\ %s $1 ☃', 'name');
SELECT dashcache_get(repeat('9', 1000));
\echo :SQLSTATE
SELECT dashcache_get('1; DROP TABLE t');
\echo :SQLSTATE
SELECT dashcache_get('-9223372036854775808'), dashcache_get(9223372036854775807);

-- queries: large, deep, slow to parse
SELECT dashcache_define('large', 'SELECT count(*) FROM t WHERE company_id = $1 -- ' || repeat('x', 1000000), 'large');
SELECT dashcache_get(1, 'large');
SELECT dashcache_define('list', 'SELECT count(*) FROM t WHERE company_id = $1 AND company_id IN (' || string_agg(i::text, ',') || ')', 'large') FROM generate_series(1, 100000) i;
SELECT dashcache_get(1, 'large', 'list');
SELECT dashcache_define('union', 'SELECT count(*) FROM t WHERE company_id = $1' || repeat(' UNION ALL SELECT count(*) FROM t WHERE company_id = $1', 300), 'large');
SELECT json_array_length(dashcache_get(1, 'large', 'union'));
\set VERBOSITY sqlstate
SELECT dashcache_define('deep', 'SELECT ' || repeat('(', 100000) || '1' || repeat(')', 100000) || ' WHERE $1 = 1', 'large');
SELECT dashcache_define('deep', 'SELECT ' || repeat('-(', 50000) || '1' || repeat(')', 50000) || ' WHERE $1 = 1', 'large');
\set VERBOSITY default
SELECT dashcache_drop(NULL, 'large');

-- many widgets, many tags
SELECT count(dashcache_define('w' || i, 'SELECT count(*) FROM t WHERE company_id = $1 AND ' || i || ' = ' || i, 'many')) FROM generate_series(1, 200) i;
SELECT count(*), count(DISTINCT data::text), string_agg(DISTINCT source, ',') FROM dashcache_fetch(1, 'many');
SELECT count(*), count(DISTINCT data::text), string_agg(DISTINCT source, ',') FROM dashcache_fetch(1, 'many');
INSERT INTO t VALUES (1, 'two');
SELECT count(*), count(DISTINCT data::text), string_agg(DISTINCT reason, ',') FROM dashcache_fetch(1, 'many');
SELECT (SELECT count(*) FROM json_object_keys(dashcache_get(1, 'many')));
SELECT dashcache_drop(NULL, 'many');
SELECT dashcache_define('tags', 'SELECT 1 AS one WHERE $1 = 1', 'tags', tags => (SELECT array_agg('tag ' || i) FROM generate_series(1, 10000) i) || ARRAY['', 'a "quoted" ''tag''']);
SELECT dashcache_get(1, 'tags');
SELECT dashcache_purge(tag => 'tag 10000');
SELECT dashcache_get(1, 'tags');
SELECT dashcache_purge(tag => 'a "quoted" ''tag''');
SELECT dashcache_get(1, 'tags');
SELECT dashcache_purge(tag => '');
SELECT dashcache_purge('{"x"}'::text[], tag => 'tag 1');
\echo :SQLSTATE
SELECT dashcache_define('tags', 'SELECT 1 AS one WHERE $1 = 1', 'tags', tags => '{{a,b},{c,d}}');
SELECT dashcache_get(1, 'tags');
SELECT dashcache_purge(tag => 'd');

-- the internal functions are no one's business, and do no harm
SELECT dashcache.row_changed();
\echo :SQLSTATE
SELECT dashcache.statement_begins();
\echo :SQLSTATE
CREATE TRIGGER mine BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION dashcache.row_changed();
INSERT INTO t VALUES (5, 'five');
\echo :SQLSTATE
DROP TRIGGER mine ON t;
CREATE TRIGGER mine AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON t FOR EACH STATEMENT EXECUTE FUNCTION dashcache.row_changed();
INSERT INTO t VALUES (6, 'six');
\echo :SQLSTATE
UPDATE t SET name = 'uno' WHERE name = 'one';
\echo :SQLSTATE
DELETE FROM t WHERE company_id = 6;
\echo :SQLSTATE
TRUNCATE t;
\echo :SQLSTATE
DROP TRIGGER mine ON t;
CREATE TRIGGER mine AFTER UPDATE OF name ON t FOR EACH STATEMENT EXECUTE FUNCTION dashcache.statement_begins();
UPDATE t SET name = 'uno' WHERE name = 'one';
\echo :SQLSTATE
DROP TRIGGER mine ON t;
CREATE TRIGGER mine BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION dashcache.statement_begins();
INSERT INTO t VALUES (7, 'seven');
\echo :SQLSTATE
DROP TRIGGER mine ON t;
CREATE VIEW v AS SELECT * FROM t;
CREATE TRIGGER mine INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION dashcache.row_changed();
INSERT INTO v VALUES (8, 'eight');
\echo :SQLSTATE
DROP VIEW v;
-- on a table that nobody reads
CREATE TABLE unread (x int);
CREATE TRIGGER mine AFTER INSERT OR UPDATE OR DELETE ON unread FOR EACH ROW EXECUTE FUNCTION dashcache.row_changed();
INSERT INTO unread VALUES (1);
UPDATE unread SET x = 2;
DELETE FROM unread;
DROP TABLE unread;

-- the session is still there
SELECT dashcache_get(1);
SELECT count(*) FROM t;

DROP EXTENSION dashcache;
DROP TABLE t;
