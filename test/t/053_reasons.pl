# The reasons and log lines that take more than one session.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "log_min_messages = debug1\ndashcache.memory = '8MB'");
my ($one, $two) = ($node->session, $node->session);
my $fetch = 'SELECT data, source, reason FROM dashcache_fetch(1)';

$one->query(q{
	SET client_min_messages = warning;
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t VALUES (1, 10);
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1')});

# Each line of the log.
my $position = $node->log_position;
is($one->query($fetch), '{"sum":10}|database|cold', 'a cold entry');
is($one->query($fetch), '{"sum":10}|cache|', 'a hit');
$one->query('INSERT INTO t VALUES (1, 1)');
is($one->query($fetch), '{"sum":11}|database|changed', 'a changed entry');
my $log = slurp_file($node->logfile, $position);
like($log, qr/DEBUG:  dashcache miss: widget "w" of dashboard "default" \(cold\)/, 'the log tells a miss');
like($log, qr/DEBUG:  dashcache hit: widget "w" of dashboard "default"/, 'a hit');
like($log, qr/DEBUG:  dashcache: transaction \d+ invalidates tenant 1 of source "t"/, 'an invalidation');
like($log, qr/DEBUG:  dashcache miss: widget "w" of dashboard "default" \(changed\)/, 'and what it did');

# A snapshot from before a change neither gets nor spoils the newer entry.
$one->query("BEGIN ISOLATION LEVEL REPEATABLE READ; $fetch");
$two->query('INSERT INTO t VALUES (1, 100)');
is($one->query($fetch), '{"sum":11}|cache|', 'an older snapshot is served what it sees');
is($two->query($fetch), '{"sum":111}|database|changed', 'a newer one computes and stores');
is($one->query($fetch), '{"sum":11}|database|old snapshot', 'the older one computes: the entry is too new for it');
is($two->query($fetch), '{"sum":111}|cache|', 'and has not taken its place');
$one->query('COMMIT');
is($one->query($fetch), '{"sum":111}|cache|', 'a new snapshot sees the new entry');

# A widget defined after the snapshot was taken.
$one->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$two->query("SELECT dashcache_define('v', 'SELECT max(x) FROM t WHERE company_id = \$1')");
is($one->query("SELECT widget, data, reason FROM dashcache_fetch(1)"),
	qq(w|{"sum":111}|\nv|{"max":100}|old snapshot),
	'a definition that the snapshot does not see is computed, not cached');
$one->query('COMMIT');
$two->query("SELECT dashcache_drop('v')");

# SERIALIZABLE.
is( $one->query("BEGIN ISOLATION LEVEL SERIALIZABLE; $fetch; COMMIT"),
	'{"sum":111}|database|serializable', 'SERIALIZABLE computes');

# A writer that has not committed disturbs nobody; what is computed meanwhile is stored.
$two->query('BEGIN; INSERT INTO t VALUES (1, 1000)');
is($one->query($fetch), '{"sum":111}|cache|', 'an open transaction has changed nothing yet');
is($two->query($fetch), '{"sum":1111}|database|own writes', 'but for itself');
$two->query('SELECT dashcache_purge()');
is($one->query($fetch), '{"sum":111}|database|uncertain', 'a purge drops the entry, and nothing is stored until it has ended');
$two->query('COMMIT');
is($one->query($fetch) =~ /^\{"sum":1111\}\|database\|/ ? 1 : 0, 1, 'the commit is seen at once');

# A prepared transaction, over a restart.
$two->query("BEGIN; INSERT INTO t VALUES (1, 5000); PREPARE TRANSACTION 'p'");
$one->query($fetch);
is($one->query($fetch), '{"sum":1111}|cache|', 'a prepared transaction is not seen');
$two->quit;
$one->quit;
$node->restart;
$one = $node->session;
like($one->query("SELECT caching_paused_by FROM dashcache_status"),
	qr/prepared.*: p$/,
	'after a restart caching waits for those that were prepared before');
is($one->query($fetch), '{"sum":1111}|database|uncertain', 'an answer is computed');
is($one->query($fetch), '{"sum":1111}|database|uncertain', 'and not stored');
$one->query("COMMIT PREPARED 'p'");
is($one->query($fetch), '{"sum":6111}|database|cold', 'the prepared transaction is seen when it commits');
is($one->query($fetch), '{"sum":6111}|cache|', 'then caching goes on');
is($one->query("SELECT caching_paused_by IS NULL FROM dashcache_status"),
	't', 'and the status says so');

$one->quit;
$node->stop('fast');
done_testing();
