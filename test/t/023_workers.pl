# The launcher and its workers: they come when there is something to do and go
# when there is not, find their databases, stand in nobody's way, and survive what
# is done to them.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "dashcache.workers = 2\ndeadlock_timeout = '100ms'");
my $workers = "FROM pg_stat_activity WHERE backend_type = 'dashcache worker'";
my $none = "SELECT count(*) = 0 $workers";

# Tables and dashboards: one is quick, one takes for ever, one waits for a lock.
my $setup = q{
	SET client_min_messages = error;
	CREATE EXTENSION IF NOT EXISTS dashcache;
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t SELECT i, i FROM generate_series(1, 100) i;
	CREATE FUNCTION slow(x int) RETURNS int STABLE LANGUAGE plpgsql AS
		$$BEGIN PERFORM pg_sleep(3600); RETURN x; END$$;
	CREATE FUNCTION held(x int) RETURNS int STABLE LANGUAGE plpgsql AS
		$$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN x; END$$;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'quick');
	SELECT dashcache_define('w', 'SELECT slow(x) FROM t WHERE company_id = $1', 'slow', result => 'rows');
	SELECT dashcache_define('w', 'SELECT held(x) FROM t WHERE company_id = $1', 'held', result => 'rows');
	SELECT dashcache_configure(d, tenants => 'SELECT company_id FROM t') FROM unnest('{quick, slow, held}'::text[]) d;
};

sub launcher
{
	return $node->sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'dashcache launcher'");
}

# Have a worker do something in a database that takes for ever.
sub start_slow
{
	my $dbname = shift;

	$node->sql(q{SELECT dashcache_warm('slow', 1, wait => false)}, $dbname);
	wait_for_slow($dbname);
	return;
}

# Cancelled, it counts as failed, and the run ends.
sub end_slow
{
	my $dbname = shift;

	$node->sql("SELECT pg_cancel_backend(pid) $workers AND datname = '$dbname' AND wait_event = 'PgSleep'");
	$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress', $dbname);
	is($node->sql(q{SELECT failed, last_error FROM dashcache_runs WHERE dashboard = 'slow'}, $dbname),
		'1|canceling statement due to user request', 'what was interrupted has gone on, and can be cancelled');
	return;
}

# Wait until a worker is at it.
sub wait_for_slow
{
	my $dbname = shift;

	$node->wait_for("SELECT count(*) = 1 $workers AND datname = '$dbname' AND wait_event = 'PgSleep'");
	return;
}

# A statement succeeds, and soon: it waits for no worker.
sub succeeds_soon
{
	my ($sql, $name) = @_;
	my $start = time;
	my ($result, $out, $error) = $node->psql('postgres', $sql);

	is($error, '', $name);
	cmp_ok(time - $start, '<', 20, '... at once');
	return;
}

# A job of a database runs again.
sub runs_again
{
	my ($dbname, $name) = @_;
	my $last = $node->sql('SELECT coalesce(max(run), 0) FROM dashcache_runs', $dbname);

	$node->wait_for("SELECT EXISTS (SELECT FROM dashcache_runs WHERE run > $last AND job IS NOT NULL AND finished_at IS NOT NULL)", $dbname);
	pass($name);
	return;
}

#
# They come and go.
#
$node->wait_for("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dashcache launcher'");
pass('there is a launcher');
is($node->sql("SELECT datid IS NULL, backend_xmin IS NULL, state FROM pg_stat_activity WHERE backend_type = 'dashcache launcher'"), 't|t|idle', 'which has no database and no snapshot');
$node->sql($setup);
is($node->sql(q{SELECT dashcache_warm('quick'); SELECT warmed, failed FROM dashcache_runs LIMIT 1}), "1\n100|0", 'a run');
is($node->sql(q{SELECT DISTINCT datname, application_name, state, backend_xmin IS NULL, backend_xid IS NULL FROM pg_stat_activity WHERE backend_type = 'dashcache worker'}),
	'postgres|dashcache worker|idle|t|t', 'idle workers hold no snapshot');
is($node->sql('SELECT workers BETWEEN 1 AND 2 FROM dashcache_status'), 't', 'they are counted');
$node->wait_for($none);
pass('they go when there is nothing to do');
is($node->sql('SELECT workers FROM dashcache_status'), '0', 'none is counted');

# An idle server does nothing.
sub switches
{
	my $pid = shift;

	my ($n) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
	return $n;
}

