# Jobs with an interval: they run, one run of a job at a time, whatever becomes of
# the server in between.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => "log_autovacuum_min_duration = -1\nautovacuum_naptime = '1h'");

$node->sql(q{
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t SELECT i, i FROM generate_series(1, 20) i;
	CREATE TABLE gated (company_id bigint, x int);
	INSERT INTO gated VALUES (1, 1);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'board');
	SELECT dashcache_configure('board', tenants => 'VALUES (1), (2), (3)');
	SELECT dashcache_define('w', 'SELECT sum(x) FROM gated WHERE company_id = $1', 'gated');
	SELECT dashcache_configure('gated', tenants => 'VALUES (1)');
});

sub schedule
{
	my ($arguments, $dbname) = @_;

	return $node->sql("SELECT dashcache_schedule($arguments)", $dbname);
}

# Waits for runs of a job that began after now.
sub wait_for_runs
{
	my ($job, $n, $dbname) = @_;
	my $last = $node->sql('SELECT last_value FROM dashcache.run_id', $dbname);

	$node->wait_for(
		"SELECT count(*) >= $n FROM dashcache_runs WHERE job = $job AND run > $last AND finished_at IS NOT NULL",
		$dbname);
	return;
}

# They run, and go on.
my $job = schedule("'1 second', 'board'");
$node->wait_for("SELECT count(*) >= 3 FROM dashcache_runs WHERE job = $job AND finished_at IS NOT NULL");
is($node->sql("SELECT planned, warmed, already_current, failed FROM dashcache_runs WHERE job = $job ORDER BY run LIMIT 1"),
	'3|3|0|0', 'the first run warms the tenants configured');
is($node->sql("SELECT max(planned), max(warmed), max(already_current) FROM dashcache_runs WHERE job = $job AND run > (SELECT min(run) FROM dashcache_runs WHERE job = $job)"),
	'3|0|3', 'to the next they are current');
is( $node->sql(
		"SELECT last_run = (SELECT max(started_at) FROM dashcache_runs WHERE job = $job), last_status IN ('succeeded', 'running'), active FROM dashcache_jobs WHERE job = $job"
	),
	't|t|t', 'dashcache_jobs tells of the latest');
is( $node->sql(qq{
		SELECT bool_and(extract(epoch FROM started_at - anchor)::numeric % 1 < 0.5), count(*) = count(DISTINCT date_trunc('second', started_at - anchor))
		FROM dashcache_runs JOIN dashcache.job j ON j.id = job WHERE job = $job}),
	't|t', 'a run a turn, each shortly after its turn');
is($node->sql("SELECT next_run = anchor + date_trunc('second', next_run - anchor) AND next_run > now() - interval '5 s' AND next_run <= now() + interval '5 s' FROM dashcache.job WHERE id = $job"),
	't', 'turns are whole intervals from the anchor');

# What comes meanwhile is warmed.
$node->sql('INSERT INTO t VALUES (2, 100)');
$node->wait_for("SELECT count(*) = 1 FROM dashcache_runs WHERE job = $job AND warmed = 1");
is($node->sql("SELECT data, source FROM dashcache_fetch(2, 'board')"), '{"sum":102}|cache', 'a change is warmed at the next turn');

# Paused: no turn is taken. Resumed: they go on.
$node->sql("SELECT dashcache_alter_job($job, active => false)");
$node->wait_for("SELECT count(*) = 0 FROM dashcache_progress");
my $runs = $node->sql("SELECT max(run) FROM dashcache_runs WHERE job = $job");
my $other = schedule("'1 second', 'board', 7");
wait_for_runs($other, 2);
is($node->sql("SELECT max(run) FROM dashcache_runs WHERE job = $job"), $runs, 'a job that is paused does not run');
is($node->sql("SELECT next_run IS NULL, active, last_status FROM dashcache_jobs WHERE job = $job"), 't|f|succeeded', 'and says so');
$node->sql("SELECT dashcache_alter_job($job, active => true)");
wait_for_runs($job, 1);
pass('it is resumed');

# One for a tenant warms that.
is($node->sql("SELECT planned, failed FROM dashcache_runs WHERE job = $other ORDER BY run LIMIT 1"), '1|0', 'a job for one tenant');
is($node->sql("SELECT data, source FROM dashcache_fetch(7, 'board')"), '{"sum":7}|cache', 'has warmed it');
$node->sql("SELECT dashcache_unschedule($other), dashcache_unschedule($job)");

