-- dashcache_configure: each setting, and what it refuses
CREATE EXTENSION dashcache;
-- the functions that change things are not PUBLIC's
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
CREATE ROLE dashcache_owner;
CREATE ROLE dashcache_member IN ROLE dashcache_owner;
CREATE ROLE dashcache_reader;
CREATE SCHEMA app AUTHORIZATION dashcache_owner;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.secret (id bigint);
SET ROLE dashcache_owner;
CREATE TABLE app.companies (id bigint, active boolean);
INSERT INTO app.companies SELECT i, i < 4 FROM generate_series(1, 5) i;
CREATE TABLE app.t (company_id bigint, x int);
CREATE FUNCTION app.fails() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
SET client_min_messages = warning;
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.t WHERE company_id = $1', 'd');
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.t WHERE company_id = $1');
RESET client_min_messages;
RESET ROLE;
CREATE VIEW settings AS SELECT name, tenants, variants, guard, warm_on_start AS on_start, warm_on_change AS on_change FROM dashcache.dashboard ORDER BY name COLLATE "C";
SET ROLE dashcache_owner;

-- all at once, and nothing; the default dashboard
SELECT dashcache_configure('d', 'SELECT id FROM app.companies', '[{"days": 7}, {}]', 'app.tenant_id', warm_on_start => true, warm_on_change => true);
SELECT dashcache_configure('d');
SELECT dashcache_configure('d', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT dashcache_configure();
SELECT dashcache_configure(warm_on_start => true);
RESET ROLE;
TABLE settings;
-- each alone leaves the others
SET ROLE dashcache_member;
SELECT dashcache_configure('d', tenants => 'SELECT id FROM app.companies WHERE active');
SELECT dashcache_configure('d', variants => '[{"days": 30}]');
SELECT dashcache_configure('d', guard => 'app.company');
SELECT dashcache_configure('d', warm_on_start => false);
RESET ROLE;
TABLE settings;
SELECT dashcache_configure('d', warm_on_change => false);
SELECT dashcache_configure('d', warm_on_start => true);
TABLE settings;
-- and takes it back
SELECT dashcache_configure('d', tenants => '');
SELECT dashcache_configure('d', variants => '[]');
SELECT dashcache_configure('d', guard => '');
SELECT dashcache_configure('d', memory_limit => '', notify => '');
TABLE settings;
BEGIN;
SELECT dashcache_configure('d', 'VALUES (1)', '[{}]', 'a.b', warm_on_start => false);
ROLLBACK;
TABLE settings;
-- a new definition of a widget leaves them
SELECT dashcache_configure('d', 'VALUES (1)', '[{}]', 'a.b');
SET ROLE dashcache_owner;
SELECT dashcache_define('w', 'SELECT count(*) FROM app.t WHERE company_id = $1', 'd');
RESET ROLE;
SELECT name, tenants, guard FROM settings;

-- the tenants query: as the owner, with the settings of who configures, read-only
SET ROLE dashcache_owner;
SET search_path = app, public;
SELECT dashcache_configure('d', 'SELECT id FROM companies');
RESET search_path;
SELECT dashcache_warm('d') > 0 AS ran;
RESET ROLE;
SELECT planned, warmed, failed, last_error FROM dashcache_runs LIMIT 1;
SET ROLE dashcache_owner;
\set VERBOSITY default
SELECT dashcache_configure('d', 'SELECT id FRM app.companies');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT id FROM app.companys');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT id, active FROM app.companies');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT FROM app.companies');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'INSERT INTO app.companies VALUES (7, true)');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'INSERT INTO app.companies VALUES (7, true) RETURNING id');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'WITH x AS (DELETE FROM app.companies RETURNING id) SELECT id FROM x');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT id FROM app.companies FOR UPDATE');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT 1; SELECT 2');
\echo :SQLSTATE
SELECT dashcache_configure('d', ' ');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'COMMIT');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT id FROM app.companies WHERE id = $1');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT app.fails()');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT 1 / (id - 3) FROM app.companies');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT id FROM app.secret');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT NULLIF(id, 3) FROM app.companies');
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT id % 2 FROM app.companies');
SELECT dashcache_configure('d', 'SELECT id FROM app.companies WHERE false');
-- a query with a semicolon, a million rows
SELECT dashcache_configure('d', 'SELECT id FROM app.companies;');
SELECT dashcache_configure('d', 'SELECT i FROM generate_series(1, 1000000) i');
SELECT dashcache_configure('d', 'SELECT id FROM app.companies');
-- the owner's rights count, not those of who configures
RESET ROLE;
SELECT dashcache_configure('d', 'SELECT id FROM app.secret');
\echo :SQLSTATE

