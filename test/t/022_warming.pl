# Warming: dashcache_configure() and dashcache_warm(), on change, at start, ahead
# of the end of an answer, and in the background of a stale one. Workers are held
# up by an advisory lock that a widget's function wants.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "dashcache.workers = 2\ndeadlock_timeout = '100ms'\ndashcache.refresh_ahead = 0.5");
my ($one, $two, $gate) = map { $node->session } 1 .. 3;

$node->sql(q{
	CREATE TABLE company (id bigint);
	INSERT INTO company SELECT generate_series(1, 40);
	CREATE TABLE t (company_id bigint, x numeric);
	INSERT INTO t SELECT 1 + i % 35, i FROM generate_series(0, 139) i;
	CREATE TABLE other (company_id bigint, x numeric);
	INSERT INTO other SELECT i, i FROM generate_series(1, 40) i;
	CREATE FUNCTION held(n numeric) RETURNS numeric STABLE LANGUAGE plpgsql AS
		$$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN n; END$$;
	SET client_min_messages = warning;
	SELECT dashcache_define('sum', 'SELECT sum(x), count(*) AS n FROM t WHERE company_id = $1');
	SELECT dashcache_define('top', 'SELECT x FROM t WHERE company_id = $1 ORDER BY x DESC LIMIT 2');
	SELECT dashcache_define('parted', 'SELECT sum(x) / ($2->>''by'')::numeric AS q FROM t WHERE company_id = $1', 'params');
});

# The counters of the last run, once it has ended.
sub last_run
{
	my $columns = shift // 'planned, warmed, already_current, failed, last_error';

	return $node->sql("SELECT $columns FROM dashcache_runs WHERE run = (SELECT max(run) FROM dashcache_runs) AND finished_at IS NOT NULL");
}

sub fills
{
	my $dashboard = shift // 'default';

	return $node->sql("SELECT sum(fills) FROM dashcache_stats WHERE dashboard = '$dashboard'");
}

# What computes the function held() waits from here on.
sub close_gate
{
	$gate->query('BEGIN; SELECT pg_advisory_xact_lock(1)');
	return;
}

sub open_gate
{
	$gate->query('COMMIT');
	return;
}

# Wait until so many workers wait for a lock.
sub wait_for_held_up
{
	my $n = shift;


	$node->wait_for(
		"SELECT count(*) = $n FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event_type = 'Lock'");
	return;
}

