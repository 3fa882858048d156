# Roles that become others: memberships, attributes, owners; what is cached
# follows at once, also in sessions that have hit before.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => 'dashcache.workers = 0');

$node->sql(q{
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
	CREATE ROLE owner LOGIN;
	CREATE ROLE analysts;
	CREATE ROLE readers;
	CREATE ROLE reader LOGIN IN ROLE readers;
	CREATE ROLE mallory LOGIN;
	CREATE SCHEMA m AUTHORIZATION mallory;
	GRANT USAGE ON SCHEMA m TO PUBLIC;
	GRANT analysts TO owner;
	CREATE TABLE t (k int, x int);
	INSERT INTO t VALUES (1, 1), (1, 100), (2, 2);
	GRANT SELECT ON t TO analysts;
	GRANT TRIGGER ON t TO owner;
});
my $owner = $node->session(user => 'owner');
my $reader = $node->session(user => 'reader');
my $mallory = $node->session(user => 'mallory');
my $super = $node->session;

sub define
{
	my ($session, $name, $query, $more) = @_;

	$session->query("SET client_min_messages = warning;
		SELECT dashcache_define('$name', '$query', '$name'" . ($more // '') . ")");
}

sub answer
{
	my ($session, $dashboard) = @_;

	return $session->query("SELECT data, source FROM dashcache_fetch(1, '$dashboard')");
}

# Until the answer comes from the cache.
sub hit
{
	my ($session, $dashboard) = @_;

	answer($session, $dashboard);
	return answer($session, $dashboard);
}

my $get = "SELECT dashcache_get(1, 'sum')";

define($owner, 'sum', 'SELECT sum(x) FROM t WHERE k = $1', q{, max_stale => '1 day'});
$owner->query("SELECT dashcache_grant('sum', 'readers')");
is(hit($reader, 'sum'), '{"sum":101}|cache', 'a member of a role that it was granted to reads');

# Who may read.
$node->sql('REVOKE readers FROM reader');
like($reader->error($get), qr/permission denied for dashboard "sum"/, 'no longer a member: at once, where it was read before');
$node->sql('GRANT readers TO reader');
is(answer($reader, 'sum'), '{"sum":101}|cache', 'a member again');
$owner->query("SELECT dashcache_revoke('sum', 'readers')");
like($reader->error($get), qr/permission denied for dashboard "sum"/, 'revoked');
$owner->query("SELECT dashcache_grant('sum', '-')");
is(answer($reader, 'sum'), '{"sum":101}|cache', 'granted to PUBLIC');

# What others are does not matter.
$node->sql('CREATE ROLE somebody; GRANT analysts TO somebody; ALTER ROLE reader BYPASSRLS; ALTER ROLE owner PASSWORD NULL');
is(answer($reader, 'sum'), '{"sum":101}|cache', 'other roles change');

# What the owner may read, by a membership.
$node->sql('REVOKE analysts FROM owner');
like($reader->error($get), qr/permission denied for table t/, 'the owner may no longer read the table: no hit, and no last answer');
is($node->sql("SELECT problem FROM dashcache_check() WHERE severity = 'error'"),
	'it is computed at each call: owner has other attributes or memberships than when it was last looked at', 'that is said');
$node->sql('GRANT analysts TO owner');
is(answer($reader, 'sum'), '{"sum":101}|cache', 'and again');
is($node->sql("SELECT count(*) FROM dashcache_check() WHERE severity = 'error'"), '0', 'all is well');
$node->sql('CREATE DATABASE other');
$node->sql('REVOKE analysts FROM owner', 'other');
like($reader->error($get), qr/permission denied for table t/, 'from another database');
$node->sql('GRANT analysts TO owner', 'other');

# One of the server's own functions, which any query may call.
$node->sql('REVOKE EXECUTE ON FUNCTION pg_catalog.sum(int) FROM PUBLIC');
like($reader->error($get), qr/permission denied for aggregate sum/, 'the owner may no longer call a function of the server');
$node->sql('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog TO PUBLIC');
is(hit($reader, 'sum'), '{"sum":101}|cache', 'and again');

# A looked at again, while it is broken, and after that.
$node->sql('REVOKE analysts FROM owner');
$owner->query("SELECT dashcache_repair('sum')");
like($reader->error($get), qr/permission denied for table t/, 'repaired without the right');
$node->sql('GRANT analysts TO owner');
$owner->query("SELECT dashcache_repair('sum')");
is(hit($reader, 'sum'), '{"sum":101}|cache', 'and with it');

define($owner, 'sum', 'SELECT sum(x) FROM t WHERE k = $1');

# BYPASSRLS: other rows, and another table to be watched.
$node->sql(q{
	CREATE TABLE allowed (x int);
	INSERT INTO allowed VALUES (1);
	GRANT SELECT, TRIGGER ON allowed TO owner;
	ALTER ROLE owner BYPASSRLS;
	CREATE POLICY visible ON t USING (EXISTS (SELECT FROM allowed a WHERE a.x = t.x));
	ALTER TABLE t ENABLE ROW LEVEL SECURITY;
	SELECT dashcache_repair();
});
is(hit($reader, 'sum'), '{"sum":101}|cache', 'the policies do not apply to the owner');
$node->sql('ALTER ROLE owner NOBYPASSRLS');
is(answer($reader, 'sum'), '{"sum":1}|database', 'and now they do');
$node->sql('INSERT INTO allowed VALUES (100)');
is(answer($reader, 'sum'), '{"sum":101}|database', 'by what nobody watches yet');
$owner->query("SELECT dashcache_repair('sum')");
is(hit($reader, 'sum'), '{"sum":101}|cache', 'looked at again');
$node->sql('DELETE FROM allowed WHERE x = 1');
is(answer($reader, 'sum'), '{"sum":100}|database', 'it is watched');
$node->sql('ALTER ROLE owner SUPERUSER');
is(answer($reader, 'sum'), '{"sum":101}|database', 'a superuser');
$node->sql('ALTER ROLE owner NOSUPERUSER');
is(answer($reader, 'sum'), '{"sum":100}|cache', 'no longer one');

# A policy for a role that the owner becomes a member of.
$node->sql('CREATE ROLE special; CREATE POLICY special ON t TO special USING (true)');
is(hit($reader, 'sum'), '{"sum":100}|cache', 'a policy for others');
$node->sql('GRANT special TO owner');
is(answer($reader, 'sum'), '{"sum":101}|database', 'and for the owner');
$node->sql('REVOKE special FROM owner');
$node->sql('ALTER TABLE t DISABLE ROW LEVEL SECURITY');

# The owner of a view that the query reads.
$node->sql(q{
	CREATE ROLE viewer;
	GRANT analysts TO viewer;
	CREATE VIEW v AS SELECT k, x FROM t;
	ALTER VIEW v OWNER TO viewer;
	GRANT SELECT ON v TO owner;
});
define($owner, 'view', 'SELECT sum(x) FROM v WHERE k = $1');
is(hit($owner, 'view'), '{"sum":101}|cache', 'by a view');
$node->sql('REVOKE analysts FROM viewer');
like($owner->error("SELECT dashcache_get(1, 'view')"), qr/permission denied for table t/, 'its owner may no longer read');
$node->sql('GRANT analysts TO viewer');

# The name of the owner.
define($owner, 'who', 'SELECT current_user AS who WHERE $1 = 1');
is(hit($super, 'who'), '{"who":"owner"}|cache', 'the name of the owner');
$node->sql('ALTER ROLE owner RENAME TO renamed');
is(answer($super, 'who'), '{"who":"renamed"}|database', 'another name');
$node->sql('ALTER ROLE renamed RENAME TO owner');

# A role that is another one for a while, while an answer is computed.
is(hit($reader, 'sum'), '{"sum":101}|cache', 'before');
my $blocker = $node->session;
$blocker->query('BEGIN; LOCK TABLE t');
$reader->start("SELECT data, source, reason FROM dashcache_fetch(1, 'sum', refresh => true)");
$reader->wait_for_lock;
$node->sql('ALTER ROLE owner SUPERUSER');
$node->sql('ALTER ROLE owner NOSUPERUSER');
$blocker->query('COMMIT');
is($reader->finish, '{"sum":101}|database|uncertain', 'such an answer is not stored');
is(answer($reader, 'sum'), '{"sum":101}|cache', 'the one before is right');

# A view comes in the place of a table while its widget waits for it.
$mallory->query(q{
	CREATE TABLE m.t (k int, x int);
	INSERT INTO m.t VALUES (1, 1);
	CREATE FUNCTION m.evil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS
		'BEGIN RAISE EXCEPTION ''mallory runs as %'', current_user; END';
});
define($super, 'swap', 'SELECT sum(x) FROM m.t WHERE k = $1');
is(hit($super, 'swap'), '{"sum":1}|cache', 'a table of mallory\'s');
$mallory->query('BEGIN; DROP TABLE m.t; CREATE VIEW m.t AS SELECT 1 AS k, m.evil() AS x');
$super->start("SELECT dashcache_get(1, 'swap', refresh => true)");
$super->wait_for_lock;
$mallory->query('COMMIT');
like(($super->finish)[1], qr/permission denied to run what belongs to role "mallory"/, 'is a view when it can be read');
$super->query("SELECT dashcache_drop(NULL, 'swap')");

# Who may write a row is not told whose it is.
$node->sql(q{
	CREATE TABLE parents (id int PRIMARY KEY, k int NOT NULL);
	CREATE TABLE children (parent int NOT NULL REFERENCES parents);
	INSERT INTO parents VALUES (1, 4711);
	GRANT INSERT ON children TO mallory;
});
define($super, 'children', 'SELECT count(*) FROM children c JOIN parents p ON p.id = c.parent WHERE p.k = $1');
my $insert = 'SET client_min_messages = debug1; INSERT INTO children VALUES (1); RESET client_min_messages';
my $position = $node->log_position;
$node->sql("ALTER SYSTEM SET log_min_messages = debug1; SELECT pg_reload_conf()");
$node->wait_for(q{SELECT setting = 'debug1' FROM pg_settings WHERE name = 'log_min_messages'});
$mallory->start($insert);
my $told = join("\n", $mallory->finish);
like($told, qr/invalidates tenant \(hidden\) of source "children"/, 'a change, without the tenant');
unlike($told, qr/4711/, 'nor anywhere else');
like(slurp_file($node->logfile, $position), qr/The tenant is 4711\./, 'the log has it');
$super->start($insert);
like(join("\n", $super->finish), qr/invalidates tenant 4711 of source/, 'a superuser is told');
$node->sql("ALTER SYSTEM RESET log_min_messages; SELECT pg_reload_conf()");
$super->query("SELECT dashcache_drop(NULL, 'children')");
$node->sql('DROP TABLE children, parents');

# Roles that own something, or may read something, cannot be dropped.
$node->sql("SELECT dashcache_revoke('sum', '-'); SELECT dashcache_grant('sum', 'somebody')");
my $refused = $node->sql(q{
	CREATE FUNCTION refused(command text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		detail text;
	BEGIN
		EXECUTE command;
		RETURN 'done';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		RETURN sqlstate || ' ' || detail;
	END $$;
	SELECT refused('DROP ROLE somebody')});
is($refused, '2BP01 privileges for type dashcache.granted_dashboards', 'who may read a dashboard');
like($node->sql(q{SELECT refused('DROP ROLE owner')}), qr/^2BP01 .*privileges for type dashcache.owned_dashboards/s, 'who owns one');
$node->sql('DROP OWNED BY somebody');
is($node->sql('SELECT count(*) FROM dashcache.grantee'), '0', 'what it was granted is gone');
is($node->sql(q{SELECT refused('DROP ROLE somebody')}), 'done', 'and it can go');

# REASSIGN OWNED.
$node->sql('CREATE ROLE heir LOGIN; GRANT analysts TO heir; GRANT SELECT ON v TO heir');
my $heir = $node->session(user => 'heir');
like($heir->error("SELECT dashcache_get(1, 'sum')"), qr/permission denied for dashboard/, 'not the owner yet');
$node->sql(q{INSERT INTO dashcache.job (dashboard, schedule, kind, every, role)
	VALUES ('sum', '1 year', 'i', '1 year', 'owner'::regrole)});
$node->sql('REASSIGN OWNED BY owner TO heir');
is(hit($heir, 'sum'), '{"sum":101}|cache', 'the heir owns the dashboard');
is(hit($heir, 'who'), '{"who":"heir"}|cache', 'the widgets');
is($node->sql('SELECT DISTINCT role::regrole FROM dashcache.job'), 'heir', 'and the jobs');
like($owner->error("SELECT dashcache_get(1, 'sum')"), qr/permission denied for dashboard/, 'and the other one does not');
$owner->quit;
$node->sql('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM owner');
is($node->sql(q{SELECT refused('DROP ROLE owner')}), 'done', 'who can be dropped');

# DROP OWNED, of who owns a dashboard, or a widget in another's, or an override.
$node->sql(q{CREATE ROLE guest IN ROLE heir; GRANT TRIGGER ON t TO heir, guest;
	SET client_min_messages = warning;
	SET ROLE guest;
	SELECT dashcache_define('guest', 'SELECT count(*) FROM t WHERE k = $1', 'sum');
	SELECT dashcache_watch('sum', 't', NULL, 'sum')});
$node->sql('DROP OWNED BY guest');
is($node->sql("SELECT string_agg(widget, ' ') FROM dashcache_stats WHERE dashboard = 'sum'"), 'sum', 'a widget of its own goes');
is($node->sql('SELECT count(*) FROM dashcache.override'), '0', 'and an override');
$node->sql('DROP OWNED BY heir');
is($node->sql('SELECT count(*) FROM dashcache.dashboard'), '0', 'the dashboards go');
is($node->sql('SELECT count(*) FROM dashcache.job'), '0', 'and the jobs');
is($node->sql("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dashcache%'"), '0', 'and the triggers');
$heir->quit;
is($node->sql(q{SELECT refused('DROP ROLE guest') || ' ' || refused('DROP ROLE heir')}), 'done done', 'they can be dropped');

# The same of definitions that were not looked at yet, as after a restore.
$node->sql(q{CREATE ROLE old; CREATE ROLE new; CREATE ROLE reads;
	GRANT SELECT, TRIGGER ON t TO old;
	SET client_min_messages = warning;
	SET ROLE old;
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE k = $1', 'restored');
	SELECT dashcache_grant('restored', 'reads');
	RESET ROLE;
	DELETE FROM dashcache.verified});
$node->sql('DROP OWNED BY reads');
is($node->sql('SELECT count(*) FROM dashcache.grantee'), '0', 'DROP OWNED after a restore');
$node->sql('REASSIGN OWNED BY old TO new');
is($node->sql('SELECT d.owner, w.owner, w.roles FROM dashcache.dashboard d, dashcache.widget w'), 'new|new|{new}', 'REASSIGN OWNED after a restore');
is($node->sql('SELECT count(*) FROM dashcache.verified'), '0', 'which does not look at anything');
$node->sql('DROP OWNED BY new');
is($node->sql('SELECT count(*) FROM dashcache.dashboard'), '0', 'what it owns goes');
$node->sql('DROP OWNED BY old; DROP ROLE old, new, reads');

# Whose code was admitted: of a role that is gone no OID may be left, which would be
# another role's elsewhere.
$node->sql(q{CREATE ROLE definer; CREATE ROLE helper;
	GRANT SELECT, TRIGGER ON t TO definer;
	GRANT CREATE ON SCHEMA public TO helper;
	SET client_min_messages = warning;
	SET ROLE helper;
	CREATE FUNCTION helps(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1';
	CREATE FUNCTION lists() RETURNS SETOF bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint';
	SET ROLE definer;
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE k = helps($1)', 'helped');
	SELECT dashcache_configure('helped', tenants => 'SELECT * FROM lists()');
	RESET ROLE;
	ALTER FUNCTION helps(bigint) OWNER TO definer;
	ALTER FUNCTION lists() OWNER TO definer;
	REVOKE ALL ON SCHEMA public FROM helper});
like($node->sql(q{SELECT refused('DROP ROLE helper')}), qr/^2BP01 privileges for type dashcache.owned_dashboards/, 'who was admitted');
$node->sql('DROP OWNED BY helper');
is($node->sql('SELECT roles, tenants_roles FROM dashcache.widget, dashcache.dashboard'), '{definer}|{}', 'is no longer');
is($node->sql(q{SELECT refused('DROP ROLE helper')}), 'done', 'and can go');
$node->sql('DROP OWNED BY definer; DROP ROLE definer');

# An owner who is gone in spite of all.
$node->sql('CREATE ROLE gone');
$node->sql(q{SET client_min_messages = warning; SET ROLE gone;
	SELECT dashcache_define('w', 'SELECT 1 AS x WHERE $1 = 1', 'gone')});
$node->sql(q{REVOKE ALL ON TYPE dashcache.owned_dashboards FROM gone; DROP ROLE gone});
like($super->error("SELECT dashcache_get(1, 'gone')"), qr/the owner of the widget, role with OID \d+, does not exist/, 'an error');
like($node->sql("SELECT string_agg(object || ': ' || problem, ' ') FROM dashcache_check() WHERE severity = 'error'"),
	qr/dashboard gone: its owner, the role with OID \d+, does not exist.*widget w of dashboard gone: the role that it is computed as/s, 'and a note');
$super->query("SELECT dashcache_drop(NULL, 'gone')");

# Workers look again by themselves, once somebody has found out.
$node->sql('CREATE ROLE last LOGIN SUPERUSER');
my $last = $node->session(user => 'last');
define($last, 'last', 'SELECT sum(x) FROM t WHERE k = $1');
is(hit($last, 'last'), '{"sum":101}|cache', 'a superuser\'s');
$node->sql('ALTER SYSTEM SET dashcache.workers = 1');
$node->sql('SELECT pg_reload_conf()');
$node->sql('ALTER ROLE last BYPASSRLS');
is(answer($last, 'last'), '{"sum":101}|database', 'who has changed');
$node->wait_for('SELECT standing = dashcache.standing(roles) FROM dashcache.widget');
is(hit($last, 'last'), '{"sum":101}|cache', 'a worker has looked at it');

$node->stop('fast');
done_testing();
