# What a worker cannot compute anew at once, it tries again: where another
# transaction keeps it from telling what has changed, and where a query fails for a
# reason that passes. No reader has to come, and no other change.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "dashcache.workers = 2");
my ($reader, $writer, $gate) = map { $node->session } 1 .. 3;

# Without a foreign key, a conversation that moves may have been missed by who
# was writing messages at that time, or anything.
$node->sql(q{
	CREATE TABLE conversation (id int PRIMARY KEY, company_id int);
	CREATE TABLE message (conversation_id int);
	CREATE TABLE other (x int);
	INSERT INTO conversation SELECT i, i % 3 FROM generate_series(1, 30) i;
	INSERT INTO message SELECT 1 + i % 30 FROM generate_series(1, 300) i;
	SET client_min_messages = warning;
	SELECT dashcache_define('w', q, d, ttl => NULL, max_stale => s, result => 'value')
	FROM (VALUES ('stale', interval '1 hour'), ('live', '0')) v (d, s),
		(VALUES ('SELECT count(*) FROM message m JOIN conversation c ON c.id = m.conversation_id WHERE c.company_id = $1')) w (q);
	SELECT dashcache_configure('live', warm_on_change => true)});

sub no_worker_is_at_it
{
	$node->wait_for(q{SELECT count(*) FILTER (WHERE state <> 'idle') = 0 FROM pg_stat_activity WHERE backend_type = 'dashcache worker'});
	return;
}

sub answers
{
	return $node->sql(q{SELECT string_agg(dashboard || ' ' || state, ', ' ORDER BY dashboard) FROM dashcache_entries WHERE tenant = '1'});
}

$reader->query(q{SELECT dashcache_get(1, d) FROM unnest('{stale, live, live}'::text[]) d});
$writer->query('BEGIN; INSERT INTO other VALUES (1)');
$node->sql('UPDATE conversation SET company_id = 1 WHERE id = 2');
is($reader->query(q{SELECT data, source, reason FROM dashcache_fetch(1, 'stale')}), '100|stale|uncertain',
	'while another transaction may have missed the move, the last answer');
my $computed = q{SELECT sum(fills), sum(misses) FROM dashcache_stats};
my $before = $node->sql($computed);
my $asked_at = $node->sql('SELECT clock_timestamp()');

# The worker has tried, and has seen that it is of no use.
$node->wait_for("SELECT clock_timestamp() > '$asked_at'::timestamptz + interval '1 s'");
no_worker_is_at_it();
is($node->sql($computed), $before, 'nothing is stored meanwhile');
$writer->query('COMMIT');
$node->wait_for(q{SELECT bool_and(state = 'current') FROM dashcache_entries WHERE tenant = '1' AND dashboard = 'live'});
is($node->sql(q{SELECT data, source FROM dashcache_fetch(1, 'live')}), '110|cache', 'after its end a dashboard that is warmed on change is warm');

$node->wait_for(q{SELECT data::text = '110' FROM dashcache_fetch(1, 'stale')});
is(answers(), 'live current, stale current', 'and the last answer does not stand for the whole of max_stale');

# A query that fails.
$node->sql(q{
	CREATE FUNCTION impatient(n bigint) RETURNS bigint STABLE LANGUAGE plpgsql SET lock_timeout = '100ms' AS
		$$BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN n; END$$;
	SET client_min_messages = error;
	SELECT dashcache_define('w', 'SELECT impatient(count(*)) AS n FROM message WHERE conversation_id = $1', 'failing', ttl => NULL);
	SELECT dashcache_configure('failing', warm_on_change => true);
	SELECT dashcache_get(1, 'failing') FROM generate_series(1, 2)});
no_worker_is_at_it();
$gate->query('BEGIN; SELECT pg_advisory_xact_lock(1)');
$node->sql('INSERT INTO message VALUES (1)');
$node->wait_for(q{SELECT errors >= 1 FROM dashcache_stats WHERE dashboard = 'failing'});
no_worker_is_at_it();
$gate->query('COMMIT');
$node->wait_for(q{SELECT state = 'current' FROM dashcache_entries WHERE dashboard = 'failing'});
is($node->sql(q{SELECT data->>'n', source FROM dashcache_fetch(1, 'failing')}), '11|cache', 'what has failed is tried again');
cmp_ok($node->sql(q{SELECT errors FROM dashcache_stats WHERE dashboard = 'failing'}), '<=', 6, 'a little later each time');

# A run: for one tenant alone, and for many of a set.
foreach my $n (2, 100)
{
	$node->sql("SELECT dashcache_configure('stale', tenants => 'SELECT generate_series(1, $n)'); SELECT dashcache_purge()");
	$writer->query('BEGIN; INSERT INTO other VALUES (1)');
	$node->sql('UPDATE conversation SET company_id = 3 - company_id WHERE id = 4');
	my $run = $node->sql(q{SELECT dashcache_warm('stale', wait => false)});
	$node->wait_for("SELECT done BETWEEN $n - 2 AND $n - 1 AND planned = $n FROM dashcache_progress WHERE run = $run") if $n > 2;
	$writer->query('COMMIT');
	$node->wait_for("SELECT finished_at IS NOT NULL FROM dashcache_runs WHERE run = $run");
	is($node->sql("SELECT planned, warmed, failed, last_error FROM dashcache_runs WHERE run = $run"), "$n|$n|0|",
		"a run of $n tries again what could not be kept");
}

# What can never be kept is not taken for current.
$node->sql(q{ALTER DATABASE postgres SET dashcache.enabled = off; SELECT dashcache_purge()});
$node->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dashcache worker'});
my $run = $node->sql(q{SELECT dashcache_warm('stale')});
is($node->sql("SELECT planned, warmed, already_current, failed, last_error FROM dashcache_runs WHERE run = $run"),
	'100|0|0|100|an answer was not stored: disabled', 'and what is not cached has failed');

$node->stop;
done_testing();
