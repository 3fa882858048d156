-- Creating, dropping and moving the extension; tables and roles that go
CREATE TABLE t (company_id bigint, x int);
INSERT INTO t VALUES (1, 1);
CREATE VIEW leftovers AS
SELECT 'trigger' AS kind, tgname::text AS name FROM pg_trigger WHERE tgname LIKE 'dashcache%'
UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE nspname LIKE 'dashcache%'
UNION ALL SELECT 'function', proname FROM pg_proc WHERE proname LIKE 'dashcache%'
UNION ALL SELECT 'relation', relname FROM pg_class WHERE relname LIKE 'dashcache%';
SET client_min_messages = warning;

CREATE EXTENSION dashcache;
SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1');
SELECT dashcache_get(1);
-- the triggers are there to be seen, and go with it
\d t
DROP EXTENSION dashcache;
SELECT * FROM leftovers;
INSERT INTO t VALUES (1, 10);
-- made again it begins empty, and finds no entry of before
CREATE EXTENSION dashcache;
SELECT count(*) FROM dashcache_entries;
SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1');
SELECT data, source FROM dashcache_fetch(1);
SELECT data, source FROM dashcache_fetch(1);
INSERT INTO t VALUES (1, 100);
SELECT data, source FROM dashcache_fetch(1);
-- dropped and made in one transaction, and rolled back
BEGIN;
DROP EXTENSION dashcache;
INSERT INTO t VALUES (1, 1000);
SELECT * FROM leftovers;
CREATE EXTENSION dashcache;
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1');
SELECT data, source, reason FROM dashcache_fetch(1);
ROLLBACK;
SELECT data, source FROM dashcache_fetch(1);
BEGIN;
DROP EXTENSION dashcache;
CREATE EXTENSION dashcache;
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1');
COMMIT;
SELECT data, source FROM dashcache_fetch(1);
SELECT data, source FROM dashcache_fetch(1);
INSERT INTO t VALUES (1, 1);
SELECT data, source FROM dashcache_fetch(1);
DROP EXTENSION dashcache;
-- a session that knew it, without it
SELECT dashcache_get(1);
\echo :SQLSTATE
INSERT INTO t VALUES (1, 1);

-- in another schema
CREATE SCHEMA cache;
CREATE EXTENSION dashcache SCHEMA cache;
SELECT cache.dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1');
SELECT data, source FROM cache.dashcache_fetch(1);
SELECT data, source FROM cache.dashcache_fetch(1);
SELECT widget, entries FROM cache.dashcache_stats;
SELECT preloaded FROM cache.dashcache_status;
SELECT tenant, operation FROM cache.dashcache_changes WHERE false;
SELECT source FROM cache.dashcache_sources;
SELECT cache.dashcache_purge(1);
ALTER EXTENSION dashcache SET SCHEMA public;
\echo :SQLSTATE
DROP EXTENSION dashcache;
DROP SCHEMA cache;
SELECT * FROM leftovers;
-- by a role that has called a schema dashcache its own
CREATE SCHEMA dashcache;
CREATE EXTENSION dashcache;
\echo :SQLSTATE
DROP SCHEMA dashcache;

-- a table that is dropped, and made again
CREATE EXTENSION dashcache;
SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1');
SELECT data FROM dashcache_fetch(1);
CREATE TABLE u (company_id bigint);
SELECT dashcache_define('u', 'SELECT count(*) FROM u WHERE company_id = $1', 'u');
SELECT data FROM dashcache_fetch(1, 'u');
DROP TABLE u;
SELECT dashcache_drop(NULL, 'u');
CREATE TABLE u (company_id bigint);
SELECT dashcache_define('u', 'SELECT count(*) FROM u WHERE company_id = $1', 'u');
SELECT data FROM dashcache_fetch(1, 'u');
INSERT INTO u VALUES (1);
SELECT data FROM dashcache_fetch(1, 'u');
-- a role that owns a dashboard is dropped
CREATE ROLE dashcache_gone;
GRANT EXECUTE ON FUNCTION dashcache_define TO dashcache_gone;
GRANT CREATE ON SCHEMA public TO dashcache_gone;
SET ROLE dashcache_gone;
SELECT dashcache_define('w', 'SELECT 1 AS one WHERE $1 = 1', 'gone');
RESET ROLE;
SELECT dashcache_grant('u', 'dashcache_gone');
DROP OWNED BY dashcache_gone;
DROP ROLE dashcache_gone;
SELECT dashcache_drop(NULL, 'gone');
DROP EXTENSION dashcache;
SELECT * FROM leftovers;
DROP VIEW leftovers;
DROP TABLE t, u;
