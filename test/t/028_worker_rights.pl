# What workers do for others: as whom, for whom, and what they leave behind; and
# who may keep them from it.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => 'dashcache.workers = 2');

$node->sql(q{
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
	CREATE ROLE mallory LOGIN;
	CREATE SCHEMA m AUTHORIZATION mallory;
	CREATE TABLE t (k int);
	INSERT INTO t SELECT i % 10 FROM generate_series(1, 100) i;
	CREATE FUNCTION slow(x bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
		AS 'BEGIN PERFORM pg_sleep(0.5); RETURN x; END';
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE k = $1', 'plain');
	SELECT dashcache_configure('plain', tenants => 'SELECT DISTINCT k FROM t');
});
my $mallory = $node->session(user => 'mallory');
my $session = $node->session;

# The tenant's type may call functions: its owner's, as its owner.
$mallory->query(q{
	SET client_min_messages = warning;
	SET search_path = m, public;
	CREATE TABLE seen (who name);
	CREATE FUNCTION look(x int) RETURNS bool LANGUAGE plpgsql AS $$
		BEGIN
			IF current_user <> 'mallory' THEN RAISE EXCEPTION 'called as %', current_user; END IF;
			RETURN true;
		END $$;
	CREATE DOMAIN tenant AS int CHECK (look(VALUE));
	CREATE TABLE t (k int);
	SELECT dashcache_define('w', 'SELECT count(*) FROM m.t WHERE k = $1::m.tenant', 'theirs', ttl => NULL);
	SELECT dashcache_warm('theirs', 3)});
is($node->sql('SELECT warmed, failed, last_error FROM dashcache_runs LIMIT 1'), '1|0|', 'a worker converts a tenant as the owner');
is($session->query("SELECT dashcache_get(3, 'theirs')"), '{"w":{"count":0}}', 'so does who reads');
is($session->query("SELECT dashcache.warm_set('w', 'theirs', '{1,2}')"), '2', 'or warms');
is($session->query("SELECT dashcache_purge(tenants => '{1,2,3}')"), '3', 'or purges');

# Without its type a widget is broken, and nothing else is.
$mallory->query('DROP DOMAIN m.tenant');
like($session->error("SELECT dashcache_get(3, 'theirs')"), qr/type of the tenant no longer exists/, 'the type is gone');
$session->query("SET client_min_messages = warning; SELECT dashcache_warm()");
is($node->sql('SELECT warmed > 0, last_error FROM dashcache_runs LIMIT 1'), 't|', 'others are warmed nevertheless');
is($session->query('SELECT dashcache_purge(3)'), '1', 'and purged');
is($session->query("SELECT dashcache_drop(dashboard => 'theirs')"), '', 'and it can be dropped');

# Locks of the session.
$node->sql(q{CREATE FUNCTION lock_it() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_advisory_lock(7)'});
$session->query(q{SELECT dashcache_configure('plain', tenants => 'SELECT lock_it()');
	SELECT pg_advisory_unlock_all();
	SELECT dashcache_warm('plain')});
is($session->query('SELECT pg_try_advisory_lock(7)'), 't', 'a worker keeps no lock of a query that took one');
$session->query(q{SELECT pg_advisory_unlock_all(); SELECT dashcache_configure('plain', tenants => '')});

# Who may not drop a database or the extension does not keep the workers out.
$mallory->query('BEGIN; SAVEPOINT s');
foreach my $command ('ALTER DATABASE postgres RENAME TO other', 'DROP EXTENSION dashcache', 'DROP SCHEMA public CASCADE')
{
	like($mallory->error($command), qr/must be owner/, $command);
	$mallory->query('ROLLBACK TO s');
}
$mallory->query('SET client_min_messages = warning; DROP SCHEMA IF EXISTS nothing CASCADE; DROP OWNED BY CURRENT_USER');
is($session->query("SELECT dashcache_warm('plain') > 0"), 't', 'workers come although others would like them out');
$mallory->query('ROLLBACK');
$session->query('BEGIN; SAVEPOINT s; DROP EXTENSION dashcache; ROLLBACK TO s');
is($session->query("SELECT dashcache_warm('plain') > 0; COMMIT"), 't', 'or did, and have thought better of it');

$session->query("BEGIN; DROP OWNED BY mallory");
is($session->query("SELECT dashcache_warm('plain') > 0; ROLLBACK"), 't', 'or drop what another role owns');

$session->query(q{SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT slow(count(*)) FROM (SELECT FROM t WHERE k = $1 LIMIT 1) x', 'slow');
	SELECT dashcache_configure('slow', tenants => 'SELECT generate_series(1, 10)')});

# A run of another database may have the same number.
$node->sql('CREATE DATABASE other');
foreach my $dbname ('postgres', 'other')
{
	$node->sql(q{
		SET client_min_messages = warning;
		CREATE EXTENSION IF NOT EXISTS dashcache;
		SELECT setval('dashcache.run_id', 1000);
	}, $dbname);
}
$node->sql(q{
	CREATE TABLE t (k int);
	CREATE FUNCTION slow(x bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
		AS 'BEGIN PERFORM pg_sleep(0.5); RETURN x; END';
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT slow(count(*)) FROM t WHERE k = $1', 'slow');
	SELECT dashcache_configure('slow', tenants => 'SELECT generate_series(1, 3)');
	SELECT dashcache_warm('slow', wait => false);
}, 'other');
$node->wait_for('SELECT planned > 0 FROM dashcache_progress', 'other');
$session->start("SELECT dashcache_warm('slow')");
$session->wait_for_event('Extension');
$session->cancel;
my @cancelled = $session->finish;
$node->wait_for('SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = 1001', 'other');
is($node->sql('SELECT warmed, failed FROM dashcache_runs WHERE run = 1001', 'other'),
	'3|0', 'who cancels a run cancels that of no other database');

my $waiter = $node->session;
$waiter->start("SELECT dashcache_warm('slow')");
$node->wait_for(q{SELECT planned > 0 FROM dashcache_progress});
$session->start('SET client_min_messages = warning; DROP EXTENSION dashcache CASCADE');
like(($waiter->finish)[1], qr/deadlock detected/, 'who waits for a run does not wait for DROP EXTENSION');
is($session->finish, '', 'which goes on');

$node->stop('fast');
done_testing();
