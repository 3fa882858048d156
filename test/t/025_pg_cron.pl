# Jobs with a cron expression, by the pg_cron that Debian packages. It counts in
# minutes; so these tests run what it would run, and let it start one job
# itself, an @reboot.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $conf = "shared_preload_libraries = 'dashcache, pg_cron'\ncron.use_background_workers = on\nmax_worker_processes = 20\ntimezone = 'UTC'\n";
my $node = new_node('main', conf => "${conf}cron.database_name = 'postgres'");

$node->sql(q{
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
	CREATE ROLE owner LOGIN;
	CREATE ROLE member LOGIN IN ROLE owner;
	CREATE ROLE poor LOGIN;
	CREATE SCHEMA app AUTHORIZATION owner;
	SET ROLE owner;
	CREATE TABLE app.t (company_id bigint, x int);
	INSERT INTO app.t VALUES (1, 1), (2, 2);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM app.t WHERE company_id = $1', 'board');
	SELECT dashcache_configure('board', tenants => 'VALUES (1), (2)');
	SELECT dashcache_define('w', 'SELECT sum(x) FROM app.t WHERE company_id = $1', 'other');
	RESET ROLE;
	CREATE TABLE mine (company_id bigint, x int);
	SELECT dashcache_define('w', 'SELECT sum(x) FROM mine WHERE company_id = $1', 'mine');
	SELECT dashcache_configure('mine', tenants => 'VALUES (1)');
	CREATE SCHEMA poor AUTHORIZATION poor;
	SET ROLE poor;
	CREATE TABLE poor.t (company_id bigint);
	SELECT dashcache_define('w', 'SELECT count(*) FROM poor.t WHERE company_id = $1', 'poor');
	RESET ROLE;
});

my $session = $node->session;
my $owner = $node->session(user => 'owner');

sub cron_jobs
{
	return $node->sql('SELECT schedule, command, database, username, active, jobname FROM cron.job ORDER BY jobid');
}

# Loaded, but not created: what to do is said.
my $error = $session->error("SELECT dashcache_schedule('0 6 * * *', 'mine')");
like($error, qr/cron expressions need pg_cron, which is not in this database: "0 6 \* \* \*"/, 'without the extension');
like($error, qr/cron.database_name is "postgres".*CREATE EXTENSION pg_cron/s, 'it is said how to get it');
is($node->sql('SELECT count(*) FROM dashcache_jobs'), '0', 'and there is no job');

$node->sql('CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO owner');

# One job there for each here.
my $job = $session->query("SELECT dashcache_schedule('*/5 9-17 * * 1-5', 'mine')");
is(cron_jobs(), "*/5 9-17 * * 1-5|SELECT public.dashcache_run_job($job)|postgres|" . $session->query('SELECT current_user') . "|t|dashcache job $job",
	'one job of pg_cron, which runs ours');
is($node->sql('SELECT schedule, scheduler, active, last_run, last_status, next_run FROM dashcache_jobs'),
	'*/5 9-17 * * 1-5|pg_cron|t|||', 'as dashcache_jobs says');

# What pg_cron would do.
my $run = $session->query($session->query('SELECT command FROM cron.job'));
$node->wait_for("SELECT last_status = 'succeeded' FROM dashcache_jobs");
is($node->sql("SELECT run, job, planned, warmed FROM dashcache_runs WHERE run = $run"), "$run|$job|1|1", 'its command warms');

# At once, whatever the run waits for; and never two runs of a job.
my $gate = $node->session;
$gate->query('INSERT INTO mine VALUES (1, 1)');
$gate->query('BEGIN; LOCK TABLE mine');
$run = $session->query("SELECT dashcache_run_job($job)");
is($session->query("SELECT dashcache_run_job($job) IS NULL"), 't', 'it does not wait for the run, and does not overlap it');
is($node->sql("SELECT last_status FROM dashcache_jobs"), 'running', 'which is running');
$gate->query('COMMIT');
$node->wait_for("SELECT last_status = 'succeeded' FROM dashcache_jobs");