# A job does not overlap itself: as long as a run is at it, turns are let pass.
my $gate = $node->session;
$gate->query('BEGIN; LOCK TABLE gated IN ACCESS EXCLUSIVE MODE');
$job = schedule("'1 second', 'gated'");
$other = schedule("'1 second', 'board'");
$node->wait_for("SELECT count(*) = 1 FROM dashcache_progress WHERE dashboard = 'gated'");
$node->wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event_type = 'Lock'});
my $run = $node->sql("SELECT run FROM dashcache_runs WHERE job = $job");
wait_for_runs($other, 2);
is($node->sql("SELECT run FROM dashcache_runs WHERE job = $job"), $run, 'turns are let pass while a run is at it');
is($node->sql("SELECT last_status, next_run > last_run + interval '1 s' FROM dashcache_jobs WHERE job = $job"),
	'running|t', 'it is running, and its next turn is known');
is($node->sql("SELECT dashcache_run_job($job) IS NULL"), 't', 'nor is it run by hand');
is($node->sql("SELECT dashboard, planned, done, failed FROM dashcache_progress WHERE run = $run"), 'gated|1|0|0', 'its progress');
$gate->query('COMMIT');
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
wait_for_runs($job, 1);
pass('then it goes on');
$node->sql("SELECT dashcache_unschedule($other)");

# A job somebody is about to alter waits for him, and no worker spins meanwhile.
$gate->query("BEGIN; SELECT dashcache_alter_job($job, active => true)");
$node->wait_for("SELECT next_run < now() - interval '1 s' FROM dashcache.job WHERE id = $job");
my $loops = sub {
	return $node->sql(q{SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = 'postgres'});
};
my $before = $loops->();
$node->wait_for("SELECT next_run < now() - interval '2.5 s' FROM dashcache.job WHERE id = $job");
my $after = $loops->();
cmp_ok($after - $before, '<', 120, 'a job that is locked is looked at now and then');
$gate->query('ROLLBACK');
wait_for_runs($job, 1);
pass('and runs when it is free');

# Restarts, clean and not.
foreach my $mode ('fast', 'immediate')
{
	my $anchor = $node->sql("SELECT anchor FROM dashcache.job WHERE id = $job");

	$node->stop($mode);
	$node->start;
	wait_for_runs($job, 2);
	is($node->sql("SELECT anchor FROM dashcache.job WHERE id = $job"), $anchor, "a job survives a restart, $mode");
}

# In the middle of a run.
$gate = $node->session;
$gate->query("BEGIN; LOCK TABLE gated IN ACCESS EXCLUSIVE MODE; SELECT dashcache_purge(dashboard => 'gated')");
$node->wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event_type = 'Lock'});
$node->stop('immediate');
$node->start;
wait_for_runs($job, 1);
is($node->sql("SELECT last_status IN ('succeeded', 'running') FROM dashcache_jobs WHERE job = $job"), 't', 'in the middle of a run, too');

# What was missed is made up for once: it has been down for a day, says the catalog.
$node->sql("SELECT dashcache_unschedule($job)");
$job = schedule("'10 minutes', 'board'");
$node->sql(
	"UPDATE dashcache.job SET anchor = anchor - interval '1 day', next_run = next_run - interval '1 day' WHERE id = $job");
my $next = $node->sql("SELECT anchor + interval '1 day 10 minutes' FROM dashcache.job WHERE id = $job");
$node->restart;
$node->wait_for("SELECT last_status = 'succeeded' FROM dashcache_jobs WHERE job = $job");
is($node->sql("SELECT count(*) FROM dashcache_runs WHERE job = $job"), '1', 'what was missed is made up for once');
is($node->sql("SELECT next_run = '$next' FROM dashcache_jobs WHERE job = $job"), 't', 'and the next turn is as it would have been');
$node->restart('immediate');
$node->wait_for("SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'dashcache launcher'");
is($node->sql("SELECT count(*) FROM dashcache_runs WHERE job = $job"), '1', 'not again');