-- variants
SELECT dashcache_configure('d', variants => '{}');
\echo :SQLSTATE
SELECT dashcache_configure('d', variants => '{"days": 7}');
SELECT dashcache_configure('d', variants => '7');
SELECT dashcache_configure('d', variants => '"[]"');
SELECT dashcache_configure('d', variants => 'null');
SELECT dashcache_configure('d', variants => '[7]');
\echo :SQLSTATE
SELECT dashcache_configure('d', variants => '[{}, null]');
SELECT dashcache_configure('d', variants => '[{}, {"a": 1}, [{}]]');
SELECT dashcache_configure('d', variants => '[{"a": {"b": [1]}}, {}, {}]');
SELECT dashcache_configure('d', variants => '');
\echo :SQLSTATE
-- guard
SELECT dashcache_configure('d', guard => 'tenant_id');
\echo :SQLSTATE
SELECT dashcache_configure('d', guard => 'search_path');
SELECT dashcache_configure('d', guard => '.');
\echo :SQLSTATE
SELECT dashcache_configure('d', guard => 'app.');
SELECT dashcache_configure('d', guard => '.tenant');
SELECT dashcache_configure('d', guard => 'app.tenant id');
\echo :SQLSTATE
SELECT dashcache_configure('d', guard => 'app.1');
SELECT dashcache_configure('d', guard => 'dashcache.nothing');
\echo :SQLSTATE
SELECT dashcache_configure('d', guard => 'App.Tenant_Id');
SELECT current_setting('app.tenant_id', true);
SELECT name, variants, guard FROM settings;
-- a limit of the memory
SELECT dashcache_configure('d', memory_limit => '16MB');
SELECT memory_limit FROM dashcache.dashboard WHERE name = 'd';
SELECT dashcache_configure('d', guard => '');
SELECT memory_limit FROM dashcache.dashboard WHERE name = 'd';
SELECT dashcache_configure('d', memory_limit => '16 MBytes');
\echo :SQLSTATE
SELECT dashcache_configure('d', memory_limit => '0');
\echo :SQLSTATE
SELECT dashcache_configure('d', memory_limit => '-1kB');
\echo :SQLSTATE
SELECT dashcache_configure('d', memory_limit => '');
SELECT memory_limit FROM dashcache.dashboard WHERE name = 'd';
-- what there is not yet
SELECT dashcache_configure('d', notify => 'channel');
\echo :SQLSTATE
-- who may; what is not there
SELECT dashcache_grant('d', 'dashcache_reader');
SET ROLE dashcache_reader;
SELECT dashcache_configure('d', warm_on_start => true);
\echo :SQLSTATE
SELECT dashcache_configure('d', 'SELECT app.fails()');
RESET ROLE;
SELECT dashcache_configure('nowhere');
\echo :SQLSTATE
SELECT dashcache_configure('');
SELECT dashcache_configure(NULL);
\echo :SQLSTATE
SELECT dashcache_configure(repeat('x', 64));
\echo :SQLSTATE

SET client_min_messages = warning;
DROP VIEW settings;
DROP EXTENSION dashcache;
DROP SCHEMA app CASCADE;
DROP ROLE dashcache_owner, dashcache_member, dashcache_reader;
