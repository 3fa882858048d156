# Workers come where there is work: all that there may be to a run that has
# enough for them, and one to a database that has just been copied.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => "dashcache.workers = 4");

$node->sql(q{
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t SELECT i % 200, i FROM generate_series(1, 1000) i;
	CREATE FUNCTION slow(x bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
		AS 'BEGIN PERFORM pg_sleep(0.05); RETURN x; END';
	SET client_min_messages = warning;
	-- a LIMIT in a subquery: not for all tenants at once
	SELECT dashcache_define('w', 'SELECT slow(count(*)) FROM (SELECT * FROM t WHERE company_id = $1 LIMIT 1) x', ttl => NULL);
	SELECT dashcache_configure(tenants => 'SELECT DISTINCT company_id FROM t');
});

# The first time they are started, the second time they are there and wait.
foreach my $how ('started', 'woken')
{
	my $session = $node->session;

	$session->start('SELECT dashcache_warm()');
	$node->wait_for(q{SELECT count(*) = 4 FROM pg_stat_activity
		WHERE backend_type = 'dashcache worker' AND query LIKE 'dashcache run%' AND state <> 'idle'});
	pass("all four workers share a run, $how");
	$session->finish;
	is($node->sql('SELECT warmed, failed FROM dashcache_runs LIMIT 1'), '200|0', 'each tenant is warmed once');
	$node->sql('SELECT dashcache_purge()');
}

# Nobody connects to the copy but a worker: a wait must not be what brings it there.
$node->sql('CREATE DATABASE model');
$node->sql(q{
	CREATE EXTENSION dashcache;
	CREATE TABLE t (company_id bigint);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE company_id = $1');
	SELECT dashcache_configure(tenants => 'SELECT 1', warm_on_start => true);
}, 'model');
$node->sql('CREATE DATABASE copy TEMPLATE model');
$node->wait_for(q{SELECT count(*) > 0 FROM dashcache_entries WHERE state = 'current'}, 'copy');
pass('a database that was copied is visited');

$node->stop('fast');
done_testing();