# It fails, and is said to have; it goes on, and is well again.
$node->sql(q{SELECT dashcache_define('bad', 'SELECT 1 / sum(x) AS x FROM gated WHERE company_id = $1', 'gated')});
$node->sql('UPDATE gated SET x = 0');
$node->sql("SELECT dashcache_alter_job($job, active => false)");
$job = schedule("'1 second', 'gated'");
$node->wait_for("SELECT last_status = 'failed' FROM dashcache_jobs WHERE job = $job");
is($node->sql("SELECT planned, warmed, failed, last_error FROM dashcache_runs WHERE job = $job ORDER BY run LIMIT 1"),
	'2|1|1|division by zero', 'one widget that fails stops no other');
$node->sql('UPDATE gated SET x = 1');
$node->wait_for("SELECT last_status = 'succeeded' FROM dashcache_jobs WHERE job = $job");
pass('it is well again');

# The history is bounded.
$node->sql(q{
	SELECT setval('dashcache.run_id', 100000);
	INSERT INTO dashcache.run SELECT i, NULL, 'fake', now(), now(), 0, 0, 0, 0, NULL FROM generate_series(95001, 99999) i;
	-- numbers that were given to no run
	SELECT setval('dashcache.run_id', 105000);
});
my $kept = schedule("'1 year', 'board'");
$node->sql("INSERT INTO dashcache.run VALUES (20000, $kept, 'board', now(), now(), 0, 0, 0, 0, NULL)");
$node->sql("SELECT dashcache_warm('board')");
cmp_ok($node->sql('SELECT count(*) FROM dashcache.run'), '<', 1010, 'no more than 1000 runs are remembered');
cmp_ok($node->sql("SELECT count(*) FROM dashcache_runs WHERE dashboard = 'fake'"), '>', 900, 'the latest');
is($node->sql("SELECT last_status FROM dashcache_jobs WHERE job = $kept"), 'succeeded', 'and the last run of each job');

# Another database, with jobs of its own; and they end with it.
$node->sql('CREATE DATABASE other');
$node->sql(q{
	CREATE EXTENSION dashcache;
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t VALUES (1, 5);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'board');
	SELECT dashcache_configure('board', tenants => 'VALUES (1)')}, 'other');
my $job_there = schedule("'1 second', 'board'", 'other');
wait_for_runs($job_there, 2, 'other');
wait_for_runs($job, 2);
is($node->sql("SELECT data, source FROM dashcache_fetch(1, 'board')", 'other'), '{"sum":5}|cache', 'another database has its own jobs');
$node->restart('immediate');
wait_for_runs($job_there, 1, 'other');
wait_for_runs($job, 1);
pass('both go on after a crash');
$node->sql('DROP DATABASE other');
wait_for_runs($job, 1);
pass('one goes on when the other is dropped');

# What warms without workers is told.
is($node->sql("SELECT count(*) FROM dashcache_check() WHERE object IN ('server') OR object LIKE 'job%'"), '0', 'all is well');
$node->sql("SELECT dashcache_configure('board', warm_on_start => true)");
$node->sql('ALTER SYSTEM SET dashcache.workers = 0');
$node->sql('SELECT pg_reload_conf()');
$node->wait_for("SELECT current_setting('dashcache.workers') = '0'");
is( $node->sql("SELECT severity, problem FROM dashcache_check() WHERE object = 'server'"),
	'warning|dashcache.workers is 0: nothing is warmed, although dashboard board has warm_on_start, and there are jobs',
	'warming without workers is told');
like((($node->psql('postgres', "SELECT dashcache_schedule('1 day')"))[2]), qr/dashcache has no workers/, 'nothing is scheduled then');
$node->sql("SELECT dashcache_unschedule($job)");
my $fix = $node->sql("SELECT fix FROM dashcache_check() WHERE object = 'server'");
$node->sql($_) foreach split /;/, $fix;
$node->wait_for("SELECT current_setting('dashcache.workers') = '2'");
is($node->sql("SELECT count(*) FROM dashcache_check() WHERE object = 'server'"), '0', 'and its fix mends it');
$node->append_conf('postgresql.conf', "max_worker_processes = 2");
$node->restart;
is( $node->sql("SELECT severity, problem, fix FROM dashcache_check() WHERE object = 'server'"),
	'warning|max_worker_processes is 2: too few for dashcache.workers, which is 2, and what starts them|ALTER SYSTEM SET max_worker_processes = 5; -- and restart the server',
	'too few slots for workers are told');

$node->stop('fast');
done_testing();
