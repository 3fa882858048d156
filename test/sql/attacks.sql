-- Attacks on what does not belong to the attacker.  Each is refused, with a
-- reason, or does what is right; docs/security.md has the list.
\pset format unaligned
\pset tuples_only on
CREATE EXTENSION dashcache;
SET client_min_messages = warning;
CREATE ROLE dashcache_alice;
CREATE ROLE dashcache_mallory;
CREATE ROLE dashcache_nobody;
CREATE ROLE dashcache_monitor IN ROLE pg_monitor;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO dashcache_alice, dashcache_mallory;
REVOKE EXECUTE ON FUNCTION dashcache_check(), dashcache_reset_stats() FROM dashcache_alice, dashcache_mallory;
-- what came of an attempt
CREATE FUNCTION try(attack text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	gave text;
	detail text;
BEGIN
	IF attack ~ '^(SELECT|EXPLAIN)' THEN
		EXECUTE attack INTO gave;
	ELSE
		EXECUTE attack;
	END IF;
	RETURN coalesce('gave ' || nullif(gave, ''), 'done');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN replace(concat_ws(': ', sqlstate, sqlerrm, nullif(split_part(detail, E'\n', 1), '')),
		format('role "%s"', session_user), 'the superuser');
END $$;
CREATE SCHEMA app AUTHORIZATION dashcache_alice;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE SCHEMA m AUTHORIZATION dashcache_mallory;
GRANT CREATE ON SCHEMA public TO dashcache_mallory;
GRANT USAGE ON SCHEMA m TO PUBLIC;

SET ROLE dashcache_alice;
CREATE TABLE app.numbers (company_id bigint, x int, note text);
INSERT INTO app.numbers VALUES (1, 11, 'one'), (2, 22, 'two');
CREATE TABLE app.secret (company_id bigint, x int);
INSERT INTO app.secret VALUES (1, 4711);
SELECT dashcache_define('sum', 'SELECT sum(x) FROM app.numbers WHERE company_id = $1', 'a');
SELECT dashcache_define('sum', 'SELECT sum(x) FROM app.numbers WHERE company_id = $1', 'guarded');
SELECT dashcache_configure('guarded', guard => 'app.tenant_id');
SELECT dashcache_grant('guarded', 'dashcache_mallory');
SELECT data, source FROM dashcache_fetch(1, 'a');

-------------------------------------------------------------------------------
-- 1. functions that change things, by somebody whom nobody has let
SET ROLE dashcache_nobody;
SELECT try('SELECT dashcache_define(''w'', ''SELECT 1 WHERE $1 = 1'')');
SELECT try('SELECT dashcache_purge(1)');
SELECT try('SELECT dashcache_warm()');
SELECT try('SELECT dashcache_configure(''a'', guard => '''')');
RESET ROLE;
-- and which ones PUBLIC may call
SELECT p.proname, count(*) FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'dashcache%' AND has_function_privilege('dashcache_nobody', p.oid, 'EXECUTE')
GROUP BY 1 ORDER BY 1;
SELECT p.proname FROM pg_proc p
WHERE p.pronamespace = 'dashcache'::regnamespace AND has_function_privilege('dashcache_nobody', p.oid, 'EXECUTE')
ORDER BY 1;

-- 2. to read, change, or hand out another's dashboard
SET ROLE dashcache_mallory;
SELECT try('SELECT dashcache_get(1, ''a'')');
SELECT try('SELECT etag FROM dashcache_fetch(1, ''a'')');
SELECT try('SELECT dashcache_define(''sum'', ''SELECT 1 WHERE $1 = 1'', ''a'')');
SELECT try('SELECT dashcache_define(''more'', ''SELECT 1 WHERE $1 = 1'', ''a'')');
SELECT try('SELECT dashcache_grant(''a'', ''dashcache_mallory'')');
SELECT try('SELECT dashcache_revoke(''guarded'', ''dashcache_mallory'')');
SELECT try('SELECT dashcache_drop(NULL, ''a'')');
SELECT try('SELECT dashcache_watch(''sum'', ''app.numbers'', ''1'', ''a'')');
SELECT try('SELECT dashcache_configure(''a'', tenants => ''SELECT 1'')');
SELECT try('SELECT dashcache_purge(dashboard => ''a'')');
SELECT try('SELECT dashcache_repair(''a'')');
SELECT try('SELECT dashcache_warm(''a'', 1, wait => false)');
SELECT try('SELECT dashcache_schedule(''1 hour'', ''a'')');
-- whether there is such a widget, tenant or valid params is not told
SELECT try('SELECT dashcache_get(''no number'', ''a'', ''nobody'', ''[]'')');

-- 3. another's job
RESET ROLE;
SET ROLE dashcache_alice;
SELECT dashcache_schedule('1 year', 'a') AS job \gset
SET ROLE dashcache_mallory;
SELECT try(format('SELECT dashcache_alter_job(%s, active => false)', :job));
SELECT try(format('SELECT dashcache_unschedule(%s)', :job));
SELECT try(format('SELECT dashcache_run_job(%s)', :job));

-- 4. to become who may
SET SESSION AUTHORIZATION dashcache_mallory;
SELECT try('SET ROLE dashcache_alice');
SELECT try('SET SESSION AUTHORIZATION dashcache_alice');
RESET SESSION AUTHORIZATION;

-- 5. somebody else's rights, by a SECURITY DEFINER function of one's own
SET ROLE dashcache_mallory;
CREATE FUNCTION m.fetch_it() RETURNS json SECURITY DEFINER LANGUAGE sql AS 'SELECT public.dashcache_get(1, ''a'')';
RESET ROLE;
SELECT try('SELECT m.fetch_it()');

-- 6. a widget on what one may not read, or may read and not watch
SET ROLE dashcache_mallory;
SELECT try('SELECT dashcache_define(''w'', ''SELECT sum(x) FROM app.secret WHERE company_id = $1'', ''m'')');
SELECT try('SELECT dashcache_define(''w'', ''SELECT (SELECT sum(x) FROM app.secret) AS x WHERE $1 = 1'', ''m'')');
RESET ROLE;
GRANT SELECT ON app.numbers TO dashcache_mallory;
SET ROLE dashcache_mallory;
SELECT try('SELECT dashcache_define(''w'', ''SELECT sum(x) FROM app.numbers WHERE company_id = $1'', ''m'')');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'app.secret'::regclass;

-- 7. what is the server's own
SELECT try('SELECT dashcache_define(''w'', ''SELECT rolpassword FROM pg_authid WHERE oid = $1'', ''m'')');
SELECT try('SELECT dashcache_define(''w'', ''SELECT pg_read_file($1)'', ''m'')');
SELECT try('SELECT dashcache_define(''w'', ''SELECT query FROM dashcache.widget WHERE id = $1'', ''m'')');
SELECT try('SELECT dashcache_define(''w'', ''SELECT tenant FROM public.dashcache_entries WHERE widget = $1'', ''m'')');

-- 8. what the extension keeps to itself
SELECT try('SELECT dashcache.entries()');
SELECT try('SELECT dashcache.warm_set(''sum'', ''a'', ''{1}'')');
SELECT try('SELECT dashcache.roles_changed()');
SELECT try('SELECT tenant FROM dashcache_entries');
SELECT try('SELECT tenant FROM dashcache_changes');
SELECT try('SELECT hits FROM dashcache_stats');
SELECT try('SELECT * FROM dashcache_check()');
-- also past the schema, by a view's function, by EXPLAIN, or by a leaky function
SELECT try('EXPLAIN ANALYZE SELECT dashcache_get(1, ''a'')');
CREATE FUNCTION m.leak(text) RETURNS bool COST 0.0001 LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''leaked %'', $1; RETURN true; END';
SELECT try('SELECT count(*) FROM dashcache_entries WHERE m.leak(tenant)');

-- 9. forged rows in the extension's tables
SELECT try('INSERT INTO dashcache.grantee SELECT ''a'', ''dashcache_mallory''::regrole');
SELECT try('UPDATE dashcache.widget SET query = ''SELECT 1''');
SELECT try('DELETE FROM dashcache.source');
SELECT try('TRUNCATE dashcache.dashboard CASCADE');
SELECT try('LOCK TABLE dashcache.widget');
SELECT try('CREATE TRIGGER t BEFORE INSERT ON dashcache.widget FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()');
SELECT try('CREATE RULE r AS ON SELECT TO dashcache.widget DO INSTEAD NOTHING');
SELECT try('SELECT nextval(''dashcache.run_id'')');

-- 10. the trigger functions, called, or put on a table of one's own
SELECT try('SELECT dashcache.row_changed()');
CREATE TABLE m.own (company_id bigint);
SELECT try('CREATE TRIGGER dashcache_row AFTER INSERT ON m.own FOR EACH ROW EXECUTE FUNCTION dashcache.row_changed(''1'', ''x'')');
SELECT try('CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION dashcache.ddl_ended()');
RESET ROLE;
SELECT try('SELECT dashcache.row_changed()');
SELECT try('SELECT dashcache.ddl_ended()');
CREATE TRIGGER wrong BEFORE INSERT ON m.own FOR EACH ROW EXECUTE FUNCTION dashcache.row_changed('app.numbers', '1');
SELECT try('INSERT INTO m.own VALUES (1)');
DROP TRIGGER wrong ON m.own;
CREATE TRIGGER wrong AFTER INSERT ON m.own EXECUTE FUNCTION dashcache.statement_begins('app.numbers');
SELECT try('INSERT INTO m.own VALUES (1)');
DROP TRIGGER wrong ON m.own;
-- arguments say nothing
CREATE TRIGGER args AFTER INSERT ON m.own FOR EACH ROW EXECUTE FUNCTION dashcache.row_changed('app.numbers', '1');
SELECT try('INSERT INTO m.own VALUES (1)');
SELECT count(*) FROM dashcache_changes WHERE source = 'app.numbers'::regclass AND at > now();

-- 11. names: schemas put in front, temporary objects in place of others
SET ROLE dashcache_mallory;
CREATE TABLE m.numbers (company_id bigint, x int);
INSERT INTO m.numbers VALUES (1, 666);
CREATE TEMPORARY TABLE numbers (company_id bigint, x int);
CREATE TEMPORARY TABLE dashboard AS SELECT 'a'::text AS name, 'dashcache_mallory'::regrole::oid AS owner;
CREATE TEMPORARY TABLE grantee AS SELECT 'a'::text AS dashboard, 'dashcache_mallory'::regrole::oid AS role;
SET search_path = pg_temp, m, public;
SELECT try('SELECT dashcache_get(1, ''a'')');
SELECT try('SELECT dashcache_drop(NULL, ''a'')');
SET ROLE dashcache_alice;
SET search_path = app, public;
SELECT dashcache_define('unqualified', 'SELECT sum(x) FROM numbers WHERE company_id = $1', 'a');
RESET ROLE;
SET search_path = pg_temp, m, public;
SELECT try('SELECT dashcache_get(1, ''a'', ''unqualified'', refresh => true)');
RESET search_path;
DROP TABLE pg_temp.numbers, pg_temp.dashboard, pg_temp.grantee;

-- 12. a function planted that matches a widget's call better
CREATE FUNCTION public.pretty(numeric) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1::text';
SELECT dashcache_define('planted', 'SELECT pretty(sum(x)) FROM app.numbers WHERE company_id = $1', 'boss');
SELECT try('SELECT dashcache_get(1, ''boss'')');
SET ROLE dashcache_mallory;
CREATE FUNCTION public.pretty(bigint) RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''mallory runs as %'', current_user; RETURN ''evil''; END';
RESET ROLE;
SELECT try('SELECT dashcache_get(1, ''boss'')');
SELECT object, problem FROM dashcache_check() WHERE severity = 'error';
DROP FUNCTION public.pretty(bigint);
SELECT try('SELECT dashcache_get(1, ''boss'')');
-- and an operator
SELECT dashcache_define('planted', 'SELECT sum(x) FROM app.numbers WHERE company_id = $1 AND note <=> ''one''', 'boss');
CREATE FUNCTION public.same(text, text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 = $2';
CREATE OPERATOR public.<=> (FUNCTION = public.same, LEFTARG = text, RIGHTARG = text);
SELECT dashcache_define('planted', 'SELECT sum(x) FROM app.numbers WHERE company_id = $1 AND note <=> ''one''::varchar', 'boss');
SET ROLE dashcache_mallory;
CREATE FUNCTION public.evil(text, varchar) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''mallory runs as %'', current_user; RETURN true; END';
CREATE OPERATOR public.<=> (FUNCTION = public.evil, LEFTARG = text, RIGHTARG = varchar);
RESET ROLE;
SELECT try('SELECT dashcache_get(1, ''boss'')');
DROP OPERATOR public.<=> (text, varchar);
SELECT dashcache_drop(NULL, 'boss');

-- 13. a view put in the place of a table that somebody's widget reads
SET ROLE dashcache_mallory;
CREATE TABLE m.t (company_id bigint, x int);
INSERT INTO m.t VALUES (1, 1);
CREATE FUNCTION m.write() RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN EXECUTE ''ALTER ROLE dashcache_mallory SUPERUSER''; RETURN 1; END';
CREATE FUNCTION m.evil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''mallory runs as %'', current_user; RETURN m.write(); END';
RESET ROLE;
SELECT dashcache_define('t', 'SELECT sum(x) FROM m.t WHERE company_id = $1', 'boss');
SELECT dashcache_configure('boss', tenants => 'SELECT DISTINCT company_id FROM m.t');
SELECT try('SELECT dashcache_get(1, ''boss'')');
SET ROLE dashcache_mallory;
DROP TABLE m.t;
CREATE VIEW m.t AS SELECT 1::bigint AS company_id, m.evil() AS x;
RESET ROLE;
SELECT try('SELECT dashcache_get(1, ''boss'')');
-- many at once, the tenants query, and a volatile function instead
SELECT try('SELECT dashcache.warm_set(''t'', ''boss'', ''{1,2}'')');
SELECT dashcache_warm('boss') > 0 AS ran;
SELECT warmed, last_error FROM dashcache_runs LIMIT 1;
SET ROLE dashcache_mallory;
CREATE OR REPLACE VIEW m.t AS SELECT 1::bigint AS company_id, m.write() AS x;
RESET ROLE;
SELECT try('SELECT dashcache_get(1, ''boss'')');
SELECT try('SELECT dashcache_repair(''boss'')');
SELECT try('SELECT dashcache_get(1, ''boss'')');
SELECT rolsuper FROM pg_roles WHERE rolname = 'dashcache_mallory';
SELECT dashcache_drop(NULL, 'boss');

-- 14. a view of one's own that somebody has taken into a widget: its rights are one's own
SET ROLE dashcache_mallory;
CREATE VIEW m.v AS SELECT company_id, x FROM m.numbers;
RESET ROLE;
SET client_min_messages = notice;
SELECT dashcache_define('v', 'SELECT sum(x) FROM m.v WHERE company_id = $1', 'boss');
SET client_min_messages = warning;
SELECT try('SELECT dashcache_get(1, ''boss'')');
SET ROLE dashcache_mallory;
CREATE OR REPLACE VIEW m.v AS SELECT company_id, x FROM app.secret;
RESET ROLE;
SELECT try('SELECT dashcache_get(1, ''boss'')');
SELECT dashcache_drop(NULL, 'boss');

-- 15. a policy on a table of one's own that somebody's widget reads
SET ROLE dashcache_mallory;
CREATE TABLE m.p (company_id bigint, x int);
INSERT INTO m.p VALUES (1, 1);
GRANT SELECT, TRIGGER ON m.p TO dashcache_alice;
SET ROLE dashcache_alice;
SELECT dashcache_define('p', 'SELECT sum(x) FROM m.p WHERE company_id = $1', 'p');
SELECT try('SELECT dashcache_get(1, ''p'')');
SET ROLE dashcache_mallory;
CREATE FUNCTION m.see() RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''mallory runs as %'', current_user; RETURN true; END';
ALTER TABLE m.p ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON m.p USING (m.see());
SET ROLE dashcache_alice;
SELECT try('SELECT dashcache_get(1, ''p'')');
SELECT dashcache_drop(NULL, 'p');

-- 16. a widget that does what a restricted operation may not, or as who calls
SET ROLE dashcache_mallory;
CREATE FUNCTION m.do(what text) RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN EXECUTE what; RETURN 1; END';
CREATE FUNCTION m.quietly(what text) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN m.do(what); END';
SELECT dashcache_define('do', 'SELECT m.quietly($1)', 'do', ttl => '0');
RESET ROLE;
SELECT attack, try(format('SELECT dashcache_get(%L, ''do'')', attack)) FROM unnest(ARRAY[
	'ALTER ROLE dashcache_mallory SUPERUSER',
	'SET ROLE none',
	'SET SESSION AUTHORIZATION DEFAULT',
	'RESET SESSION AUTHORIZATION',
	'CREATE TEMPORARY TABLE numbers (x int)',
	'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
	'GRANT dashcache_alice TO dashcache_mallory',
	'SELECT x FROM app.secret',
	'COPY app.numbers TO PROGRAM ''true''',
	'INSERT INTO dashcache.grantee SELECT ''a'', ''dashcache_mallory''::regrole',
	'SELECT dashcache_get(1, ''a'')']) attack;
SELECT current_user = session_user AS still;

-- 17. the type of a tenant runs code: its owner's, as the widget's owner
SET ROLE dashcache_mallory;
CREATE FUNCTION m.check(x int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN m.do(''ALTER ROLE dashcache_mallory SUPERUSER'') = x; END';
CREATE DOMAIN m.tenant AS int CHECK (m.check(VALUE));
SELECT dashcache_define('domain', 'SELECT $1::m.tenant AS x', 'domain');
RESET ROLE;
SELECT try('SELECT dashcache_get(1, ''domain'')');
SET ROLE dashcache_mallory;
SELECT dashcache_drop(NULL, 'domain');

-- 18. a condition of a widget is looked at by who writes, but calls nobody's function
RESET ROLE;
GRANT TRIGGER ON app.numbers TO dashcache_mallory;
SET ROLE dashcache_mallory;
CREATE FUNCTION m.look(x int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''mallory runs as %'', current_user; RETURN true; END';
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.numbers WHERE company_id = $1 AND m.look(x)', 'm');
RESET ROLE;
SELECT try('INSERT INTO app.numbers VALUES (3, 33)');
SET ROLE dashcache_mallory;
SELECT dashcache_drop(NULL, 'm');

-- 19. an expression of dashcache_watch() is run by who writes, as who gave it
SELECT dashcache_define('w', 'SELECT sum(x) FROM app.numbers WHERE company_id = $1', 'm');
SELECT dashcache_watch('w', 'app.numbers', '(SELECT s.x FROM app.secret s LIMIT 1)', 'm');
RESET ROLE;
SELECT try('INSERT INTO app.numbers VALUES (3, 33)');
SET ROLE dashcache_mallory;
SELECT dashcache_watch('w', 'app.numbers', 'm.quietly(''ALTER ROLE dashcache_mallory SUPERUSER'')::bigint', 'm');
RESET ROLE;
SELECT try('INSERT INTO app.numbers VALUES (3, 33)');
SET ROLE dashcache_mallory;
SELECT try('SELECT dashcache_watch(''w'', ''app.secret'', NULL, ''m'')');
SELECT try('SELECT dashcache_watch(''w'', ''app.numbers'', ''x); DROP TABLE app.numbers; --'', ''m'')');
RESET ROLE;
SET ROLE dashcache_alice;
SELECT try('SELECT dashcache_watch(''sum'', ''app.numbers'', ''m.quietly(note)::bigint'', ''a'')');
SET ROLE dashcache_mallory;
SELECT dashcache_drop(NULL, 'm');
RESET ROLE;
REVOKE TRIGGER ON app.numbers FROM dashcache_mallory;

-- 20. the tenants query
SET ROLE dashcache_mallory;
SELECT dashcache_define('w', 'SELECT $1::int AS x', 'm');
SELECT try('SELECT dashcache_configure(''m'', tenants => ''SELECT company_id FROM app.secret'')');
SELECT try('SELECT dashcache_configure(''m'', tenants => ''SELECT m.do(''''ALTER ROLE dashcache_mallory SUPERUSER'''')'')');
SELECT try('SELECT dashcache_configure(''m'', tenants => ''DELETE FROM m.numbers RETURNING 1'')');
SELECT dashcache_drop(NULL, 'm');

-- 21. changes that nobody is to notice
SELECT try('SET session_replication_role = replica');
SELECT try('ALTER TABLE app.numbers DISABLE TRIGGER ALL');
SELECT try('ALTER EVENT TRIGGER dashcache_ddl_ended DISABLE');
SELECT try('DROP EXTENSION dashcache CASCADE');
SELECT try('SET dashcache.memory = 0');
-- by who owns the table, of which somebody else has a widget
CREATE TABLE m.mine (company_id bigint, x int);
INSERT INTO m.mine VALUES (1, 1);
RESET ROLE;
SELECT dashcache_define('mine', 'SELECT sum(x) FROM m.mine WHERE company_id = $1', 'boss');
SELECT data, source FROM dashcache_fetch(1, 'boss');
SET ROLE dashcache_mallory;
ALTER TABLE m.mine DISABLE TRIGGER ALL;
UPDATE m.mine SET x = 2;
RESET ROLE;
SELECT data, source FROM dashcache_fetch(1, 'boss');
SELECT dashcache_repair('boss');
SELECT data FROM dashcache_fetch(1, 'boss');
SET ROLE dashcache_mallory;
DROP TRIGGER dashcache_row ON m.mine;
UPDATE m.mine SET x = 3;
RESET ROLE;
SELECT data FROM dashcache_fetch(1, 'boss');
SET ROLE dashcache_mallory;
CREATE RULE r AS ON UPDATE TO m.mine DO INSTEAD NOTHING;
UPDATE m.mine SET x = 4;
RESET ROLE;
SELECT data FROM dashcache_fetch(1, 'boss');
SELECT dashcache_drop(NULL, 'boss');

-- 22. the guard
SET ROLE dashcache_mallory;
SELECT try('SELECT dashcache_get(1, ''guarded'')');
SET app.tenant_id = '1';
SELECT try('SELECT dashcache_get(1, ''guarded'')');
SELECT try('SELECT dashcache_get(2, ''guarded'')') = try('SELECT dashcache_get(987654321, ''guarded'')') AS same_text;
SELECT try('SELECT dashcache_get(2, ''guarded'')');
SELECT try('SELECT dashcache_get(2, ''guarded'', ''nobody'')');
SELECT try('SELECT dashcache_get(''not a number'', ''guarded'')');
SELECT try('SELECT dashcache_get(''2'', ''guarded'', refresh => true)');
SELECT try('SELECT dashcache_get('' 1'', ''guarded'')');
SELECT try('SELECT dashcache_get(''01'', ''guarded'')');
SELECT try('SELECT dashcache_get(''1 OR true'', ''guarded'')');
-- set where the call does not look
SELECT try('SELECT dashcache_get(2, ''guarded'') FROM (SELECT 1 OFFSET 0) x WHERE set_config(''app.tenant'', ''2'', false) = ''2''');
CREATE TABLE m."app.tenant_id" AS SELECT 2 AS x;
SELECT try('SELECT dashcache_get(2, ''guarded'')');
SELECT try('SELECT dashcache_configure(''guarded'', guard => '''')');
SELECT try('SELECT dashcache_configure(''guarded'', guard_exempt_owner => true)');
-- owners and superusers are not exempt unless that is said
SET ROLE dashcache_alice;
SELECT try('SELECT dashcache_get(2, ''guarded'')');
RESET ROLE;
SELECT try('SELECT dashcache_get(2, ''guarded'')');
SELECT dashcache_configure('guarded', guard_exempt_owner => true);
SELECT try('SELECT dashcache_get(2, ''guarded'')');
SET ROLE dashcache_alice;
SELECT try('SELECT dashcache_get(2, ''guarded'')');
SET ROLE dashcache_mallory;
SELECT try('SELECT dashcache_get(2, ''guarded'')');
RESET ROLE;
SELECT dashcache_configure('guarded', guard_exempt_owner => false);
SELECT try('SELECT dashcache_get(2, ''guarded'')');
RESET app.tenant_id;

-- 23. who monitors sees what is asked for, and no content
SELECT data FROM dashcache_fetch(1, 'a', 'sum');
SET ROLE dashcache_alice;
SELECT dashcache_define('fails', 'SELECT note::int FROM app.numbers WHERE company_id = $1', 'fails');
SELECT dashcache_configure('fails', tenants => 'SELECT 1');
SELECT dashcache_warm('fails') > 0 AS ran;
SET ROLE dashcache_monitor;
SELECT try('SELECT dashcache_get(1, ''a'')');
SELECT try('SELECT etag FROM dashcache_fetch(1, ''a'')');
SELECT try('SELECT dashcache_purge(1)');
SELECT try('SELECT dashcache_define(''w'', ''SELECT 1 WHERE $1 = 1'')');
SELECT try('SELECT query FROM dashcache.widget');
SELECT count(*) > 0 AS sees FROM dashcache_entries WHERE dashboard = 'a';
SELECT failed, last_error FROM dashcache_runs WHERE dashboard = 'fails';
RESET ROLE;
SELECT failed, last_error FROM dashcache_runs WHERE dashboard = 'fails';

-- 24. policies that ask who is asking
SET ROLE dashcache_mallory;
CREATE TABLE m.rls (company_id bigint, x int, who text);
INSERT INTO m.rls VALUES (1, 1, 'dashcache_alice'), (1, 100, 'dashcache_mallory');
ALTER TABLE m.rls ENABLE ROW LEVEL SECURITY;
GRANT SELECT, TRIGGER ON m.rls TO dashcache_alice;
CREATE FUNCTION m.company() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN RETURN current_setting(''app.company''); END';
CREATE FUNCTION m.sql_company() RETURNS bigint IMMUTABLE LANGUAGE sql RETURN current_setting('app.company')::bigint;
CREATE FUNCTION m.lookup() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT 1::bigint';
SET ROLE dashcache_alice;
\set define 'SELECT try(''SELECT dashcache_define(''''rls'''', ''''SELECT sum(x) FROM m.rls WHERE company_id = $1'''', ''''rls'''')'')'
SET ROLE dashcache_mallory; CREATE POLICY p ON m.rls USING (who = current_user); SET ROLE dashcache_alice;
:define;
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (who = session_user); SET ROLE dashcache_alice;
:define;
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (company_id = current_setting('app.company')::bigint); SET ROLE dashcache_alice;
:define;
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (company_id = m.company()); SET ROLE dashcache_alice;
:define;
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (company_id = m.sql_company()); SET ROLE dashcache_alice;
:define;
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (company_id = m.lookup()); SET ROLE dashcache_alice;
:define;
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (EXISTS (SELECT FROM m.numbers n WHERE n.x = 666 AND who = user)); SET ROLE dashcache_alice;
:define;
-- nor the query itself, by a function
SELECT try('SELECT dashcache_define(''s'', ''SELECT m.company() WHERE $1 = 1'', ''rls'')');
-- whom policies do not apply to may
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (who = current_user);
:define;
SELECT try('SELECT dashcache_get(1, ''rls'')');
SELECT dashcache_drop(NULL, 'rls');
-- the same for all who ask: said, and allowed
SET ROLE dashcache_mallory; ALTER POLICY p ON m.rls USING (x < 10); SET ROLE dashcache_alice;
SET client_min_messages = notice;
SELECT dashcache_define('rls', 'SELECT sum(x) FROM m.rls WHERE company_id = $1', 'rls');
SET client_min_messages = warning;
RESET ROLE;
SELECT data, source FROM dashcache_fetch(1, 'rls');
SELECT data, source FROM dashcache_fetch(1, 'rls');
-- policies that come later count
SET ROLE dashcache_mallory;
CREATE POLICY more ON m.rls USING (x = 100);
RESET ROLE;
SELECT data, source FROM dashcache_fetch(1, 'rls');
SET ROLE dashcache_mallory;
CREATE POLICY personal ON m.rls AS RESTRICTIVE USING (who = current_user);
RESET ROLE;
SELECT data, source, reason FROM dashcache_fetch(1, 'rls');
SELECT data, source, reason FROM dashcache_fetch(1, 'rls');
SELECT problem FROM dashcache_check() WHERE severity = 'error';
SELECT dashcache_drop(NULL, 'rls');

-- 25. the error of one tenant's rows names no other, and a failing role's answer is not an old one
SET ROLE dashcache_alice;
SELECT try('SELECT dashcache_get(2, ''fails'')');
SELECT dashcache_define('stale', 'SELECT sum(x) FROM app.secret WHERE company_id = $1', 'stale', max_stale => '1 day');
SELECT data FROM dashcache_fetch(1, 'stale');
REVOKE SELECT ON app.secret FROM dashcache_alice;
SELECT try('SELECT dashcache_get(1, ''stale'')');
GRANT SELECT ON app.secret TO dashcache_alice;
SELECT try('SELECT dashcache_get(1, ''stale'')');
RESET ROLE;

-- 26. what is attached to a table that somebody's widget reads: the planner would call it
RESET ROLE;
SET ROLE dashcache_mallory;
CREATE FUNCTION m.constant(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN IF current_user <> ''dashcache_mallory'' THEN RAISE WARNING ''mallory runs as %'', current_user; PERFORM m.write(); END IF; RETURN $1; END';
CREATE FUNCTION m.inlined(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + m.constant(1)';
CREATE TABLE m.w (company_id bigint, x int);
RESET ROLE;
SELECT dashcache_define('w', 'SELECT sum(x) FROM m.w WHERE company_id = $1', 'boss');
CREATE FUNCTION attached(what text, again text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
BEGIN
	SET LOCAL ROLE dashcache_mallory;
	EXECUTE what;
	INSERT INTO m.w VALUES (1, 1);
	RESET ROLE;
	outcome := try('SELECT dashcache_get(1, ''boss'')');
	SET LOCAL ROLE dashcache_mallory;
	EXECUTE again;
	RESET ROLE;
	RETURN outcome;
END $$;
SELECT attached('CREATE INDEX i ON m.w (m.constant(1))', 'DROP INDEX m.i');
SELECT attached('CREATE INDEX i ON m.w (m.constant(CASE WHEN true THEN 1 ELSE x END))', 'DROP INDEX m.i');
SELECT attached('CREATE INDEX i ON m.w (m.inlined(x))', 'DROP INDEX m.i');
SELECT attached('CREATE INDEX i ON m.w (x) WHERE m.constant(1) = 1', 'DROP INDEX m.i');
SELECT attached('ALTER TABLE m.w ADD CONSTRAINT c CHECK (m.constant(1) = 1)', 'ALTER TABLE m.w DROP CONSTRAINT c');
SELECT attached('CREATE TABLE m.child (CHECK (m.constant(1) = 1)) INHERITS (m.w)', 'DROP TABLE m.child');
SELECT attached('CREATE STATISTICS m.s ON m.constant(1), x FROM m.w', 'DROP STATISTICS m.s');
-- a column is no constant
SELECT attached('CREATE INDEX i ON m.w (m.constant(x))', 'DROP INDEX m.i');
SELECT attached('SELECT 1', 'SELECT 1');
SET ROLE dashcache_mallory;
DROP TABLE m.w;
CREATE TABLE m.w (company_id bigint, x int) PARTITION BY LIST (m.inlined(x));
RESET ROLE;
SELECT try('SELECT dashcache_get(1, ''boss'')');

-- 27. values that are checked by the constraints of domains, however they are made
SET ROLE dashcache_mallory;
DROP TABLE m.w;
CREATE DOMAIN m.checked AS int CHECK (m.constant(VALUE) IS NOT NULL);
CREATE TABLE m.w (company_id m.checked[], x int);
RESET ROLE;
SELECT try('SELECT dashcache_get(''{1}'', ''boss'')');
SELECT try('SELECT dashcache_repair(''boss'')');
SELECT try('SELECT dashcache_get(''{1}'', ''boss'')');
SELECT dashcache_drop(NULL, 'boss');
-- a type planted in a schema that is searched earlier
CREATE TYPE public.thing AS (a int);
CREATE DOMAIN public.number AS int;
SET search_path = m, public;
SELECT dashcache_define('thing', format('SELECT %s WHERE $1 = 1', expression), 'boss' || n)
FROM unnest(ARRAY['(json_populate_record(NULL::thing, ''{"a": 1}'')).a', '(''(1)''::thing).a', '(_number(''{1}''))[1]',
	'(SELECT r.a FROM json_to_recordset(''[{"a": 1}]'') AS r (a number))', '(''{1}''::number[])[1]']) WITH ORDINALITY x (expression, n);
SELECT dashcache_define('thing', 'SELECT $1::number AS a', 'boss6');
RESET search_path;
SELECT n, try(format('SELECT dashcache_get(1, %L, refresh => true)', 'boss' || n)) FROM generate_series(1, 6) n;
SET ROLE dashcache_mallory;
CREATE TYPE m.thing AS (a m.checked);
CREATE DOMAIN m.number AS int CHECK (m.constant(VALUE) IS NOT NULL);
RESET ROLE;
SELECT n, try(format('SELECT dashcache_get(1, %L, refresh => true)', 'boss' || n)) FROM generate_series(1, 6) n;
SELECT n, try(format('SELECT dashcache_repair(%L)', 'boss' || n)) FROM generate_series(1, 6) n;
SELECT n, try(format('SELECT dashcache_get(1, %L, refresh => true)', 'boss' || n)) FROM generate_series(1, 6) n;
SELECT dashcache_drop(NULL, 'boss' || n) FROM generate_series(1, 6) n;

-- 28. a dashboard of the same name as one that is gone: nothing is left of it
SET ROLE dashcache_alice;
SELECT dashcache_define('x', 'SELECT $1::int AS x', 'gone');
SELECT dashcache_grant('gone', 'dashcache_mallory');
SELECT data FROM dashcache_fetch(7, 'gone');
SELECT dashcache_drop(NULL, 'gone');
SET ROLE dashcache_mallory;
SELECT dashcache_define('x', 'SELECT -$1::int AS x', 'gone');
RESET ROLE;
SELECT data, source FROM dashcache_fetch(7, 'gone');
SET ROLE dashcache_mallory;
SELECT dashcache_drop(NULL, 'gone');
SET ROLE dashcache_alice;
SELECT dashcache_define('x', 'SELECT $1::int AS x', 'gone');
SET ROLE dashcache_mallory;
SELECT try('SELECT dashcache_get(7, ''gone'')');

-- 29. answers poisoned by the session that computes them: its settings, its own writes, which are rolled back
RESET ROLE;
GRANT SELECT, UPDATE ON app.numbers TO dashcache_mallory;
SET ROLE dashcache_alice;
SELECT dashcache_define('rendered', 'SELECT timestamp ''2026-02-01'' AS at, 0.1::float8 + sum(x) AS f, ''\x41''::bytea AS b FROM app.numbers WHERE company_id = $1', 'poison');
SELECT dashcache_grant('poison', 'dashcache_mallory');
SET ROLE dashcache_mallory;
BEGIN;
SET LOCAL DateStyle = 'SQL, DMY';
SET LOCAL extra_float_digits = -10;
SET LOCAL bytea_output = 'escape';
SET LOCAL search_path = m, pg_temp;
SET LOCAL row_security = off;
SELECT data FROM public.dashcache_fetch(1, 'poison');
COMMIT;
SET ROLE dashcache_alice;
SELECT data, source FROM dashcache_fetch(1, 'poison');
SET ROLE dashcache_mallory;
BEGIN;
UPDATE app.numbers SET x = -1 WHERE company_id = 1;
SELECT data FROM dashcache_fetch(1, 'poison', refresh => true);
ROLLBACK;
SET ROLE dashcache_alice;
SELECT data, source FROM dashcache_fetch(1, 'poison');

-- 30. a function that is called in the place of ours: only where one may create it
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM dashcache_mallory;
SET ROLE dashcache_mallory;
SELECT try('CREATE FUNCTION public.dashcache_get(int, text) RETURNS json LANGUAGE sql AS ''SELECT NULL::json''');
SELECT try('ALTER FUNCTION public.dashcache_check() SECURITY INVOKER');
RESET ROLE;

-- 31. names given to one's own columns and tables, so that a query that follows them compares something else
GRANT USAGE ON SCHEMA m TO dashcache_alice;
SET ROLE dashcache_mallory;
CREATE TABLE m.who (id bigint, label text);
INSERT INTO m.who VALUES (1, 'one'), (2, 'two');
GRANT SELECT, TRIGGER ON m.who TO dashcache_alice;
SET ROLE dashcache_alice;
SET search_path = m, app, public;
SELECT dashcache_define('outer', 'SELECT label, (SELECT sum(x) FROM app.numbers n WHERE n.company_id = id) AS sum FROM m.who WHERE id = $1', 'named', result => 'row');
SELECT dashcache_define('with', 'WITH persons AS (SELECT $1::bigint AS id, sum(x)::text AS label FROM who, app.numbers) SELECT who.id, who.label FROM who WHERE who.id = $1', 'named', result => 'row');
RESET search_path;
SELECT dashcache_grant('named', 'dashcache_mallory');
SELECT data FROM dashcache_fetch(1, 'named');
SET ROLE dashcache_mallory;
SELECT try('ALTER TABLE m.who RENAME id TO company_id');
SELECT try('SELECT dashcache_get(1, ''named'', ''outer'')');
SELECT try('ALTER TABLE m.who RENAME company_id TO id');
SELECT data FROM public.dashcache_fetch(1, 'named');
SELECT try('ALTER TABLE m.who RENAME TO persons');
SELECT try('SELECT dashcache_get(1, ''named'', ''with'')');
SELECT try('ALTER TABLE m.persons RENAME TO who');
SELECT try('ALTER TABLE m.who RENAME label TO "x"":1,""y"');
SELECT data FROM public.dashcache_fetch(1, 'named', 'outer');
RESET ROLE;
SELECT query, problem FROM dashcache.widget WHERE dashboard = 'named' ORDER BY id;
SELECT dashcache_drop(NULL, 'named');

-- 32. DDL where there is hardly any stack left, so that a widget is taken for one that cannot be understood
SET ROLE dashcache_mallory;
CREATE FUNCTION m.deep(levels int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN m.deep(levels - 1);
EXCEPTION WHEN statement_too_complex THEN
	EXECUTE 'CREATE OR REPLACE FUNCTION m.sum(x text) RETURNS text LANGUAGE sql RETURN x';
	RETURN 'done';
END $$;
SELECT m.deep(1000000);
RESET ROLE;
SELECT name, problem FROM dashcache.widget WHERE problem ~ 'stack';

-------------------------------------------------------------------------------
-- nothing has come of it all
SELECT rolsuper FROM pg_roles WHERE rolname = 'dashcache_mallory';
SELECT data FROM dashcache_fetch(1, 'a', 'sum');
SELECT * FROM dashcache_check() WHERE severity = 'error';
-- roles that own or were granted something cannot be dropped
SELECT try('DROP ROLE dashcache_alice');
SELECT try('DROP ROLE dashcache_mallory');
DROP OWNED BY dashcache_alice, dashcache_mallory, dashcache_nobody, dashcache_monitor;
SELECT dashboard FROM dashcache_stats;
DROP FUNCTION attached(text, text), try(text), public.pretty(numeric);
DROP TYPE public.thing, public.number;
DROP OPERATOR public.<=> (text, text);
DROP FUNCTION public.same(text, text);
DROP EXTENSION dashcache;
DROP ROLE dashcache_alice, dashcache_mallory, dashcache_nobody, dashcache_monitor;
