# More to warm than there is room for runs; things that fail beside others; and
# what is forgotten with the extension.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => 'dashcache.workers = 1');
my $setup = q{
	SET client_min_messages = error;
	CREATE EXTENSION IF NOT EXISTS dashcache;
	CREATE TABLE IF NOT EXISTS t AS SELECT k, k AS x FROM generate_series(1, 20) k;
	CREATE OR REPLACE FUNCTION held(x int) RETURNS int STABLE LANGUAGE plpgsql AS
		$$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN x; END$$;
	SELECT dashcache_define('w', 'SELECT held(x) FROM t WHERE k = $1', 'held', result => 'rows');
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE k = $1', 'board' || i) FROM generate_series(1, 40) i;
	SELECT dashcache_configure('board' || i, tenants => 'SELECT k FROM t') FROM generate_series(1, 40) i;
};
my $waits = q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event_type = 'Lock')};
$node->sql($setup);

#
# More dashboards than there is room for runs, all of them warmed on start.
#
$node->sql(q{SELECT dashcache_configure('board' || i, warm_on_start => true) FROM generate_series(1, 40) i});
$node->restart;
$node->wait_for('SELECT count(*) = 800 FROM dashcache_entries');
is($node->sql('SELECT count(DISTINCT dashboard), sum(hits), count(*) FROM dashcache_entries'), '40|0|800', 'all are warmed');
$node->wait_for('SELECT count(*) > 0 FROM dashcache_runs WHERE finished_at IS NOT NULL');
is($node->sql('SELECT planned, warmed, failed, last_error FROM dashcache_runs'), '800|800|0|', 'in one run');

# Without room for it, it waits.
my $gate = $node->session;
sub fill_runs
{
	my $n = shift;

	$gate->query('BEGIN; SELECT pg_advisory_xact_lock(1)');
	$node->sql(q{SELECT dashcache_purge(dashboard => 'held')});
	$node->sql(q{SELECT dashcache_warm('held', 1, false)});
	$node->wait_for($waits);
	$node->sql("SELECT dashcache_warm('held', 2, false) FROM generate_series(2, $n)");
	return;
}
fill_runs(32);
is($node->sql('SELECT count(*) FROM dashcache_progress'), '32', 'all the room is taken');
my ($result, $out, $error) = $node->psql('postgres', q{SELECT dashcache_warm('held')});
like($error, qr/too many warming runs\nDETAIL:  There can be 32/, 'who asks for another one is told');

#
# Jobs that wait for room cost nothing.
#
$node->sql(q{SELECT dashcache_schedule('1 second', 'board1') FROM generate_series(1, 5)});
my $written = q{SELECT string_agg(ctid::text, ' ' ORDER BY id), (SELECT last_value FROM dashcache.run_id) FROM dashcache.job};
my $before = $node->sql($written);
$node->sql("SELECT dashcache.start_due(now() + interval '1 hour')") foreach 1 .. 3;
is($node->sql($written), $before, 'jobs that wait for room are not written to, and use up no numbers');
is($node->sql("SELECT dashcache.start_due(now() + interval '1 hour') = now() + interval '1 hour 1 s'"), 't', 'and are looked at again in a second');
$gate->query('COMMIT');
$node->wait_for(q{SELECT count(DISTINCT job) = 5 FROM dashcache_runs WHERE finished_at IS NOT NULL AND last_error IS NULL});
pass('with room, they run');
$node->sql('SELECT dashcache_unschedule(job) FROM dashcache_jobs');
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');

#
# One that fails does not stop the others.
#
$node->sql(q{
	SELECT dashcache_purge();
	UPDATE dashcache.widget SET settings = '{nonsense}' WHERE dashboard = 'board7'});
my $position = $node->log_position;
$node->restart;
$node->wait_for('SELECT count(*) = 780 FROM dashcache_entries');
pass('a dashboard that cannot be read does not keep others from being warmed on start');
$node->wait_for(q{SELECT count(*) = 1 FROM dashcache_runs WHERE planned = 780 AND finished_at IS NOT NULL AND last_error = 'invalid pinned setting "nonsense"'});
pass('and is told of');
$node->wait_for_log(qr/LOG:  dashcache could not look at dashboard "board7": invalid pinned setting "nonsense"/, $position);
pass('in the log, too');

# Changes and uses are still noticed.
$node->sql(q{SELECT dashcache_configure('board8', warm_on_change => true);
	SELECT dashcache_get(3, 'board8');
	UPDATE t SET x = 100 WHERE k = 3});
$node->wait_for(q{SELECT state = 'current' FROM dashcache_entries WHERE dashboard = 'board8' AND tenant = '3'});
pass('others are warmed on change');
$node->wait_for(q{SELECT count(*) > 0 FROM dashcache.use WHERE dashboard = 'board8'});
pass('and what is in use of them is written down');

# So it is with jobs.
my $bad = $node->sql(q{SELECT dashcache_schedule('1 second', 'board1')});
my $good = $node->sql(q{SELECT dashcache_schedule('1 second', 'board2')});
$node->sql("UPDATE dashcache.job SET every = '293000 years' WHERE id = $bad");
$node->wait_for("SELECT count(*) >= 2 FROM dashcache_runs WHERE job = $good AND finished_at IS NOT NULL");
pass('a job that fails does not keep others from running');
$node->wait_for("SELECT last_status = 'failed' FROM dashcache_jobs WHERE job = $bad");
is($node->sql("SELECT last_error FROM dashcache_runs WHERE job = $bad LIMIT 1"), 'timestamp out of range', 'and tells why');
is($node->sql("SELECT next_run > now() + interval '30 s' FROM dashcache.job WHERE id = $bad"), 't', 'and is tried again later on');
$node->sql('SELECT dashcache_unschedule(job) FROM dashcache_jobs');
$node->sql("SELECT dashcache_configure('board' || i, warm_on_start => false, warm_on_change => false) FROM generate_series(8, 40) i");
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');

#
# The extension goes, and its runs with it.
#
$gate = $node->session;
fill_runs(5);
my $session = $node->session;
$session->query('SET client_min_messages = error; BEGIN; SAVEPOINT s; DROP EXTENSION dashcache CASCADE; ROLLBACK TO s; COMMIT');
is($node->sql('SELECT count(*) FROM dashcache_progress'), '5', 'taken back, they are still there');
$session->query('BEGIN; DROP EXTENSION dashcache CASCADE; ROLLBACK');
is($node->sql('SELECT count(*) FROM dashcache_progress'), '5', 'and so they are when all is taken back');
$session->query('DROP EXTENSION dashcache CASCADE');
$gate->query('COMMIT');
$node->sql($setup);
is($node->sql('SELECT count(*) FROM dashcache_progress'), '0', 'dropped, they are forgotten');
is($node->sql(q{SELECT dashcache_warm('board1')}), '1', 'numbers begin anew');
is($node->sql('SELECT run, dashboard, planned, warmed, failed, last_error FROM dashcache_runs'), '1|board1|20|20|0|', 'and are those of the new runs alone');

# In one transaction with its successor.
fill_runs(3);
$session->query("BEGIN; DROP EXTENSION dashcache CASCADE; $setup COMMIT");
$gate->query('COMMIT');
is($node->sql('SELECT count(*) FROM dashcache_progress'), '0', 'replaced, they are forgotten, too');
is($node->sql(q{SELECT dashcache_warm('board1')}), '1', 'and the new one begins anew');

$_->quit foreach ($gate, $session);
$node->stop('fast');
done_testing();
