# Answers that are no longer current: served where max_stale allows it, within
# its bound, never to who has changed them, and in place of an error. Without
# workers, which would refresh what is looked at here.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

# Much memory: thousands of tenants are to share no stamp with the one looked at.
my $node = new_node('main', conf => "dashcache.memory = '512MB'\nlog_min_messages = debug1\ndashcache.refresh_ahead = 0.000001\ndashcache.workers = 0");
my ($one, $two, $three) = map { $node->session } 1 .. 3;

$node->sql(q{
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t SELECT 1 + i % 2, 10 FROM generate_series(0, 1) i;
	CREATE TABLE lasting (company_id bigint, x int);
	INSERT INTO lasting VALUES (1, 10);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', ttl => NULL, max_stale => '1 hour');
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'strict', ttl => NULL);
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'short', ttl => NULL, max_stale => '100 ms');
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', 'ends', ttl => '1 ms', max_stale => '1 hour');
	SELECT dashcache_define('w', 'SELECT sum(x) FROM lasting WHERE company_id = $1', 'ahead', ttl => '1 hour');
	SELECT dashcache_define('w', 'SELECT 60 / sum(x) AS x FROM t WHERE company_id = $1', 'parted', ttl => NULL, max_stale => '1 hour');
});

sub fetch
{
	my ($dashboard, $tenant, $more) = @_;

	return sprintf 'SELECT data, source, reason FROM dashcache_fetch(%d, %s%s)',
	  $tenant // 1, $dashboard ? "'$dashboard'" : "'default'", $more // '';
}

# How often a refresh has been asked for since a position in the log.
sub asked
{
	my $log = slurp_file($node->logfile, shift);

	return scalar(() = $log =~ /DEBUG:  dashcache refresh asked for/g);
}

# Within the bound.
is($one->query(fetch()), '{"sum":10}|database|cold', 'a cold entry');
is($one->query(fetch('strict')), '{"sum":10}|database|cold', 'and of a strict widget');
is($one->query(fetch()), '{"sum":10}|cache|', 'a hit');
$two->query('INSERT INTO t VALUES (1, 1)');
my $position = $node->log_position;
is($one->query(fetch()), '{"sum":10}|stale|changed', 'another session\'s change: the last answer');
is($one->query(fetch()), '{"sum":10}|stale|changed', 'again');
is(asked($position), 1, 'a refresh is asked for once');
like(slurp_file($node->logfile, $position), qr/dashcache stale hit: widget "w" of dashboard "default" \(changed\)/, 'the log tells a stale hit');
is($one->query(fetch('strict')), '{"sum":11}|database|changed', 'a strict widget is right');
is( $one->query(q{SELECT hits, stale_hits, misses, fills FROM dashcache_stats WHERE dashboard = 'default'}),
	'1|2|1|1', 'counted apart');
is($one->query(q{SELECT dashcache_get(1, with_meta => true)->'_meta'->>'cached'}),
	'true', 'what is stale comes from the cache');
is($one->query(q{SELECT state FROM dashcache_entries WHERE dashboard = 'default'}), 'changed', 'and is listed as changed');

# Who has written gets what it has written.
is($two->query(fetch()), '{"sum":11}|database|changed', 'the writer itself sees its change');
is($one->query(fetch()), '{"sum":11}|cache|', 'which is then there for all');

$two->query('INSERT INTO t VALUES (2, 1)');
$one->query('INSERT INTO t VALUES (1, 1)');
is($two->query(fetch()), '{"sum":11}|stale|changed', 'who has written for another tenant has not changed this one');
is($two->query('BEGIN; INSERT INTO t VALUES (1, 1); ' . fetch() . '; ROLLBACK'),
	'{"sum":13}|database|own writes', 'nor does its transaction get it that writes');
is($two->query(fetch()), '{"sum":11}|stale|changed', 'who has rolled back has not changed anything');
is($one->query(fetch()), '{"sum":12}|database|changed', 'who has written long before');

# Two-phase commit.
foreach my $by ($one, $two)
{
	my $sum = 12 + ($by == $two);

	$one->query("BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION 'p'");
	is($one->query(fetch()), qq({"sum":$sum}|cache|), 'a prepared change is not visible');
	$by->query("COMMIT PREPARED 'p'");
	is($three->query(fetch()), qq({"sum":$sum}|stale|changed), 'others may get the last answer');
	$sum++;
	is($by->query(fetch()), qq({"sum":$sum}|database|changed), 'who has committed it does not');
	is($one->query(fetch()), qq({"sum":$sum}|cache|), 'nor does who has prepared it');
}

# More tenants than a session remembers.
is($two->query(fetch()), '{"sum":14}|cache|', 'current');
$one->query('INSERT INTO t SELECT i, 1 FROM generate_series(10, 3000) i');
is($two->query(fetch()), '{"sum":14}|cache|', 'others\' tenants are not concerned');
$two->query('INSERT INTO t VALUES (1, 1)');
is($one->query(fetch()), '{"sum":15}|database|changed', 'who has written more than is remembered computes, to be sure');
$node->sql('INSERT INTO t VALUES (5000, 1)') foreach 1 .. 2;
$one->query('SELECT dashcache_purge()');
is($one->query(fetch()), '{"sum":15}|database|cold', 'what is purged is gone, max_stale or not');
$two->query('INSERT INTO t VALUES (1, 1)');
is($one->query(fetch()), '{"sum":15}|stale|changed', 'and is served what came after');
is($two->query(fetch()), '{"sum":16}|database|changed', 'the writer');

