-- The guard: a setting that must hold the tenant asked for
CREATE EXTENSION dashcache;
-- the functions that change things are not PUBLIC's
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
CREATE ROLE dashcache_owner;
CREATE ROLE dashcache_reader;
CREATE SCHEMA app AUTHORIZATION dashcache_owner;
GRANT USAGE ON SCHEMA app TO PUBLIC;
SET ROLE dashcache_owner;
CREATE TABLE app.t (company_id bigint, x int);
CREATE TABLE app.u (tenant uuid, x int);
CREATE TABLE app.w (tenant text, x int);
INSERT INTO app.t VALUES (1, 1), (2, 2), (-9223372036854775808, 3), (9223372036854775807, 4);
INSERT INTO app.u VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1);
INSERT INTO app.w VALUES ('acme', 1), ('', 2), ('Ünï', 3);
SET client_min_messages = warning;
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.t WHERE company_id = $1', 'd');
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.u WHERE tenant = $1', 'u');
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.w WHERE tenant = $1', 'w');
RESET client_min_messages;
SELECT dashcache_grant('d', 'dashcache_reader');
SELECT dashcache_configure(d, guard => 'app.tenant_id') FROM unnest('{d, u, w}'::text[]) d;

-- nobody has set it; the refusal tells no tenant, and nothing of whether there is such a one
SELECT dashcache_get(1, 'd');
\echo :SQLSTATE
SELECT * FROM dashcache_fetch(99, 'd');
SELECT dashcache_get('no number', 'd', 'no widget', '[]');
-- it is asked for after the permission
RESET ROLE;
CREATE ROLE dashcache_stranger;
SET ROLE dashcache_stranger;
SET app.tenant_id = '1';
SELECT dashcache_get(1, 'd');
-- and no matter who one is
SET ROLE dashcache_reader;
SELECT dashcache_get(1, 'd');
SELECT data, source FROM dashcache_fetch(1, 'd');
SELECT dashcache_get(2, 'd');
\echo :SQLSTATE
SELECT data FROM dashcache_fetch(2, 'd');
\echo :SQLSTATE
SET ROLE dashcache_owner;
SELECT dashcache_get(2, 'd', refresh => true);
\echo :SQLSTATE
RESET ROLE;
SELECT dashcache_get(2, 'd', with_meta => true);
\echo :SQLSTATE
SET dashcache.enabled = off;
SELECT dashcache_get(1, 'd');
SELECT dashcache_get(2, 'd');
RESET dashcache.enabled;
-- one query, many tenants
SELECT dashcache_get(id, 'd') FROM generate_series(1, 2) id;
SELECT set_config('app.tenant_id', id::text, false), dashcache_get(id, 'd') FROM generate_series(1, 2) id;

-- a bigint is its decimal digits
CREATE FUNCTION pg_temp.try(setting text, tenant text, type text, dashboard text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('app.tenant_id', setting, true);
	EXECUTE format('SELECT dashcache_get(%L::%s, %L)', tenant, type, dashboard) INTO result;
	RETURN result;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN sqlstate;
END $$;
SELECT setting, tenant, pg_temp.try(setting, tenant, 'bigint', 'd') FROM (VALUES
	('1', '1'), ('01', '1'), (' 1', '1'), ('1 ', '1'), ('+1', '1'), ('1.0', '1'), ('11', '1'), ('1', '11'), ('', '1'), ('', '0'), ('0', '0'), ('-1', '1'),
	('-9223372036854775808', '-9223372036854775808'), ('9223372036854775807', '9223372036854775807'), ('-1', '9223372036854775807'),
	('92233720368547758070000000000000000000000000000000000000', '9223372036854775807')) v (setting, tenant);
-- a text is its bytes, also where the query makes a number of it
SELECT setting, tenant, pg_temp.try(setting, tenant, 'text', 'd') FROM (VALUES
	('1', '1'), ('01', '1'), ('1', '01'), ('01', '01'), ('1', ' 1'), ('', '')) v (setting, tenant);
SELECT setting, tenant, pg_temp.try(setting, tenant, 'text', 'w') FROM (VALUES
	('acme', 'acme'), ('ACME', 'acme'), ('acm', 'acme'), ('acme', 'acm'), ('acme%', 'acme'), ('', ''), ('Ünï', 'Ünï'), ('Uni', 'Ünï'), ('null', 'null')) v (setting, tenant);
SELECT pg_temp.try(repeat('x', 100000), repeat('x', 100000), 'text', 'w');
SELECT pg_temp.try(repeat('x', 100000), repeat('x', 99999) || 'y', 'text', 'w');
-- a uuid is how it is written, in any case
SELECT setting, pg_temp.try(setting, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'uuid', 'u') FROM (VALUES
	('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), ('a0eebc999c0b4ef8bb6d6bb9bd380a11'),
	('{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'), ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'), ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1'), ('')) v (setting);
SELECT pg_temp.try('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'text', 'u');

-- set for a transaction, it is empty afterwards
BEGIN;
SET LOCAL app.tenant_id = '2';
SELECT dashcache_get(2, 'd');
COMMIT;
RESET app.tenant_id;
SELECT dashcache_get(2, 'd');
-- a tenant in a table's long value
SET app.tenant_id = '1';
CREATE TEMPORARY TABLE long AS SELECT repeat('1', 10000) AS tenant;
SELECT dashcache_get(tenant, 'd') FROM long;
-- no tenant is still no tenant
SELECT dashcache_get(NULL::bigint, 'd');
-- workers need no guard: they warm for all
SELECT dashcache_purge(dashboard => 'd') > 0 AS purged;
SELECT dashcache_configure('d', tenants => 'VALUES (1), (2)');
SET client_min_messages = warning; -- how far it is, on a slow machine
SELECT dashcache_warm('d') > 0 AS warmed;
RESET client_min_messages;
SELECT tenant, state FROM dashcache_entries WHERE dashboard = 'd' ORDER BY 1;
SELECT data, source FROM dashcache_fetch(1, 'd');
-- another setting, at once; one that is there; none
SELECT dashcache_configure('d', guard => 'request.tenant');
SELECT dashcache_get(1, 'd');
SET request.tenant = '1';
SELECT dashcache_get(1, 'd');
BEGIN;
SELECT dashcache_configure('d', guard => '');
SELECT dashcache_get(2, 'd');
ROLLBACK;
SELECT dashcache_get(2, 'd');
SELECT dashcache_configure('d', guard => '');
SELECT dashcache_get(2, 'd');

SET client_min_messages = warning;
DROP EXTENSION dashcache;
DROP SCHEMA app CASCADE;
DROP ROLE dashcache_owner, dashcache_reader, dashcache_stranger;
