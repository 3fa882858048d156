# Between the commit record and the moment the transaction becomes visible: a
# synchronous standby that does not exist holds a commit there for as long as
# the test likes. Also what becomes of writers that die.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => 'restart_after_crash = on');

$node->sql(q{
	CREATE TABLE item (id int PRIMARY KEY, tenant int, v int);
	INSERT INTO item VALUES (1, 1, 10), (2, 2, 20);
	SET client_min_messages = warning;
	SELECT dashcache_define('sum', 'SELECT sum(v) AS v FROM item WHERE tenant = $1');
	ALTER SYSTEM SET synchronous_standby_names = 'nobody';
	ALTER SYSTEM SET synchronous_commit = 'local';
	SELECT pg_reload_conf();
});
$node->wait_for(q{SELECT current_setting('synchronous_standby_names') = 'nobody'});

my $answer = q{
	SELECT concat_ws('|', c.data->>'v', c.source,
		(c.data->>'v')::int = (SELECT sum(v) FROM item WHERE tenant = 1))
	FROM dashcache_fetch(1) c};
my $reader = $node->session;
my $other = $node->session;
my $old = $node->session;

# A writer in the window; $prepared: with COMMIT PREPARED.
sub writer_in_window
{
	my ($v, $prepared) = @_;
	my $writer = $node->session;

	$writer->query("BEGIN; UPDATE item SET v = $v WHERE id = 1");
	$writer->query("PREPARE TRANSACTION 'window'") if $prepared;
	$writer->query("SET synchronous_commit = 'on'");
	$writer->start($prepared ? "COMMIT PREPARED 'window'" : 'COMMIT');
	$writer->wait_for_event('IPC', 'SyncRep');
	return $writer;
}

$reader->query($answer);
my $v = 10;

foreach my $prepared (0, 1)
{
	my $name = $prepared ? 'COMMIT PREPARED' : 'COMMIT';
	my $new = $v + 1;

	# filled before
	my $writer = writer_in_window($new, $prepared);
	is($reader->query($answer), "$v|cache|t",
		"$name in the window: hits go on, with the old answer");
	$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
	is($old->query($answer), "$v|cache|t", 'also for a snapshot that is kept');
	$writer->cancel;
	my ($output, $error) = $writer->finish;
	is($other->query($answer), "$new|database|t",
		"$name is through: nobody gets the old answer");
	is($reader->query($answer), "$new|cache|t", 'the new one is served');
	is($old->query($answer), "$v|database|t", 'the kept snapshot sees the old one');
	$old->query('COMMIT');

	# filled in the window
	$node->sql('SELECT dashcache_purge()');
	$writer = writer_in_window($new + 1, $prepared);
	is($reader->query($answer), "$new|database|t", "filled while $name is in the window");
	is($other->query($answer), "$new|cache|t", 'and served there');
	$writer->cancel;
	$writer->finish;
	is($reader->query($answer), $new + 1 . '|database|t', 'but not after');
	is($other->query($answer), $new + 1 . '|cache|t', 'when the new one is');

	# the backend is terminated there: the commit stands
	$writer = writer_in_window($new + 2, $prepared);
	is($reader->query($answer), $new + 1 . '|cache|t', "$name in the window again");
	$writer->terminate;
	$writer->quit;
	$node->wait_for("SELECT v = $new + 2 FROM item WHERE id = 1");
	is($reader->query($answer), $new + 2 . '|database|t',
		"$name whose backend was terminated in the window: the new answer");
	$v = $new + 2;
}

# Terminated before the commit: as if rolled back.
my $writer = $node->session;
$reader->query($answer);
$writer->query('BEGIN; UPDATE item SET v = 0 WHERE id = 1; SAVEPOINT s; DELETE FROM item');
$writer->terminate;
is($reader->query($answer), "$v|cache|t", 'a writer that is terminated changes nothing');

# Killed in the window: the server restarts, the commit record decides, and the
# cache begins anew.
$writer = writer_in_window(99, 0);
is($reader->query($answer), "$v|cache|t", 'a writer in the window');
my $pid = $writer->pid;
my $log = $node->log_position;
kill 'KILL', $pid;
$node->wait_for_log(qr/database system is ready to accept connections/, $log);
$_->quit foreach ($writer, $reader, $other, $old);

is($node->sql('SELECT entries FROM dashcache_status'), '0', 'after the crash the cache is empty');
is($node->sql($answer), '99|database|t', 'and the answer is the one that was committed');
is($node->sql($answer), '99|cache|t', 'which is then served');

# Killed before the commit.
$writer = $node->session;
$writer->query('BEGIN; UPDATE item SET v = 0 WHERE id = 1');
$log = $node->log_position;
kill 'KILL', $writer->pid;
$node->wait_for_log(qr/database system is ready to accept connections/, $log);
$writer->quit;
is($node->sql($answer), '99|database|t', 'a writer that is killed changes nothing');
is($node->sql($answer), '99|cache|t', 'and the cache works');

$node->stop('fast');
done_testing();
