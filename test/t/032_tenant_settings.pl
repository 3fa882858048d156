# Tenants whose text depends on settings are the same ones for who lists them, for
# the worker, and after a restart; and those that fail are left out of a set alone.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

# A worker has these, whatever has been pinned by whom.
my $node = new_node('main', conf => "dashcache.workers = 1\ndatestyle = 'German, DMY'\nintervalstyle = 'sql_standard'\nlog_statement = 'none'\ndashcache.persist = off");
my $session = $node->session;

$session->query(q{
	CREATE TABLE t AS SELECT d::date AS day, d AS at, d - timestamptz '2024-01-01 00:00Z' - interval '3 days 1 min' AS age
		FROM generate_series(timestamptz '2024-01-01 00:00Z', '2024-01-20 00:00Z', '1 day') d;
	INSERT INTO t SELECT day + interval '1 month', at + interval '1 month', age FROM t WHERE day < '2024-01-13';
	SET client_min_messages = warning;
	SET DateStyle = 'SQL, MDY';
	SET TimeZone = 'America/New_York';
	SET IntervalStyle = 'postgres_verbose';
	SELECT dashcache_define('w', 'SELECT count(*) FROM (SELECT FROM t WHERE day = $1::date LIMIT 5) x', 'date_single');
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE day = $1::date', 'date_set');
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE day = $1::date', 'date_text');
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE at = $1::timestamptz', 'at');
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE at = $1::timestamptz', 'at_text');
	SELECT dashcache_define('w', 'SELECT count(*) FROM t WHERE age = $1::interval', 'age');
	SELECT dashcache_configure(d, tenants => 'SELECT DISTINCT day FROM t') FROM unnest('{date_single, date_set}'::text[]) d;
	SELECT dashcache_configure('date_text', tenants => 'SELECT DISTINCT day::text FROM t');
	SELECT dashcache_configure('at', tenants => 'SELECT at FROM t');
	SELECT dashcache_configure('at_text', tenants => 'SELECT at::text FROM t');
	SELECT dashcache_configure('age', tenants => 'SELECT DISTINCT age FROM t')});

my %tenants = (date_single => 'day', date_set => 'day', date_text => 'day', at => 'at', at_text => 'at', age => 'age');
foreach my $dashboard (sort keys %tenants)
{
	$session->query("SELECT dashcache_warm('$dashboard')");
	is($node->sql('SELECT planned = warmed, failed, last_error FROM dashcache_runs LIMIT 1'), 't|0|', "$dashboard: all is warmed");
	is($session->query(qq{SELECT count(*) > 15, string_agg(DISTINCT source, ' '), bool_and((data->>'count')::int > 0)
		FROM (SELECT DISTINCT $tenants{$dashboard} AS tenant FROM t) x, dashcache_fetch(tenant::text, '$dashboard')}),
		't|cache|t', "$dashboard: for the tenants that were listed");
}

# One that was asked for is read as the widget reads it.
$session->query("SELECT dashcache_purge(); SELECT dashcache_warm('date_set', '02/01/2024')");
is($session->query("SELECT count(*), max(tenant::date) = '2024-02-01' FROM dashcache_entries"), '1|t', 'a tenant that was asked for');

# What was in use comes back after a restart under other settings.
$session->query(q{
	SELECT dashcache_purge();
	SELECT dashcache_configure(d, tenants => '', warm_on_start => true) FROM unnest('{date_set, at, age}'::text[]) d;
	SELECT dashcache_get(day::text, 'date_set'), dashcache_get(at::text, 'at'), dashcache_get(age::text, 'age') FROM t});
my $used = $node->sql('SELECT count(*) FROM dashcache_entries');
$node->wait_for("SELECT count(*) = $used FROM dashcache.use");
$session->quit;
$node->append_conf('postgresql.conf', "datestyle = 'SQL, DMY'\ntimezone = 'Asia/Tokyo'\nintervalstyle = 'postgres'");
$node->restart;
$node->wait_for("SELECT count(*) >= $used FROM dashcache_entries");
$node->wait_for('SELECT count(*) = 0 FROM dashcache_progress');
is($node->sql("SELECT planned = warmed, failed, last_error FROM dashcache_runs LIMIT 1"), 't|0|', 'what was in use is warmed on start');
$session = $node->session;
is($session->query(q{SELECT string_agg(DISTINCT source, ' ') FROM t, LATERAL (
	SELECT source FROM dashcache_fetch(day::text, 'date_set') UNION ALL
	SELECT source FROM dashcache_fetch(at::text, 'at') UNION ALL
	SELECT source FROM dashcache_fetch(age::text, 'age')) f}), 'cache', 'for the same tenants');

#
# Tenants that fail.
#
$session->query(q{
	CREATE TABLE u AS SELECT i % 1000 AS k, 1 AS x FROM generate_series(1, 2000) i;
	UPDATE u SET x = 0 WHERE k IN (17, 600);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(60 / x) FROM u WHERE k = $1', 'some_fail');
	SELECT dashcache_configure('some_fail', tenants => $q$SELECT k::text FROM u UNION SELECT 'x' || i FROM generate_series(1, 3) i$q$)});
$session->query(q{SELECT dashcache_warm('some_fail')});
is($node->sql('SELECT planned, warmed, failed FROM dashcache_runs LIMIT 1'), '1003|998|5', 'those fail, and no others');
is($session->query(q{SELECT count(*) FILTER (WHERE source = 'cache'), bool_and((data->>'sum')::int = 120)
	FROM generate_series(0, 999) k, dashcache_fetch(k, 'some_fail') WHERE k NOT IN (17, 600)}), '998|t', 'with the right answers');
# 998 answers that were computed one by one would have taken as many queries, each with its time
my $times = $node->sql(q{SELECT count(DISTINCT generated_at) FROM dashcache_entries WHERE dashboard = 'some_fail'});
cmp_ok($times, '<', 100, "in few queries ($times)");

$session->quit;
$node->stop('fast');
done_testing();