# No worker has anything to do.
sub wait_for_idle
{
	$node->wait_for(
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND state <> 'idle'");
	return;
}

#
# What is wrong is said at the call that says it.
#
my %wrong = (
	'SELECT 1 / (id - 40) FROM company' => qr/division by zero\n.*CONTEXT:  tenants query of dashcache dashboard "default"/s,
	'SELECT nothing' => qr/column "nothing" does not exist.*CONTEXT:.*tenants query/s,
	'SELECT FROM WHERE' => qr/syntax error.*CONTEXT:.*tenants query/s,
	'SELECT CASE WHEN id > 38 THEN NULL ELSE id END FROM company' =>
	  qr/the tenants query returns null\nDETAIL:  It does so in 2 of 40 rows\.\nHINT:/,
	'SELECT id, id FROM company' => qr/the tenants query must return one column/,
	'SELECT FROM company' => qr/the tenants query must return one column/,
	'DELETE FROM company' => qr/the tenants query must be one SELECT/,
	'SELECT 1; SELECT 2' => qr/the tenants query must be one SELECT/,
	'DELETE FROM company RETURNING id' => qr/the tenants query must be one SELECT/,
	'WITH d AS (DELETE FROM company RETURNING id) SELECT id FROM d' => qr/the tenants query must be one SELECT/,
	'SHOW server_version' => qr/the tenants query must be one SELECT/,
	' ' => qr/the tenants query must be one SELECT/,
	'SELECT $1::int' => qr/there is no parameter \$1|the tenants query/,);
foreach my $query (sort keys %wrong)
{
	like($one->error("SELECT dashcache_configure(tenants => \$q\$$query\$q\$)"), $wrong{$query}, "tenants query: $query");
}
foreach my $variants ('{}', '{"a": 1}', '1', 'null', '"[]"')
{
	like($one->error("SELECT dashcache_configure(variants => '$variants')"), qr/variants must be a JSON array\nHINT/, "variants: $variants");
}
foreach my $variants ('[{}, 2]', '[{}, []]', '[{}, null]')
{
	like($one->error("SELECT dashcache_configure(variants => '$variants')"),
		qr/each of the variants must be a JSON object\nDETAIL:  Number 2 is not/, "variants: $variants");
}
like($one->error("SELECT dashcache_configure('nowhere', warm_on_start => true)"), qr/dashboard "nowhere" does not exist/, 'no such dashboard');
like($one->error("SELECT dashcache_configure(guard => 'tenant')"), qr/guard must be the name of a customized setting: "tenant"/, 'guard: no prefix');
like($one->error("SELECT dashcache_warm('nowhere')"), qr/dashboard "nowhere" does not exist/, 'warming no such dashboard');
is( $node->sql('SELECT count(*) FROM dashcache.dashboard WHERE tenants IS NOT NULL OR variants IS NOT NULL OR guard IS NOT NULL'),
	'0', 'nothing of that is left');
is($node->sql('SELECT count(*) FROM company'), '40', 'and nothing is written');

$one->start(q{SELECT dashcache_configure(tenants => 'SELECT 1 + i % 3 FROM generate_series(1, 100000) i')});
my (undef, $notice) = $one->finish;
like($notice, qr/NOTICE:  the tenants query lists tenants more than once\n.*99997 of 100000 rows are repetitions/, '100,000 rows, repeated: a notice');
$one->query(q{SELECT dashcache_configure(tenants => 'SELECT i FROM generate_series(1, 100000) i')});
$one->query(q{SELECT dashcache_configure(tenants => '', variants => '[]', guard => '')});
is( $node->sql('SELECT count(*) FROM dashcache.dashboard WHERE tenants IS NOT NULL OR variants IS NOT NULL OR guard IS NOT NULL'),
	'0', 'empty ones clear');

#
# A run.
#
$node->sql(q{SELECT dashcache_configure(tenants => 'SELECT id FROM company')});
like($one->query('SELECT dashcache_warm()'), qr/^\d+$/, 'dashcache_warm() returns a number');
is(last_run(), '80|80|0|0|', 'all is warmed');
is($node->sql('SELECT count(*) FROM dashcache_progress'), '0', 'and no run is in progress');
is( $node->sql(q{SELECT count(*), count(*) FILTER (WHERE state = 'current'), sum(hits) FROM dashcache_entries}),
	'80|80|0', 'an entry for each widget and tenant, those without rows too');
is($one->query("SELECT string_agg(DISTINCT source, ',') FROM company, dashcache_fetch(id)"), 'cache', 'which are served');
$one->query('SELECT dashcache_warm(NULL)');
is(last_run(), '80|0|80|0|', 'what is current is left alone');
$node->sql('INSERT INTO t VALUES (3, 1)');
$one->query(q{SELECT dashcache_warm('default')});
is(last_run('planned, warmed, already_current, failed, dashboard'), '80|2|78|0|default', 'what has changed is warmed');

# With all at once and one by one: the same bytes.
is($node->sql(q{SELECT dashcache.setwise('sum') IS NULL, dashcache.setwise('top') IS NULL}), 't|f', 'one widget allows it, one does not');
is( $node->sql(q{
	WITH warmed AS MATERIALIZED (SELECT id, widget, data, etag, source FROM company, dashcache_fetch(id)),
		single AS MATERIALIZED (SELECT id, f.widget, f.data, f.etag FROM company, dashcache_fetch(id, refresh => true) f)
	SELECT count(*), count(*) FILTER (WHERE w.source = 'cache' AND w.data::text = s.data::text AND w.etag = s.etag)
	FROM warmed w JOIN single s USING (id, widget)}), '80|80', 'the same bytes as one by one');
is($node->sql(q{SELECT data FROM dashcache_fetch(40, widget => 'sum')}), '{"sum":null,"n":0}', 'no row');

# One tenant, of any type.
$node->sql('SELECT dashcache_purge()');
foreach my $tenant ('7', "'7'", '7::int', "'07'")
{
	$one->query("SELECT dashcache_warm('default', $tenant)");
	is(last_run(), $tenant eq '7' ? '2|2|0|0|' : '2|0|2|0|', "one tenant: $tenant");
}
$one->query('SELECT dashcache_warm(tenant => $$8$$)');
is(last_run('warmed, failed'), '3|0', 'one tenant of all dashboards');
$node->sql(q{
	CREATE TABLE u (id uuid, x int);
	INSERT INTO u VALUES ('00000000-0000-0000-0000-000000000001', 5);
	SET client_min_messages = warning;
	SELECT dashcache_define('u', 'SELECT x FROM u WHERE id = $1', 'uuid')});
$one->query(q{SELECT dashcache_warm('uuid', uuid '00000000-0000-0000-0000-000000000001')});
is(last_run(), '1|1|0|0|', 'one tenant: uuid');
$one->query(q{SELECT dashcache_warm('uuid', 12)});
like(last_run(), qr/^1\|0\|0\|1\|invalid input syntax for type uuid: "12"/, 'a tenant that does not convert');

# Tenants in the query that are equal, and such that do not convert.
$node->sql(q{SELECT dashcache_purge();
	SELECT dashcache_configure(tenants => $q$SELECT unnest('{1, 01, 2,  3, 4, 5, 6, 7, 8, 9, 10, x, 11, 12}'::text[])$q$)});
$one->query(q{SELECT dashcache_warm('default')});
# two workers may compute one of the equal ones at once
like(last_run(), qr/^28\|2[4-6]\|[0-2]\|2\|invalid input syntax for type bigint: "x"/, 'a tenant that does not convert stops no other');
is($node->sql('SELECT count(*) FROM dashcache_entries'), '24', 'and equal ones are one');

#
# Variants.
#
$node->sql(q{SELECT dashcache_purge();
	SELECT dashcache_configure('params', tenants => 'SELECT id FROM company WHERE id <= 20', variants => '[{"by": 1}, {"by": 2}, {"by": 1}]')});
$one->query(q{SELECT dashcache_warm('params')});
is(last_run(), '40|40|0|0|', 'each of the variants');
is($node->sql(q{SELECT count(*), min(params::text), max(params::text) FROM dashcache_entries}), '40|{"by": 1}|{"by": 2}', 'once');
is($node->sql(q{SELECT source FROM dashcache_fetch(5, 'params', params => '{"by": 2}')}), 'cache', 'is there');

# What was in use is warmed, too, with its params.
$node->sql(q{SELECT dashcache_get(30, 'params', params => '{"by": 5}'); INSERT INTO t VALUES (30, 1)});
$one->query(q{SELECT dashcache_warm('params')});
is(last_run(), '41|1|40|0|', 'what was in use is warmed, too');

#
# What fails.
#
$node->sql(q{SELECT dashcache_purge(); UPDATE t SET x = 0 WHERE company_id = 5;
	SELECT dashcache_configure('failing_tenant', tenants => 'SELECT id FROM company') FROM (
		SELECT dashcache_define('w', 'SELECT 60 / sum(x) AS x FROM t WHERE company_id = $1', 'failing_tenant')) d});
$one->query(q{SELECT dashcache_warm('failing_tenant')});
is(last_run(), '40|39|0|1|division by zero', 'a tenant that fails stops no other');
is($node->sql(q{SELECT errors > 0 FROM dashcache_stats WHERE dashboard = 'failing_tenant'}), 't', 'and is counted');
$node->sql(q{SET client_min_messages = error;
	SELECT dashcache_define('a', 'SELECT x::int / 0 AS x FROM t WHERE company_id = $1', 'failing_widget');
	SELECT dashcache_define('b', 'SELECT sum(x) AS x FROM t WHERE company_id = $1', 'failing_widget');
	SELECT dashcache_configure('failing_widget', tenants => 'SELECT 1 + id % 4 FROM company')});
$one->query(q{SELECT dashcache_warm('failing_widget')});
is(last_run(), '8|4|0|4|division by zero', 'a widget that fails stops no other');

# A tenants query that fails later on.
$node->sql(q{CREATE TABLE listed AS SELECT 1 AS id; SELECT dashcache_drop(dashboard => 'failing_tenant');
	SELECT dashcache_configure(tenants => 'SELECT id FROM company');
	SELECT dashcache_configure('failing_widget', tenants => 'SELECT id FROM listed');
	SELECT dashcache_purge(); DROP TABLE listed});
$one->query(q{SELECT dashcache_warm('failing_widget')});
is(last_run(), '0|0|0|0|relation "listed" does not exist', 'a tenants query that fails');
$one->query(q{SELECT dashcache_warm()});
is(last_run(), '120|120|0|0|relation "listed" does not exist', 'does not stop other dashboards');
$node->sql(q{SELECT dashcache_drop(dashboard => 'failing_widget')});

#
# While it runs.
#
$node->sql(q{SELECT dashcache_purge();
	SET client_min_messages = error; SELECT dashcache_define('last', 'SELECT held(x) AS x FROM other WHERE company_id = $1 ORDER BY x LIMIT 1')});
close_gate();
$one->start(q{SELECT dashcache_warm('default')});
wait_for_held_up(2);
is( $node->sql(q{SELECT run = (SELECT max(run) FROM dashcache_runs), dashboard, planned, done < planned, failed, started_at < now(), estimated_end > now() FROM dashcache_progress}),
	't|default|120|t|0|t|t', 'dashcache_progress tells how far it is');
is( $node->sql(q{SELECT finished_at IS NULL, planned FROM dashcache_runs LIMIT 1}), 't|120', 'dashcache_runs has it, too');
is( $node->sql(q{SELECT count(DISTINCT pid), count(*) FILTER (WHERE query LIKE 'dashcache run %: warming default') FROM pg_stat_activity WHERE backend_type = 'dashcache worker'}),
	'2|2', 'two workers share it');
is($node->sql('SELECT workers FROM dashcache_status'), '2', 'dashcache_status counts them');
my $told = $node->sql('SELECT done FROM dashcache_progress');
$node->wait_for(q{SELECT now() > started_at + interval '1.1 s' FROM dashcache_progress});
open_gate();
my ($run, $info) = $one->finish;
like($run, qr/^\d+$/, 'it ends');
is(last_run(), '120|120|0|0|', 'all is done');

# Messages while it runs: as soon as something is done a second after the last.
$node->sql('SELECT dashcache_purge()');
close_gate();
$one->start(q{SELECT dashcache_warm('default')});
wait_for_held_up(2);
$node->wait_for(q{SELECT now() > started_at + interval '2.2 s' FROM dashcache_progress});
ok($one->running, 'it goes on');
like($one->{stderr}, qr/NOTICE:  run \d+: \d+ of 120 entries, 0 failed/, 'messages while it runs');

# Interrupting it stops it.
$one->cancel;
(undef, my $error) = $one->finish;
like($error, qr/canceling statement due to user request/, 'the call is cancelled');
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');
is($node->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event_type = 'Lock'}), '0', 'so are the workers\' queries');
like(last_run('planned, warmed < planned, last_error'), qr/^120\|t\|cancelled/, 'and the run is written down');
open_gate();
is($node->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dashcache worker'}), '2', 'the workers live on');
close_gate();
my $waiter = $node->session;
$waiter->start(q{SELECT dashcache_warm('default')});
wait_for_held_up(2);
$waiter->terminate;
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');
like(last_run('last_error'), qr/^cancelled/, 'so it is when the session is terminated');
open_gate();

# A worker that has nothing to do is not ended by a cancel.
wait_for_idle();
my $workers = q{SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = 'dashcache worker'};
my $before = $node->sql($workers);
$node->sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dashcache worker'});
$one->query(q{SELECT dashcache_warm('default')});
is(last_run('failed, last_error'), '0|', 'an idle worker may be cancelled');
is($node->sql("SELECT count(*) FROM pg_stat_activity WHERE pid IN ($before)"), scalar(split(/,/, $before)), 'and lives on');

# Without waiting.
$node->sql('SELECT dashcache_purge()');
close_gate();
$run = $two->query(q{SELECT dashcache_warm('default', wait => false)});
wait_for_held_up(2);
is($node->sql('SELECT run FROM dashcache_progress'), $run, 'wait => false: the number of the run, which goes on');
open_gate();
$node->wait_for("SELECT warmed = 120 AND finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");

# Of two that are asked for at once one does not wait for the other.
$node->sql('SELECT dashcache_purge()');
close_gate();
my $runs = $two->query(q{SELECT dashcache_warm('default', 1, wait => false), dashcache_warm('params', 1, wait => false)});
my ($first, $second) = split /\|/, $runs;
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $second");
is($node->sql("SELECT finished_at IS NULL FROM dashcache_runs WHERE run = $first"), 't', 'one run goes on beside another');
open_gate();
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');

# Locks of one's own.
$node->sql('SELECT dashcache_purge()');
like($one->error(q{BEGIN; SELECT pg_advisory_xact_lock(1); SELECT dashcache_warm('default')}),
	qr/deadlock detected\n.*waits for run \d+; a worker.*\n.*wait => false/s, 'who holds a lock that the run needs gets an error');
$one->query('ROLLBACK');
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');

# The same where all the workers are at another's run.
$two->query('BEGIN; SELECT pg_advisory_xact_lock(1)');
$one->start(q{SELECT dashcache_warm('default')});
wait_for_held_up(2);
like($two->error(q{SELECT dashcache_warm('uuid', uuid '00000000-0000-0000-0000-000000000001')}),
	qr/deadlock detected/, 'who holds a lock that all workers wait for gets an error');
$two->query('ROLLBACK');
$one->finish;

# What may pass is tried again.
$node->sql(q{
	CREATE FUNCTION impatient(n numeric) RETURNS numeric STABLE LANGUAGE plpgsql SET lock_timeout = '100ms' AS
		$$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN n; END$$;
	SET client_min_messages = error;
	SELECT dashcache_define('w', 'SELECT impatient(x) AS x FROM other WHERE company_id = $1', 'impatient', result => 'rows')});
close_gate();
$run = $two->query(q{SELECT dashcache_warm('impatient', 5, wait => false)});
$node->wait_for(q{SELECT errors >= 1 FROM dashcache_stats WHERE dashboard = 'impatient'});
open_gate();
$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
is($node->sql("SELECT planned, warmed, failed, last_error FROM dashcache_runs WHERE run = $run"), '1|1|0|', 'what may pass is tried again');

# Who may.
$node->sql(q{GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC; CREATE ROLE stranger LOGIN; SELECT dashcache_grant('default', 'stranger')});
my $stranger = $node->session(user => 'stranger');
like($stranger->error(q{SELECT dashcache_warm('default')}), qr/must be owner|permission denied/, 'only the owner may warm a dashboard');
like($stranger->error('SELECT dashcache_warm()'), qr/must be owner of a dashboard/, 'and who owns none has nothing to warm');
like($stranger->error(q{SELECT dashcache_schedule('1 second')}), qr/must be owner of a dashboard/, 'nor to schedule');
like($stranger->error(q{SELECT dashcache_schedule('1 second', 'default')}), qr/must be owner of dashboard "default"/, 'nor may he schedule another\'s');


#
# On change.
#
sub state
{
	my ($dashboard, $tenant) = @_;

	return $node->sql("SELECT state FROM dashcache_entries WHERE dashboard = '$dashboard' AND tenant = '$tenant'");
}

sub wait_for_current
{
	my ($dashboard, @tenants) = @_;
	my $list = join ', ', map { "'$_'" } @tenants;

	$node->wait_for(sprintf q{SELECT count(*) = %d FROM dashcache_entries WHERE dashboard = '%s' AND tenant IN (%s) AND state = 'current'},
		scalar @tenants, $dashboard, $list);
	return;
}

$node->sql(q{
	CREATE TABLE c (company_id int, x int);
	INSERT INTO c SELECT i, 1 FROM generate_series(1, 20) i;
	SET client_min_messages = error;
	SELECT dashcache_define('w', 'SELECT sum(x) AS s, count(*) AS n FROM c WHERE company_id = $1', 'live', ttl => NULL);
	SELECT dashcache_define('w', 'SELECT sum(x) AS s, count(*) AS n FROM c WHERE company_id = $1', 'unread', ttl => NULL);
	SELECT dashcache_get(1, 'live');
	SELECT dashcache_configure('live', warm_on_change => true);
	INSERT INTO c VALUES (1, 1)});
wait_for_current('live', 1);
is($node->sql(q{SELECT data, source FROM dashcache_fetch(1, 'live')}), '{"s":2,"n":2}|cache', 'warmed on change, without a reader');

# Most used first; what was never read not at all.
my %hits = (2 => 1, 3 => 5, 4 => 3, 5 => 9, 6 => 7);
$node->sql("SELECT dashcache_get($_, 'live') FROM generate_series(0, $hits{$_})") foreach sort keys %hits;
$one->query(q{SELECT dashcache_warm('live', tenant) FROM unnest('{10, 11}'::text[]) tenant});
$node->sql('UPDATE c SET x = x + 1');
wait_for_current('live', 1 .. 6);
is($node->sql(q{SELECT string_agg(tenant, ' ' ORDER BY generated_at) FROM dashcache_entries WHERE dashboard = 'live' AND tenant IN ('2', '3', '4', '5', '6')}),
	'5 6 3 4 2', 'the most used first');
is(state('live', $_), 'changed', 'what was never read is left alone') foreach (10, 11);

# A burst.
$before = fills('live');
$two->query(join '', map { "INSERT INTO c VALUES (5, 1);\n" } 1 .. 1000);
wait_for_current('live', 5);
my $times = fills('live') - $before;
cmp_ok($times, '<=', 50, "1,000 changes of a tenant: computed $times times");
cmp_ok($times, '>=', 1, 'but computed');
is($node->sql(q{SELECT data->>'n', source FROM dashcache_fetch(5, 'live')}), '1001|cache', 'and right');

# Not read any more: ever less often.
$node->sql(q{SELECT dashcache_configure('unread', warm_on_change => true)});
$node->sql(q{SELECT dashcache_get(7, d) FROM unnest('{live, unread}'::text[]) d, generate_series(1, 3)});
my ($read_before, $unread_before) = (fills('live'), fills('unread'));
$node->sql(q{
	DO $$
	BEGIN
		FOR i IN 1 .. 6 LOOP
			UPDATE c SET x = x + 1 WHERE company_id = 7;
			COMMIT;
			WHILE EXISTS (SELECT FROM dashcache_entries WHERE dashboard = 'live' AND tenant = '7' AND state <> 'current') LOOP
				COMMIT;
				PERFORM pg_sleep(0.02);
			END LOOP;
			PERFORM dashcache_get(7, 'live');
			COMMIT;
		END LOOP;
	END $$});
my ($read, $unread) = (fills('live') - $read_before, fills('unread') - $unread_before);
cmp_ok($read, '>', $unread, "what is read: computed $read times; what is not: $unread times");
cmp_ok($unread, '<=', $read / 2, 'ever less often');

# Turned off again.
$node->sql(q{SELECT dashcache_configure('live', warm_on_change => false); SELECT dashcache_configure('unread', warm_on_change => false)});

#
# Ahead of the end of an answer.
#
$node->sql(q{SET client_min_messages = error;
	SELECT dashcache_define('w', 'SELECT count(*) AS n FROM c WHERE company_id = $1', 'ahead', ttl => '2 seconds');
	SELECT dashcache_get(1, 'ahead')});
$before = fills('ahead');
my $answers = $node->sql(q{
	CREATE TEMP TABLE got (source text, generated_at timestamptz);
	DO $$
	BEGIN
		FOR i IN 1 .. 100 LOOP
			INSERT INTO got SELECT source, generated_at FROM dashcache_fetch(1, 'ahead');
			COMMIT;
			PERFORM pg_sleep(0.05);
		END LOOP;
	END $$;
	SELECT string_agg(DISTINCT source, ' '), count(DISTINCT generated_at) BETWEEN 3 AND 6 FROM got});
is($answers, 'cache|t', 'refreshed ahead of its end: always a hit');
$times = fills('ahead') - $before;
ok($times >= 2 && $times <= 5, "in 5 seconds computed anew $times times");
$node->wait_for(q{SELECT state = 'expired' FROM dashcache_entries WHERE dashboard = 'ahead'});
is(fills('ahead') - $before - $times <= 1, 1, 'and not without readers');

#
# In the background of a stale answer.
#
$node->sql(q{SET client_min_messages = error;
	SELECT dashcache_define('w', 'SELECT 60 / sum(x) AS q FROM c WHERE company_id = $1', 'stale', ttl => NULL, max_stale => '1 hour');
	UPDATE c SET x = 10 WHERE company_id = 12;
	SELECT dashcache_get(12, 'stale');
	UPDATE c SET x = 20 WHERE company_id = 12});
is($node->sql(q{SELECT data, source FROM dashcache_fetch(12, 'stale')}), '{"q":6}|stale', 'a stale hit');
$node->wait_for(q{SELECT state = 'current' FROM dashcache_entries WHERE dashboard = 'stale'});
is($node->sql(q{SELECT data, source FROM dashcache_fetch(12, 'stale')}), '{"q":3}|cache', 'has it computed in the background');

# A refresh that fails is tried again, but not by each reader.
sub errors
{
	return $node->sql(q{SELECT errors FROM dashcache_stats WHERE dashboard = 'stale'});
}
$before = errors();
$node->sql('UPDATE c SET x = 0 WHERE company_id = 12');
$node->sql(q{SELECT dashcache_get(12, 'stale')});
$node->wait_for(qq{SELECT errors = $before + 1 FROM dashcache_stats WHERE dashboard = 'stale'});
$node->sql(q{SELECT count(dashcache_get(12, 'stale')) FROM generate_series(1, 200)});
wait_for_idle();
cmp_ok(errors(), '<=', $before + 10, 'a refresh that fails is not tried again for each reader');
$node->wait_for(qq{SELECT errors >= $before + 2 FROM dashcache_stats, dashcache_fetch(12, 'stale') f WHERE dashboard = 'stale' AND f.source = 'stale'});
pass('but later on');
$node->sql('UPDATE c SET x = 30 WHERE company_id = 12');
$node->wait_for(q{SELECT data::text = '{"q":2}' FROM dashcache_fetch(12, 'stale')});
is($node->sql(q{SELECT source FROM dashcache_fetch(12, 'stale')}), 'cache', 'and succeeds when it can');

#
# At start.
#
$node->sql(q{SELECT dashcache_configure('live', warm_on_start => true);
	SELECT dashcache_configure('params', warm_on_start => true, tenants => '', variants => '[]');
	SELECT dashcache_purge();
	SELECT dashcache_get(t, 'live') FROM generate_series(1, 3) t;
	SELECT dashcache_get(4, 'params', params => '{"by": 3}')});
foreach my $mode ('fast', 'immediate')
{
	$node->wait_for(q{SELECT count(*) = 4 FROM dashcache.use});
	undef $_ foreach ($one, $two, $gate, $waiter, $stranger);
	$node->stop($mode);
	$node->start;
	$node->wait_for('SELECT count(*) = 4 FROM dashcache_entries');
	is($node->sql(q{SELECT string_agg(source, ' ') FROM generate_series(1, 3) t, dashcache_fetch(t, 'live')}),
		'cache cache cache', "after a restart ($mode) what was in use is there");
	is($node->sql(q{SELECT source FROM dashcache_fetch(4, 'params', params => '{"by": 3}')}), 'cache', 'with its params');
}
$node->sql(q{SELECT dashcache_configure('live', warm_on_start => false)});
is($node->sql(q{SELECT count(*) FROM dashcache.use WHERE dashboard = 'live'}), '0', 'turned off, nothing is remembered');

#
# Without workers.
#
$node->append_conf('postgresql.conf', 'dashcache.workers = 0');
$node->reload;
$node->wait_for("SELECT current_setting('dashcache.workers') = '0'");
$one = $node->session;
like($one->error('SELECT dashcache_warm()'), qr/dashcache has no workers\nDETAIL:  The setting dashcache\.workers is 0\.\nHINT:/, 'no workers: an error');
is($one->query(q{SELECT source FROM dashcache_fetch(19, 'live')}), 'database', 'all else works');
$one->quit;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$one = $node->session;
like($one->error('SELECT dashcache_warm()'), qr/dashcache has no workers\nDETAIL:  The library is not preloaded\.\nHINT:/, 'not preloaded: an error');
like($one->error(q{SELECT dashcache_warm('default', 1, false)}), qr/dashcache has no workers/, 'with wait => false, too');
is($one->query('SELECT count(*) FROM dashcache_progress'), '0', 'no progress');
is($one->query('SELECT count(*) > 10 FROM dashcache_runs'), 't', 'the runs of before');
$one->query(q{SELECT dashcache_configure('live', warm_on_change => true)});
$one->quit;

$node->stop('fast');
done_testing();
