# 'predictive' jobs: they learn in which hours of the week tenants come, and warm
# before. The tests move the time of a job's next turn, not the clock.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main');

$node->sql(q{
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t SELECT i, i FROM generate_series(1, 20) i;
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'board', ttl => NULL);
	SELECT dashcache_define('v', 'SELECT count(*), $2->>''days'' AS days FROM t WHERE company_id = $1', 'board', ttl => NULL);
	SELECT dashcache_configure('board', tenants => 'SELECT company_id FROM t');
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'other', ttl => NULL);
});

# The hour that it is; the tests let it end.
my $hour = "date_trunc('hour', now(), 'UTC')";
my $hour_of_week = "((extract(isodow FROM now() AT TIME ZONE 'UTC') - 1) * 24 + extract(hour FROM now() AT TIME ZONE 'UTC'))::int";

sub visits
{
	my ($where) = @_;

	return $node->sql(
		"SELECT tenant, round(share::numeric, 3) FROM dashcache_visits WHERE $where ORDER BY tenant COLLATE \"C\", hour_of_week");
}

sub weeks_ago
{
	my ($weeks_ago, @tenants) = @_;

	$node->sql("SELECT dashcache_purge(dashboard => 'board')");
	$node->sql("SELECT dashcache_get($_, 'board')") foreach @tenants;
	$node->sql("SELECT dashcache.note_visits('board', '2024-03-04 09:00Z'::timestamptz - $weeks_ago * interval '7 days')");
	return;
}

# Off by default.
$node->sql("SELECT dashcache_get(1, 'board')");
$node->sql("SELECT dashcache_warm('board')");
is($node->sql('SELECT count(*) FROM dashcache_visits'), '0', 'nothing is learnt unless it is asked for');

# The share of weeks in which a tenant came. Monday 9 to 10 h is the tenth hour.
weeks_ago(7, 1, 2);
is(visits('true'), "1|1.000\n2|1.000", 'who came');
is($node->sql('SELECT DISTINCT dashboard, hour_of_week FROM dashcache_visits'), 'board|10', 'and when');
weeks_ago(6, 1);
weeks_ago(5, 1, 3);
is(visits('true'), "1|1.000\n2|0.333\n3|1.000", 'in one week of three, in all of one since it first came');
weeks_ago(4, 2);
is(visits('true'), "1|0.750\n2|0.500\n3|0.500", 'in three of four');
weeks_ago($_, 1) foreach reverse 0 .. 3;
is(visits('true'), "1|0.875\n2|0.250\n3|0.167", 'over eight weeks it is visits by weeks');
weeks_ago(-$_, 1) foreach 1 .. 8;
is(visits("tenant = '1'"), '1|' . sprintf('%.3f', 1 - 0.125 * (7 / 8)**8), 'of more the latest count most');
$node->sql(q{SELECT dashcache.note_visits('board', '2024-03-04 10:00Z'::timestamptz)});
is($node->sql(q{SELECT hour_of_week, round(share::numeric, 3) FROM dashcache_visits WHERE tenant = '1' ORDER BY 1}),
	"10|0.957\n11|0.125", 'another hour: in one of the eight weeks');

# Who is never there any more is forgotten.
weeks_ago(-$_, 4) foreach 9 .. 40;
is($node->sql(q{SELECT tenant, hour_of_week FROM dashcache_visits}), "1|11\n4|10", 'who comes no more at that time is forgotten for it');
$node->sql("SELECT dashcache_purge(dashboard => 'board')");
$node->sql(q{
	SELECT dashcache.note_visits('board', '2024-03-04 10:00Z'::timestamptz + n * interval '7 days') FROM generate_series(1, 30) n;
	SELECT dashcache.note_visits('board', '2024-03-04 09:00Z'::timestamptz + n * interval '7 days') FROM generate_series(41, 80) n});
is($node->sql(q{SELECT count(*) FROM dashcache_visits}), '0', 'and so for all');
is($node->sql('SELECT count(*) FROM dashcache.visit'), '0', 'which leaves no row');