# TRUNCATE, and every tenant.
$two->query('BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM t; TRUNCATE t; INSERT INTO t SELECT * FROM kept; INSERT INTO t VALUES (1, 1); COMMIT');
is($one->query(fetch()), '{"sum":16}|stale|changed', 'TRUNCATE: the last answer');
is($two->query(fetch()), '{"sum":17}|database|changed', 'but not for who did it');

# What forbids the cache forbids this, too.
$two->query('INSERT INTO t VALUES (1, 1)');
is($one->query('BEGIN ISOLATION LEVEL SERIALIZABLE; ' . fetch() . '; COMMIT'),
	'{"sum":18}|database|serializable', 'SERIALIZABLE');
is($one->query('SET dashcache.enabled = off; ' . fetch() . '; RESET dashcache.enabled'),
	'{"sum":18}|database|disabled', 'disabled');
is($one->query(fetch()), '{"sum":17}|stale|changed', 'the last answer all the same');
$one->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$two->query('INSERT INTO t VALUES (1, 1); ' . fetch());
is($one->query(fetch()), '{"sum":18}|database|old snapshot', 'nothing from after the snapshot');
$one->query('COMMIT');

# A redefinition.
$two->query(q{SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) + 100 AS sum FROM t WHERE company_id = $1', ttl => NULL, max_stale => '1 hour')});
is($one->query(fetch()), '{"sum":119}|database|cold', 'nothing of another definition');

# The end of its life.
is($one->query(fetch('ends')), '{"sum":19}|database|cold', 'a short life');
$node->wait_for(q{SELECT state = 'expired' FROM dashcache_entries WHERE dashboard = 'ends'});
is($one->query(fetch('ends')), '{"sum":19}|stale|expired', 'has ended');
$two->query('INSERT INTO t VALUES (1, 1)');
is($one->query(fetch('ends')), '{"sum":19}|stale|expired', 'and changed');
is($two->query(fetch('ends')), '{"sum":20}|database|expired', 'not for the writer');

# Beyond the bound.
is($one->query(fetch('short')), '{"sum":20}|database|cold', 'a bound of 100 ms');
$two->query('INSERT INTO t VALUES (1, 1)');
$node->wait_for(q{SELECT clock_timestamp() > generated_at + interval '100 ms' FROM dashcache_entries WHERE dashboard = 'short'});
is($one->query(fetch('short')), '{"sum":21}|database|changed', 'has passed: computed');
$node->wait_for(q{SELECT clock_timestamp() > generated_at + interval '100 ms' FROM dashcache_entries WHERE dashboard = 'short'});
is($one->query(fetch('short')), '{"sum":21}|cache|', 'what is current is served without a bound');

# An answer computed in an old snapshot is as old as that.
$one->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$two->query('INSERT INTO t VALUES (5000, 1)');
is($one->query(fetch('default', 5000)), '{"sum":102}|database|cold', 'an old snapshot stores what it sees');
$one->query('COMMIT');
is($one->query(fetch('default', 5000)), '{"sum":103}|database|changed', 'but it is not known how old that is');

# In place of an error.
$node->sql('DELETE FROM t WHERE company_id = 1; INSERT INTO t VALUES (1, 10)');
my $refresh = fetch('parted', 1, ', refresh => true');
is($one->query(fetch('parted')), '{"x":6}|database|cold', 'a widget that can fail');
$two->query('UPDATE t SET x = 0 WHERE company_id = 1');
$position = $node->log_position;
is($one->query($refresh), '{"x":6}|stale|changed', 'the last answer in place of an error');
is($one->query('BEGIN; SELECT 1; ' . $refresh . '; SELECT 2; COMMIT'), qq(1\n{"x":6}|stale|changed\n2), 'in a transaction, which goes on');
like(slurp_file($node->logfile, $position),
	qr/LOG:  dashcache serves the last answer of widget "w" of dashboard "parted", since computing it failed\n.*DETAIL:  division by zero/,
	'the log tells the error');
is($one->query(q{SELECT errors, stale_hits FROM dashcache_stats WHERE dashboard = 'parted'}), '2|2', 'it is counted');
like($two->error(fetch('parted')), qr/division by zero/, 'who has made it fail gets the error');
$one->query(q{UPDATE t SET x = 0 WHERE company_id = 2});
like($one->error(fetch('parted', 2)), qr/division by zero/, 'without an answer it is an error');

# An interruption is none of these errors.
$two->query('UPDATE t SET x = 5 WHERE company_id = 1; BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
$one->start($refresh);
$one->wait_for_lock;
$one->cancel;
my ($output, $error) = $one->finish;
like($error, qr/canceling statement due to user request/, 'cancelled is cancelled');
$one->start(q{SET statement_timeout = '200ms';
	DO $$
	BEGIN
		PERFORM dashcache_get(1, 'parted', refresh => true);
	EXCEPTION WHEN query_canceled THEN
		RAISE LOG 'caught';
	END $$;
	RESET statement_timeout;
	SELECT 'goes on'});
is($one->finish, 'goes on', 'what catches the interruption goes on');
$two->query('COMMIT');
is($one->query($refresh), '{"x":12}|database|refresh', 'and it works again');

# Refresh ahead.
is($one->query(fetch('ahead')), '{"sum":10}|database|cold', 'an entry with an end');
$position = $node->log_position;
$node->wait_for(q{SELECT clock_timestamp() > generated_at + interval '10 ms' FROM dashcache_entries WHERE dashboard = 'ahead'});
is($one->query(fetch('ahead')), '{"sum":10}|cache|', 'a hit late in its life');
is($one->query(fetch('ahead')), '{"sum":10}|cache|', 'and another');
is(asked($position), 1, 'ask once to refresh it');

$node->stop('fast');
done_testing();