# What pg_cron refuses.
foreach my $bad ('99 99 99 99 99', '@rubbish', '0 0 0 * *', '0 0 * * $-')
{
	like($session->error("SELECT dashcache_schedule('$bad', 'mine')"), qr/ERROR:  invalid schedule: \Q$bad\E/, "pg_cron refuses $bad");
	like($session->error("SELECT dashcache_alter_job($job, '$bad')"), qr/ERROR:  invalid schedule: \Q$bad\E/, 'at a change, too');
}
like($session->error("SELECT dashcache_alter_job($job, '99 * * * *', false)"), qr/invalid schedule/, 'also while it is paused');
is($node->sql('SELECT count(*), max(schedule) FROM dashcache_jobs'), '1|*/5 9-17 * * 1-5', 'no trace of these is left');
is($node->sql('SELECT count(*), max(schedule) FROM cron.job'), '1|*/5 9-17 * * 1-5', 'nor in pg_cron');

# Altered, paused, resumed; to an interval and back.
$session->query("SELECT dashcache_alter_job($job, '\@hourly')");
like(cron_jobs(), qr/^\@hourly\|[^\n]*\|t\|dashcache job $job$/, 'altered');
$session->query("SELECT dashcache_alter_job($job, active => false)");
is(cron_jobs(), '', 'paused, pg_cron knows nothing of it');
is($session->query("SELECT dashcache_run_job($job) IS NULL"), 't', 'and what pg_cron had begun comes to nothing');
is($node->sql('SELECT schedule, scheduler, active FROM dashcache_jobs'), '@hourly|pg_cron|f', 'we do');
$session->query("SELECT dashcache_alter_job($job, '1 2 3 4 5')");
is(cron_jobs(), '', 'altered while it is paused');
$session->query("SELECT dashcache_alter_job($job, active => true)");
like(cron_jobs(), qr/^1 2 3 4 5\|[^\n]*$/, 'resumed');
$session->query("SELECT dashcache_alter_job($job, '1 day')");
is(cron_jobs(), '', 'with an interval, pg_cron is not needed');
is($node->sql('SELECT scheduler, next_run IS NOT NULL FROM dashcache_jobs'), 'dashcache|t', 'dashcache keeps it');
$session->query("SELECT dashcache_alter_job($job, '\@daily')");
like(cron_jobs(), qr/^\@daily\|[^\n]*$/, 'and back');
is($node->sql('SELECT scheduler, next_run IS NULL FROM dashcache_jobs'), 'pg_cron|t', 'pg_cron keeps it');
is($session->query("SELECT dashcache_unschedule($job)"), 't', 'unscheduled');
is(cron_jobs(), '', 'it is gone');

# Transactions.
$session->query("BEGIN; SELECT dashcache_schedule('\@daily', 'mine'); ROLLBACK");
is(cron_jobs(), '', 'what is rolled back leaves nothing');
$job = $session->query("SELECT dashcache_schedule('\@daily', 'mine')");
$session->query("BEGIN; SELECT dashcache_unschedule($job); ROLLBACK");
$session->query("BEGIN; SELECT dashcache_alter_job($job, active => false); ROLLBACK");
$session->query("BEGIN; SELECT dashcache_drop(dashboard => 'mine'); ROLLBACK");
like(cron_jobs(), qr/^\@daily\|[^\n]*\|t\|dashcache job $job$/, 'also of what removes it');
is($session->query("SELECT dashcache_unschedule($job)"), 't', 'which is done then');

# Another role, with its own rights in pg_cron.
$job = $owner->query("SELECT dashcache_schedule('0 6 * * *', 'board')");
my $tenant_job = $owner->query("SELECT dashcache_schedule('0 7 * * *', 'board', 2)");
my $all = $owner->query("SELECT dashcache_schedule('0 8 * * *')");
is($node->sql('SELECT DISTINCT username FROM cron.job'), 'owner', 'a job belongs to who scheduled it');
$run = $owner->query($owner->query('SELECT command FROM cron.job ORDER BY jobid LIMIT 1'));
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
is($node->sql("SELECT planned, failed FROM dashcache_runs WHERE run = $run"), '2|0', 'and runs as that role');
$run = $owner->query("SELECT dashcache_run_job($all)");
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
is($node->sql("SELECT failed, dashboard FROM dashcache_runs WHERE run = $run"), '0|', 'one for all that it owns');
my $member = $node->session(user => 'member');
$member->query("SELECT dashcache_alter_job($job, '1 6 * * *')");
$session->query("SELECT dashcache_alter_job($tenant_job, '1 7 * * *')");
is($node->sql('SELECT schedule, username FROM cron.job ORDER BY schedule'), "0 8 * * *|owner\n1 6 * * *|owner\n1 7 * * *|owner",
	'still, when a member of it or a superuser has altered it');