# Tenants of every kind; what is not used does not count as a visit.
$node->sql(q{
	SET client_min_messages = warning;
	CREATE TABLE texts (tenant text, x int);
	SELECT dashcache_define('w', 'SELECT sum(x) FROM texts WHERE tenant = $1', 'texts', ttl => NULL);
	SELECT dashcache_get(tenant, 'texts') FROM (VALUES ('it''s "ä", \ {a,b}'), (''), (repeat('x', 2000))) v (tenant);
	SELECT dashcache_warm('texts', 'warmed');
	SELECT dashcache.note_visits('texts', '2024-03-04 09:00Z')});
is(visits("dashboard = 'texts'"), qq{|1.000\nit's "ä", \\ {a,b}|1.000}, 'odd tenants are remembered, long ones and those only warmed are not');
$node->sql("SELECT dashcache_drop(dashboard => 'texts')");
is($node->sql('SELECT count(*) FROM dashcache.visit'), '0', 'a dashboard takes what was learnt with it');

# A job: it learns at the full hour, of the hour that has ended.
$node->sql("SELECT dashcache_purge(dashboard => 'board')");
my $job = $node->sql("SELECT dashcache_schedule('predictive', 'board')");
my $second = $node->sql("SELECT dashcache_schedule('predictive', 'board')");
is( $node->sql(
		"SELECT next_run > now() AND next_run <= now() + interval '1 hour' AND date_trunc('hour', next_run) = next_run, scheduler, active FROM dashcache_jobs WHERE job = $job"
	),
	't|dashcache|t', 'a job');
$node->sql("SELECT dashcache_get($_, 'board'), dashcache_get(9, 'other')") foreach 5, 6;

# A turn of jobs at a time, which comes that much later.
sub turn
{
	my ($at, $late, @jobs) = @_;
	my $list = join ', ', @jobs;

	return $node->sql(
		"UPDATE dashcache.job SET next_run = $at WHERE id IN ($list); SELECT dashcache.start_due($at + interval '$late')");
}

my $end = $node->sql("SELECT quote_literal($hour + interval '1 hour')") . '::timestamptz';
turn($end, '1 second', $job, $second);
is(visits('true'), "5|1.000\n6|1.000", 'the job has learnt who came');
is($node->sql("SELECT DISTINCT dashboard, hour_of_week = $hour_of_week + 1 FROM dashcache_visits"), 'board|t', 'in the hour that has ended');
is($node->sql("SELECT count(DISTINCT next_run), max(next_run) = $end + interval '50 minutes' FROM dashcache_jobs"), '1|t',
	'its next turn is ten minutes before the full hour');
is($node->sql("SELECT count(*) FROM dashcache_runs WHERE job IS NOT NULL"), '0', 'to learn is no run');

# In the next week only 5 comes; two jobs for it do not count twice.
$node->sql("UPDATE dashcache.visit SET since = since - interval '7 days'");
$node->sql("SELECT dashcache_purge(6, 'board'), dashcache_get(5, 'board')");
turn($end, '14 minutes', $job, $second);
is(visits('true'), "5|1.000\n6|0.500", 'two jobs do not count twice');
turn($end, '15 minutes', $job, $second);
is(visits('true'), "5|1.000\n6|0.500", 'what is too long ago is not learnt');
$node->sql("SELECT dashcache_alter_job($second, active => false)");
turn($end, '1 second', $second);
is(visits('true'), "5|1.000\n6|0.500", 'nothing is learnt while it is paused');
$node->sql("SELECT dashcache_unschedule($second)");

# It warms those expected in the coming hour, and only them.
$node->sql(qq{
	DELETE FROM dashcache.visit;
	INSERT INTO dashcache.visit
	SELECT 'board', tenant, (SELECT array_agg(CASE WHEN h - 1 = (hour + 168) % 168 THEN share ELSE 0 END ORDER BY h) FROM generate_series(1, 168) h), now() - interval '60 days'
	FROM (VALUES ('1', 0, 0.5), ('2', 0, 1), ('3', 0, 0.49), ('4', 1, 1), ('5', -1, 1), ('gone', 0, 0.1)) v (tenant, away, share),
		LATERAL (SELECT extract(isodow FROM at) AS day, extract(hour FROM at) AS h FROM (SELECT $end AT TIME ZONE 'UTC' AS at) a) n,
		LATERAL (SELECT ((n.day - 1) * 24 + n.h)::int + away AS hour) o});
$node->sql("SELECT dashcache_purge(dashboard => 'board')");
turn("$end - interval '10 minutes'", '1 second', $job);
is($node->sql("SELECT next_run = $end FROM dashcache_jobs WHERE job = $job"), 't', 'its next turn is the full hour');
$node->wait_for("SELECT last_status = 'succeeded' FROM dashcache_jobs WHERE job = $job");
is($node->sql("SELECT planned, failed FROM dashcache_runs WHERE job = $job"), '4|0', 'those expected are warmed');
is($node->sql("SELECT tenant, count(*) FROM dashcache_entries WHERE dashboard = 'board' GROUP BY 1 ORDER BY 1"), "1|2\n2|2", 'and nobody else');
is($node->sql("SELECT data, source FROM dashcache_fetch(2, 'board', 'w')"), '{"sum":2}|cache', 'who comes finds it there');

# When the turn comes late, those of the hour that is then near.
turn("$end - interval '70 minutes'", '1 hour', $job);
$node->wait_for("SELECT count(*) = 2 FROM dashcache_runs WHERE job = $job AND finished_at IS NOT NULL");
is($node->sql("SELECT planned, already_current FROM dashcache_runs WHERE job = $job LIMIT 1"), '4|4', 'when it is late, those of the next hour');

# By hand, those that are expected from now on.
$node->sql("DELETE FROM dashcache.visit WHERE tenant IN ('4', '5')");
my $run = $node->sql("SELECT dashcache_run_job($job)");
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
cmp_ok($node->sql("SELECT planned FROM dashcache_runs WHERE run = $run"), '<', 12, 'run by hand, it is not for all');

# What was learnt survives.
my $learnt = visits('true');
foreach my $mode ('fast', 'immediate')
{
	$node->sql('CHECKPOINT') if $mode eq 'fast';
	$node->stop($mode);
	$node->start;
	is(visits('true'), $learnt, "what was learnt survives a restart, $mode");
	is($node->sql("SELECT schedule, active FROM dashcache_jobs WHERE job = $job"), 'predictive|t', 'so does the job');
}

# Many tenants in an hour are learnt in no time.
$node->sql("SELECT dashcache_get(i, 'board', 'w') FROM generate_series(1, 5000) i");
$node->sql("SET statement_timeout = '10s'; SELECT dashcache.note_visits('board', now() + n * interval '7 days' - interval '1 hour') FROM generate_series(0, 2) n");
cmp_ok($node->sql("SELECT count(*) FROM dashcache.visit"), '>=', 5000, 'many tenants');

# For all that a role owns, and no more.
$node->sql(q{
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
	DELETE FROM dashcache.visit;
	INSERT INTO dashcache.visit SELECT 'board', '1', array_agg(1), now() FROM generate_series(1, 168);
	CREATE ROLE stranger LOGIN;
	GRANT SELECT, TRIGGER ON t TO stranger;
	SET ROLE stranger;
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'theirs')});
my $theirs = $node->session(user => 'stranger')->query("SELECT dashcache_schedule('predictive')");
turn("$end - interval '10 minutes'", '1 second', $theirs);
$node->wait_for("SELECT last_status = 'succeeded' FROM dashcache_jobs WHERE job = $theirs");
is($node->sql("SELECT planned FROM dashcache_runs WHERE job = $theirs"), '0', 'nobody warms what is not his');

$node->stop('fast');
done_testing();