# The launcher comes to sleep through.  The first seconds may still see it
# woken: a worker is out of pg_stat_activity before the postmaster has told the
# launcher of its end.
sub sleeps_through
{
	my $name = shift;
	my $pid = launcher();

	foreach (1 .. 5)
	{
		my $before = switches($pid);
		sleep 3;
		return pass($name) if switches($pid) == $before;
	}
	return fail($name);
}
SKIP:
{
	skip 'needs /proc', 2 unless -r "/proc/$$/status";

	sleeps_through('an idle launcher is not woken');
	$node->sql(q{SELECT count(dashcache_schedule('1 hour', 'quick')) FROM generate_series(1, 1000)});
	$node->wait_for($none);
	sleeps_through('nor is one with 1,000 jobs');
	$node->sql('SELECT count(dashcache_unschedule(job)) FROM dashcache_jobs');
}

#
# Databases.
#
$node->sql('CREATE DATABASE app');
$node->sql($setup, 'app');
$node->sql(q{SELECT dashcache_schedule('1 second', 'quick')}, $_) foreach ('postgres', 'app');
runs_again($_, "jobs run in database $_") foreach ('postgres', 'app');
$node->restart;
runs_again($_, "and after a restart in database $_") foreach ('postgres', 'app');

start_slow('app');
succeeds_soon('CREATE DATABASE copy TEMPLATE app', 'a database is copied while a worker computes');
runs_again('copy', 'the jobs of the copy run');
runs_again('app', 'so do those of the original');
wait_for_slow('app');
end_slow('app');
$node->sql(q{SELECT dashcache_alter_job(job, active => false) FROM dashcache_jobs}, 'app');
start_slow('copy');
succeeds_soon('ALTER DATABASE copy RENAME TO renamed', 'a database is renamed while a worker computes');
runs_again('renamed', 'its jobs go on');
wait_for_slow('renamed');

# Who may not drop it ends no worker.
$node->sql('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC; CREATE ROLE stranger LOGIN');
my $slow = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event = 'PgSleep'};
my $pid = $node->sql($slow);
my $stranger = $node->session(user => 'stranger');
like($stranger->error('DROP DATABASE renamed'), qr/must be owner/, 'a stranger cannot drop a database');
like($stranger->error('DROP EXTENSION dashcache'), qr/must be owner/, 'nor the extension');
like($stranger->error('ALTER DATABASE renamed RENAME TO other'), qr/must be owner/, 'nor rename');
is($node->sql($slow), $pid, 'and no worker goes for that');

# A template may be copied by who is not its owner.
like($stranger->error('CREATE DATABASE mine TEMPLATE renamed'), qr/permission denied to create database/, 'nor create one');
$node->sql('ALTER ROLE stranger CREATEDB');
like($stranger->error('CREATE DATABASE mine TEMPLATE renamed'), qr/permission denied to copy database/, 'nor copy what is no template');
is($node->sql($slow), $pid, 'for which no worker goes either');
$node->sql('ALTER DATABASE renamed IS_TEMPLATE true');
is($stranger->query('CREATE DATABASE mine TEMPLATE renamed'), '', 'who may create databases copies a template while a worker computes');
is($stranger->query('DROP DATABASE mine'), '', 'and drops the copy');
$stranger->quit;
$node->sql('ALTER DATABASE renamed IS_TEMPLATE false');
start_slow('renamed');

succeeds_soon('DROP DATABASE renamed', 'a database is dropped while a worker computes');
runs_again('postgres', 'others\' jobs go on');
$node->wait_for("$none AND datname <> 'postgres'");

# A database without the extension gets no worker that stays.
$node->sql('CREATE DATABASE empty');
$node->sql('SELECT 1', 'empty');
succeeds_soon('DROP DATABASE empty', 'a database without the extension is dropped');

#
# The extension.
#
my ($one, $gate) = map { $node->session } 1 .. 2;
$gate->query('BEGIN; SELECT pg_advisory_xact_lock(1)');
$node->sql(q{SELECT dashcache_warm('held', 1, wait => false)});
my $held = "SELECT count(*) = 1 $workers AND wait_event_type = 'Lock'";
$node->wait_for($held);
my $start = time;
$one->query('BEGIN; DROP EXTENSION dashcache CASCADE');
cmp_ok(time - $start, '<', 20, 'DROP EXTENSION waits for no worker');
is($node->sql("$none AND datname = 'postgres'"), 't', 'none is there');
$one->query('ROLLBACK');
runs_again('postgres', 'taken back, the jobs go on');
$gate->query('COMMIT');
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');
is($node->sql(q{SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE dashboard = 'held'}), 't', 'and the run that was interrupted has ended');
$one->query('DROP EXTENSION dashcache CASCADE');
$node->wait_for($none);
$one->query('DROP TABLE t; DROP FUNCTION slow, held');
$node->sql($setup);
is($node->sql(q{SELECT dashcache_warm('quick') > 0; SELECT warmed, failed FROM dashcache_runs LIMIT 1}), "t\n100|0", 'the extension made anew has workers');
$node->sql(q{SELECT dashcache_schedule('1 second', 'quick')});
runs_again('postgres', 'and jobs');
$_->quit foreach ($one, $gate);

