# Prepared transactions outlive the server; what dashcache knows of their writes
# does not. While one is left from before the start, nothing is served or stored
# that its commit could make wrong.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main');

$node->sql(q{
	CREATE TABLE item (id int PRIMARY KEY, tenant int, v int);
	INSERT INTO item VALUES (1, 1, 10), (2, 2, 20);
	SET client_min_messages = warning;
	SELECT dashcache_define('sum', 'SELECT sum(v) AS v FROM item WHERE tenant = $1');
});

# "answer|source|same as the query's"
sub answer
{
	my ($tenant) = @_;

	return $node->sql(qq{
		SELECT c.data->>'v', c.source, (c.data->>'v')::int = (SELECT sum(v) FROM item WHERE tenant = $tenant)
		FROM dashcache_fetch($tenant) c});
}

# Twice, so that the first could fill what the second is served.
sub answers
{
	my ($tenant) = @_;
	my $first = answer($tenant);

	return ($first, answer($tenant));
}

sub like_both
{
	my ($value, $tenant, $what) = @_;
	my ($first, $second) = answers($tenant);

	like($first, qr/^$value\|\w+\|t$/, $what);
	like($second, qr/^$value\|\w+\|t$/, "$what, and again");
	return;
}

sub prepare
{
	my ($gid, $v) = @_;

	$node->sql("BEGIN; UPDATE item SET v = $v WHERE id = 1; PREPARE TRANSACTION '$gid'");
	return;
}

sub paused_by
{
	return $node->sql('SELECT caching_paused_by FROM dashcache_status');
}

is(answer(1), '10|database|t', 'filled');
is(answer(1), '10|cache|t', 'served');
is(paused_by(), '', 'nothing pauses the cache');

foreach my $how ('fast', 'immediate')
{
	my $v = $node->sql('SELECT v FROM item WHERE id = 1');

	# COMMIT PREPARED after a restart
	prepare("across $how", $v + 1);
	like_both($v, 1, "$how stop: prepared, not committed: the old answer");
	$node->stop($how);
	$node->start;

	like_both($v, 1, "$how stop: after the restart: the old answer");
	like_both(20, 2, "$how stop: another tenant");
	like(paused_by(), qr/across $how/,
		"$how stop: dashcache_status names the prepared transaction");
	$node->sql("COMMIT PREPARED 'across $how'");
	like_both($v + 1, 1,
		"$how stop: COMMIT PREPARED after the restart: the new answer");

	$node->wait_for('SELECT caching_paused_by IS NULL FROM dashcache_status');
	answer(1);
	is(answer(1), $v + 1 . '|cache|t', "$how stop: then the cache is back");

	# ROLLBACK PREPARED, with a writer that was seen in between
	prepare("back $how", 1000);
	$node->stop($how);
	$node->start;
	like_both($v + 1, 1, "$how stop: prepared again: the old answer");
	$node->sql('INSERT INTO item VALUES (' . ($how eq 'fast' ? 3 : 4) . ', 1, 0)');
	like_both($v + 1, 1, "$how stop: another writer has committed");
	$node->sql("ROLLBACK PREPARED 'back $how'");
	like_both($v + 1, 1, "$how stop: ROLLBACK PREPARED: the old answer");
	answer(1);
	is(answer(1), $v + 1 . '|cache|t', "$how stop: which is then served");
}

# A reader whose snapshot was taken while the prepared transaction was there
# must not fill once it is committed.
prepare('old snapshot', 77);
$node->restart;
my $reader = $node->session;
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$node->sql("COMMIT PREPARED 'old snapshot'");
is($reader->query("SELECT data->>'v' FROM dashcache_fetch(1)"),
	$reader->query('SELECT sum(v) FROM item WHERE tenant = 1'),
	'an old snapshot still gets the old answer');
like_both(77, 1, 'the others get the new one');
$reader->query('COMMIT');

# The same where nobody has asked before its end, and another one has been prepared
# in its place since.
$reader->quit;
$node->append_conf('postgresql.conf', 'dashcache.workers = 0');
prepare('in its place', 78);
$node->restart;
$reader = $node->session;
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$node->sql("COMMIT PREPARED 'in its place'");
$node->sql("BEGIN; UPDATE item SET v = 0 WHERE id = 2; PREPARE TRANSACTION 'another'; ROLLBACK PREPARED 'another'");
is($reader->query("SELECT data->>'v' FROM dashcache_fetch(1)"), '77', 'an old snapshot is the first that asks: the old answer');
like_both(78, 1, 'the others get the new one again');
$reader->query('COMMIT');
$node->append_conf('postgresql.conf', 'dashcache.workers = 2');

# A prepared transaction moves a row to another tenant, which a writer below that
# row does not see yet. By when the move is committed the writer has looked for the
# tenant, and is not known to the new one; so nothing is stored until it has ended.
$node->sql(q{
	CREATE TABLE parent (id int PRIMARY KEY, tenant int);
	CREATE TABLE child (parent int REFERENCES parent);
	INSERT INTO parent VALUES (1, 1), (2, 2);
	INSERT INTO child VALUES (1), (2);
	SET client_min_messages = warning;
	SELECT dashcache_define('children', $$
		SELECT count(*) AS n FROM child c JOIN parent p ON p.id = c.parent WHERE p.tenant = $1
	$$, 'moves');
});

sub children
{
	return $node->sql(q{
		SELECT c.data->>'n', c.source, (c.data->>'n')::int =
			(SELECT count(*) FROM child c JOIN parent p ON p.id = c.parent WHERE p.tenant = 2)
		FROM dashcache_fetch(2, 'moves') c});
}

$node->sql("SELECT dashcache_get(t, 'moves') FROM generate_series(1, 3) t");
$node->sql("BEGIN; UPDATE parent SET tenant = 2 WHERE id = 1; PREPARE TRANSACTION 'move'");
$node->restart;
is($node->sql(q{SELECT string_agg(tenant, ' ') FROM dashcache_entries WHERE dashboard = 'moves'}),
	'3', 'answers that a prepared move concerns are not kept over the restart');
my $writer = $node->session;
$writer->query('BEGIN; INSERT INTO child VALUES (1)');
$node->sql("COMMIT PREPARED 'move'");
is(children(), '2|database|t', 'a move from before the restart is committed, while a writer has missed it');
is(children(), '2|database|t', 'what the writer would make wrong is not stored');
like(paused_by(), qr/have ended/, 'dashcache_status says what is waited for');
$writer->query('COMMIT');
is(children(), '3|database|t', 'the writer has committed: the new answer');
is(children(), '3|cache|t', 'which is then served');

$node->stop('fast');
done_testing();