$member->query("SELECT dashcache_unschedule($all)");
is($node->sql('SELECT count(*) FROM cron.job'), '2', 'a member can remove it');
my $poor = $node->session(user => 'poor');
like($poor->error("SELECT dashcache_schedule('0 6 * * *')"), qr/permission denied for schema cron/, 'who may not use pg_cron may not here');
like($poor->error("SELECT dashcache_unschedule($job)"), qr/must be a member of the role that scheduled job $job/, 'nor remove what is another\'s');
is($node->sql('SELECT count(*) FROM dashcache_jobs'), '2', 'which leaves nothing');

# A superuser drops the dashboard, who may no longer use pg_cron itself.
$node->sql('REVOKE USAGE ON SCHEMA cron FROM owner');
$session->query("BEGIN; SELECT dashcache_drop(dashboard => 'board')");
is($session->query('SELECT count(*) FROM cron.job'), '0', 'a superuser drops a dashboard with its jobs');
$session->query('ROLLBACK');
$node->sql('GRANT USAGE ON SCHEMA cron TO owner');
$member->query("SELECT dashcache_drop(dashboard => 'board')");
is(cron_jobs(), '', 'so does a member of its owner');

# A job that pg_cron has lost is told.
$owner->query("SELECT dashcache_schedule('0 6 * * *', 'other', 1)");
$job = $owner->query("SELECT dashcache_schedule('0 6 * * *', 'other')");
$node->sql("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = 'dashcache job $job'");
is($node->sql("SELECT severity, object, problem FROM dashcache_check() WHERE object LIKE 'job%'"),
	"error|job $job|pg_cron has no job for it: it does not run", 'a job that pg_cron has lost is told');
$node->sql($node->sql("SELECT fix FROM dashcache_check() WHERE object LIKE 'job%'"));
is($node->sql("SELECT count(*) FROM dashcache_check() WHERE object LIKE 'job%'"), '0', 'and the fix mends it');
is($node->sql('SELECT count(*), min(username) FROM cron.job'), '2|owner', 'for the role that scheduled it');
$node->sql("SELECT dashcache_alter_job($job, active => false)");
is($node->sql("SELECT count(*) FROM dashcache_check() WHERE object LIKE 'job%'"), '0', 'nobody misses a job that is paused');
$node->sql("SELECT dashcache_alter_job($job, active => true)");
$node->sql('DROP EXTENSION pg_cron');
is($node->sql("SELECT count(*) FROM dashcache_check() WHERE object LIKE 'job%'"), '2', 'without pg_cron all are lost');
is($owner->query("SELECT dashcache_unschedule($job)"), 't', 'but can be removed');
$node->sql('CREATE EXTENSION pg_cron');
$node->sql("SELECT dashcache_drop(dashboard => 'other')");
is($node->sql("SELECT count(*) FROM dashcache_jobs"), '0', 'with their dashboard, too');

# pg_cron itself runs a job: one that it starts with the server.
$node->sql('GRANT USAGE ON SCHEMA cron TO owner');
$job = $session->query("SELECT dashcache_schedule('\@reboot', 'mine')");
$_->quit foreach ($session, $owner, $member, $poor, $gate);
$node->restart;
$node->wait_for("SELECT last_status = 'succeeded' FROM dashcache_jobs WHERE job = $job");
is($node->sql("SELECT planned, warmed FROM dashcache_runs WHERE job = $job"), '1|1', 'pg_cron has run a job');
$node->wait_for("SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'");
is($node->sql('SELECT command, status FROM cron.job_run_details'), "SELECT public.dashcache_run_job($job)|succeeded", 'and is content with it');
is($node->sql("SELECT data, source FROM dashcache_fetch(1, 'mine')"), '{"sum":1}|cache', 'it has warmed');

# Its extension is in another database: what is said, and that intervals do.
$node->sql('CREATE DATABASE other');
$node->sql(q{
	CREATE EXTENSION dashcache;
	CREATE TABLE t (company_id bigint, x int);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'board')}, 'other');
$session = $node->session(dbname => 'other');
like($session->error("SELECT dashcache_schedule('0 6 * * *', 'board')"), qr/which is not in this database.*cron.database_name is "postgres"/s,
	'in another database');
like($session->query("SELECT dashcache_schedule('1 hour', 'board')"), qr/^\d+$/, 'intervals do without');

$node->stop('fast');
done_testing();