#
# What is done to them.
#
# The end of the worker that runs does not end the run.
$gate = $node->session;
$gate->query('BEGIN; SELECT pg_advisory_xact_lock(1)');
my $run = $node->sql(q{SELECT dashcache_warm('held', wait => false)});
$node->wait_for("SELECT count(*) = 2 $workers AND wait_event_type = 'Lock'");
my $position = $node->log_position;
$pid = $node->sql(q{SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event_type = 'Lock'});
is($node->sql("SELECT pg_terminate_backend($pid, 10000)"), 't', 'a worker can be terminated');
$gate->query('COMMIT');
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
like($node->sql("SELECT planned, warmed + failed = planned, warmed, failed, last_error FROM dashcache_runs WHERE run = $run"),
	qr/^100\|t\|100\|0\|$/, 'another one does what it was at');
runs_again('postgres', 'and there are workers');

# The end of the only one.
$gate->query('BEGIN; SELECT pg_advisory_xact_lock(1)');
$node->sql(q{SELECT dashcache_purge()});
$run = $node->sql(q{SELECT dashcache_warm('held', 3, wait => false)});
$node->wait_for($held);
$node->sql(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event_type = 'Lock'});
$gate->query('COMMIT');
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
is($node->sql("SELECT planned, warmed, failed, last_error FROM dashcache_runs WHERE run = $run"), '1|1|0|', 'so it is with the only one');

# The launcher.
$pid = launcher();
$node->sql("SELECT pg_terminate_backend($pid, 10000)");
$node->wait_for("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dashcache launcher' AND pid <> $pid");
pass('the launcher comes back');
runs_again('postgres', 'and work goes on');

# Settings.
sub set_workers
{
	my $n = shift;

	$node->append_conf('postgresql.conf', "dashcache.workers = $n");
	$node->reload;
	$node->wait_for("SELECT current_setting('dashcache.workers') = '$n'");
	return;
}
set_workers(0);
$node->wait_for($none);
pass('dashcache.workers = 0: workers go');
set_workers(1);
runs_again('postgres', 'dashcache.workers = 1: they come back');

# A crash.
$gate->quit;
start_slow('postgres');
$pid = $node->sql($slow);
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
$position = $node->log_position;
kill 'KILL', $pid;
$node->wait_for_log(qr/database system is ready to accept connections/, $position);
runs_again('postgres', 'after a crash the jobs go on');
is($node->sql(q{SELECT dashcache_warm('quick') > 0; SELECT failed FROM dashcache_runs LIMIT 1}), "t\n0", 'and runs');
$node->stop('fast');

#
# No room for workers.
#
$node->append_conf('postgresql.conf', "max_worker_processes = 3\ndashcache.workers = 1");
$node->start;
$node->wait_for($none) if $node->sql('SELECT count(dashcache_unschedule(job)) FROM dashcache_jobs');
$one = $node->session;
$one->query('SET force_parallel_mode = on');
$one->start('SELECT pg_sleep(3600)');
$node->wait_for("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'parallel worker')");
$position = $node->log_position;
$run = $node->sql(q{SELECT dashcache_warm('quick', wait => false)});
$node->wait_for_log(qr/LOG:  dashcache could not start a worker\n.*DETAIL:  The server has no slot left.*\n.*HINT:  Raise max_worker_processes/, $position);
pass('no room for a worker: the log tells');
$node->sql(q{SELECT dashcache_warm('quick', wait => false)}) foreach 1 .. 3;
$one->cancel;
() = $one->finish;
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');
is($node->sql("SELECT warmed + already_current FROM dashcache_runs WHERE run = $run"), '100', 'with room, it goes on');
my $said = () = slurp_file($node->logfile, $position) =~ /could not start a worker/g;
is($said, 1, 'said once');

$node->stop('fast');
done_testing();
