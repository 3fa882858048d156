-- Owners, grants, and what a widget may read
CREATE EXTENSION dashcache;
-- the functions that change things are not PUBLIC's
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
REVOKE EXECUTE ON FUNCTION dashcache_reset_stats(), dashcache_check() FROM PUBLIC;
CREATE ROLE dashcache_owner;
CREATE ROLE dashcache_member IN ROLE dashcache_owner;
CREATE ROLE dashcache_reader;
CREATE ROLE dashcache_group;
CREATE ROLE dashcache_in_group IN ROLE dashcache_group;
CREATE ROLE dashcache_noinherit NOINHERIT IN ROLE dashcache_owner;
CREATE ROLE dashcache_monitor IN ROLE pg_monitor;
CREATE ROLE dashcache_stranger;
CREATE SCHEMA app AUTHORIZATION dashcache_owner;
GRANT USAGE ON SCHEMA app TO PUBLIC;
SET ROLE dashcache_owner;
CREATE TABLE app.t (company_id bigint, x int);
INSERT INTO app.t VALUES (1, 1), (2, 2);
SELECT dashcache_define('w', 'SELECT sum(x), current_user AS who FROM app.t WHERE company_id = $1', 'd');
SELECT data, source FROM dashcache_fetch(1, 'd');

-- others may not read
SET ROLE dashcache_stranger;
SELECT dashcache_get(1, 'd');
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(1, 'd', 'w');
\echo :SQLSTATE
-- whether there is such a tenant, widget or valid params is not told
SELECT dashcache_get(99, 'd', 'nobody', '[]');
\echo :SQLSTATE
-- nor change
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', 'd');
\echo :SQLSTATE
SELECT dashcache_define('another', 'SELECT 1 WHERE $1 = 1', 'd');
\echo :SQLSTATE
SELECT dashcache_drop('w', 'd');
\echo :SQLSTATE
SELECT dashcache_drop(NULL, 'd');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'app.t', NULL, 'd');
\echo :SQLSTATE
SELECT dashcache_unwatch('w', 'app.t', 'd');
\echo :SQLSTATE
SELECT dashcache_grant('d', 'dashcache_stranger');
\echo :SQLSTATE
SELECT dashcache_revoke('d', 'dashcache_stranger');
\echo :SQLSTATE
SELECT dashcache_purge(dashboard => 'd');
\echo :SQLSTATE
-- a purge of everything is one of one's own
SELECT dashcache_purge();
-- nor look inside
SELECT count(*) FROM dashcache_entries;
\echo :SQLSTATE
SELECT count(*) FROM dashcache_stats;
\echo :SQLSTATE
SELECT count(*) FROM dashcache_status;
\echo :SQLSTATE
SELECT count(*) FROM dashcache_sources;
\echo :SQLSTATE
SELECT count(*) FROM dashcache_changes;
\echo :SQLSTATE
SELECT dashcache_reset_stats();
\echo :SQLSTATE
SELECT count(*) FROM dashcache.widget;
\echo :SQLSTATE
SELECT dashcache.entries();
\echo :SQLSTATE
-- one's own dashboard is one's own affair
SELECT dashcache_define('w', 'SELECT current_user AS who WHERE $1 = 1', 'strange');
SELECT dashcache_get(1, 'strange');
SELECT dashcache_purge();
SELECT dashcache_drop(NULL, 'strange');

-- granted, to a role, to a group, to PUBLIC; taken back
SET ROLE dashcache_owner;
SELECT dashcache_grant('d', 'dashcache_reader');
SELECT dashcache_grant('d', 'dashcache_reader');
SELECT dashcache_grant('d', 'dashcache_group');
SET ROLE dashcache_reader;
SELECT data, source FROM dashcache_fetch(1, 'd');
SELECT data, source FROM dashcache_fetch(2, 'd');
SELECT sum(x) FROM app.t;
\echo :SQLSTATE
SELECT dashcache_define('w', 'SELECT 1 WHERE $1 = 1', 'd');
\echo :SQLSTATE
SELECT dashcache_purge(1, 'd');
\echo :SQLSTATE
SELECT dashcache_grant('d', 'dashcache_stranger');
\echo :SQLSTATE
SET ROLE dashcache_in_group;
SELECT data, source FROM dashcache_fetch(2, 'd');
SET ROLE dashcache_member;
SELECT data, source FROM dashcache_fetch(2, 'd');
SELECT dashcache_purge(2, 'd');
SET ROLE dashcache_noinherit;
SELECT data, source FROM dashcache_fetch(2, 'd');
\echo :SQLSTATE
SET ROLE dashcache_owner;
SELECT dashcache_revoke('d', 'dashcache_reader');
SELECT dashcache_revoke('d', 'dashcache_reader');
SELECT dashcache_revoke('d', 'dashcache_group');
SET ROLE dashcache_reader;
SELECT dashcache_get(1, 'd');
\echo :SQLSTATE
SET ROLE dashcache_in_group;
SELECT dashcache_get(1, 'd');
\echo :SQLSTATE
SET ROLE dashcache_owner;
SELECT dashcache_grant('d', '-');
SET ROLE dashcache_stranger;
SELECT dashcache_get(1, 'd');
SET ROLE dashcache_owner;
SELECT dashcache_revoke('d', '-');
SET ROLE dashcache_stranger;
SELECT dashcache_get(1, 'd');
\echo :SQLSTATE
-- a grant that is rolled back
SET ROLE dashcache_owner;
BEGIN;
SELECT dashcache_grant('d', 'dashcache_stranger');
SET LOCAL ROLE dashcache_stranger;
SELECT data FROM dashcache_fetch(1, 'd');
ROLLBACK;
SET ROLE dashcache_stranger;
SELECT dashcache_get(1, 'd');
\echo :SQLSTATE
-- through a function of the owner's, and a view
SET ROLE dashcache_owner;
CREATE FUNCTION app.dashboard(company bigint) RETURNS json SECURITY DEFINER LANGUAGE sql AS 'SELECT public.dashcache_get(company, ''d'')';
SET ROLE dashcache_stranger;
SELECT app.dashboard(1);
RESET ROLE;

-- a superuser may all; monitors may look
SELECT data, source FROM dashcache_fetch(1, 'd');
SET ROLE dashcache_monitor;
SELECT dashboard, widget FROM dashcache_sources;
SELECT count(*) FROM dashcache_entries;
SELECT count(*) FROM dashcache_stats;
SELECT count(*) FROM dashcache_status;
SELECT count(*) >= 0 FROM dashcache_changes;
SELECT dashcache_get(1, 'd');
\echo :SQLSTATE
RESET ROLE;

-- a widget reads what its owner may, when it is defined and when it is computed
CREATE TABLE app.secret (company_id bigint, x int);
CREATE TABLE app.columns (company_id bigint, x int, hidden int);
SET ROLE dashcache_stranger;
SELECT dashcache_define('s', 'SELECT sum(x) FROM app.secret WHERE company_id = $1', 's');
\echo :SQLSTATE
SELECT dashcache_define('s', 'SELECT (SELECT sum(x) FROM app.secret) WHERE $1 = 1', 's');
\echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON app.secret TO dashcache_stranger;
GRANT SELECT (company_id, x) ON app.columns TO dashcache_stranger;
SET ROLE dashcache_stranger;
-- it also takes the right to put triggers on it
SELECT dashcache_define('s', 'SELECT sum(x) FROM app.secret WHERE company_id = $1', 's');
\echo :SQLSTATE
RESET ROLE;
GRANT TRIGGER ON app.secret, app.columns TO dashcache_stranger;
SET ROLE dashcache_stranger;
SELECT dashcache_define('s', 'SELECT sum(x) FROM app.secret WHERE company_id = $1', 's');
SELECT dashcache_define('c', 'SELECT sum(x) FROM app.columns WHERE company_id = $1', 's');
SELECT dashcache_define('c2', 'SELECT sum(hidden) FROM app.columns WHERE company_id = $1', 's');
\echo :SQLSTATE
SELECT dashcache_watch('s', 'app.t', NULL, 's');
\echo :SQLSTATE
SELECT dashcache_get(1, 's');
RESET ROLE;
REVOKE SELECT ON app.secret FROM dashcache_stranger;
SELECT dashcache_purge(dashboard => 's') IS NOT NULL AS purged;
SELECT dashcache_get(1, 's', 's');
\echo :SQLSTATE
-- row security applies to the owner
GRANT SELECT ON app.secret TO dashcache_stranger;
INSERT INTO app.secret VALUES (1, 1), (1, 100);
ALTER TABLE app.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON app.secret TO dashcache_stranger USING (x < 10);
SELECT dashcache_get(1, 's', 's');
SET row_security = off;
SELECT dashcache_get(1, 's', 's', refresh => true);
RESET row_security;
SET ROLE dashcache_stranger;
SELECT dashcache_get(1, 's', 's', refresh => true);
RESET ROLE;

-- a query cannot do what a security-restricted operation may not, and leaves no role behind
CREATE FUNCTION app.sneaky() RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('role', 'none', true); RETURN 1; END $$;
SET ROLE dashcache_stranger;
SELECT dashcache_define('sneaky', 'SELECT app.sneaky() WHERE $1 = 1', 'sneaky');
RESET ROLE;
SELECT dashcache_get(1, 'sneaky');
\echo :SQLSTATE
SELECT current_user = session_user AS still;

-- the owner is what it was defined by; a role that is gone
SELECT dashcache_drop(NULL, 'sneaky');
SET ROLE dashcache_owner;
SELECT dashcache_grant('d', NULL);
\echo :SQLSTATE
SELECT dashcache_grant(NULL, 'dashcache_reader');
\echo :SQLSTATE
SELECT dashcache_grant('d', 'no_such_role');
\echo :SQLSTATE
SELECT dashcache_grant('nowhere', 'dashcache_reader');
\echo :SQLSTATE
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
DROP EXTENSION dashcache;
DROP ROLE dashcache_member, dashcache_reader, dashcache_in_group, dashcache_group, dashcache_noinherit, dashcache_monitor, dashcache_stranger, dashcache_owner;
