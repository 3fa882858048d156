# Of the sessions that miss the same entry at once one computes, and the others
# wait for it. A session that computes is held up by a lock on the widget's table;
# those that wait for it show that in pg_stat_activity.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $many = 64;
my $node = new_node('main',
	conf => "max_connections = 100\ndashcache.wait_timeout = '1h'\ndeadlock_timeout = '100ms'");

$node->sql(q{
	CREATE TABLE t (company_id bigint, x numeric);
	CREATE TABLE other (company_id bigint, x numeric);
	INSERT INTO t VALUES (1, 10), (2, 20);
	INSERT INTO other VALUES (1, 30);
	SET client_min_messages = warning;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1');
	SELECT dashcache_define('o', 'SELECT sum(x) FROM other WHERE company_id = $1', 'other');
	SELECT dashcache_define('parted', 'SELECT 60 / sum(x) AS x FROM t WHERE company_id = $1', 'failing');
	SELECT dashcache_define('large', 'SELECT repeat(sum(x)::text, 10000000) AS x FROM t WHERE company_id = $1', 'large');
});

my $gate = $node->session;
my ($one, $two, $three, $four) = map { $node->session } 1 .. 4;
my $fetch = 'SELECT data, source, reason FROM dashcache_fetch(1)';
my $x = 10;

# One more row: every answer for company 1 is changed.
sub change
{
	$node->sql('INSERT INTO t VALUES (1, 1)');
	return ++$x;
}

sub close_gate
{
	$gate->query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
	return;
}

sub open_gate
{
	$gate->query('COMMIT');
	return;
}

# How many of these sessions wait for one that computes?
sub wait_for_waiters
{
	my ($n, @sessions) = @_;
	my $pids = join ', ', map { $_->pid } @sessions;

	$node->wait_for(
		"SELECT count(*) = $n FROM pg_stat_activity WHERE pid IN ($pids) AND wait_event_type = 'Extension'");
	return;
}

sub computed
{
	my $dashboard = shift // 'default';

	return $node->sql(
		"SELECT misses || ' ' || fills FROM dashcache_stats WHERE dashboard = '$dashboard'");
}

# All in one: one computation.
my @sessions = map { $node->session } 1 .. $many;
foreach my $state ('changed', 'cold')
{
	my $sum = change();

	if ($state eq 'changed') { $gate->query($fetch); $sum = change(); }
	else { $node->sql('SELECT dashcache_purge()'); }
	close_gate();
	$node->sql('SELECT dashcache_reset_stats()');
	$_->start($fetch) foreach @sessions;
	wait_for_waiters($many - 1, @sessions);
	open_gate();

	my %answers;
	$answers{ $_->finish }++ foreach @sessions;
	is_deeply(
		\%answers,
		{ qq({"sum":$sum}|database|$state) => 1, qq({"sum":$sum}|cache|) => $many - 1 },
		"$many sessions, $state: one computes, the others are served from the cache");
	is(computed(), '1 1', 'one computation, one answer stored');
}
$_->quit foreach @sessions;
@sessions = ();

# The one that computes does not finish: the next takes over.
my %ends = (
	'is cancelled' => sub { $_[0]->cancel },
	'is terminated' => sub { $_[0]->terminate },
	'times out' => sub { },);
foreach my $end (sort keys %ends)
{
	my $first = $node->session;
	my $sum = change();

	close_gate();
	$first->query("SET statement_timeout = '2s'") if $end eq 'times out';
	$first->start($fetch);
	$first->wait_for_lock;
	$_->start($fetch) foreach ($one, $two);
	# the timeout may have come already
	wait_for_waiters(2, $one, $two) if $end ne 'times out';
	$ends{$end}->($first);
	my ($output, $error) = $first->finish;
	like($error, qr/canceling|terminating/, "the one that computes $end");
	wait_for_waiters(1, $one, $two);
	open_gate();
	is( join(' ', sort map { scalar $_->finish } $one, $two),
		qq({"sum":$sum}|cache| {"sum":$sum}|database|changed),
		'one of those that waited takes over');
	$first->quit;
}

# It fails: the others try, and fail by themselves.
$gate->query('BEGIN; UPDATE t SET x = 0 WHERE company_id = 1; COMMIT');
close_gate();
my $failing = "SELECT dashcache_get(1, 'failing')";
$one->start($failing);
$one->wait_for_lock;
$_->start($failing) foreach ($two, $three);
wait_for_waiters(2, $two, $three);
open_gate();
foreach my $session ($one, $two, $three)
{
	my ($output, $error) = $session->finish;
	like($error, qr/division by zero/, 'an error is everybody\'s own');
}
is($node->sql("SELECT errors FROM dashcache_stats WHERE dashboard = 'failing'"), '3', 'each counted');
$node->sql('DELETE FROM t WHERE company_id = 1; INSERT INTO t VALUES (1, 10)');
$x = 10;

# It rolls back afterwards: what it has stored stands, as it has seen no more
# than others do.
close_gate();
$one->start("BEGIN; $fetch; ROLLBACK");
$one->wait_for_lock;
$two->start($fetch);
wait_for_waiters(1, $two);
open_gate();
is($one->finish, '{"sum":10}|database|changed', 'one that will roll back computes');
is($two->finish, '{"sum":10}|cache|', 'and the other is served');

# It rolls back to a savepoint after an error, and goes on.
change();
close_gate();
$one->query("SET statement_timeout = '2s'; BEGIN; SAVEPOINT s");
$one->start($fetch);
$one->wait_for_lock;
$two->start($fetch);
my ($output, $error) = $one->finish;
like($error, qr/statement timeout/, 'the one that computes times out in a subtransaction');
$two->wait_for_lock;
$one->query('ROLLBACK TO s; SET statement_timeout = 0');
$one->start($fetch);
wait_for_waiters(1, $one);
open_gate();
is($two->finish, qq({"sum":$x}|database|changed), 'the other takes over');
is($one->finish, qq({"sum":$x}|cache|), 'and the first waits for it');
$one->query('COMMIT');

# One that waits can be cancelled and terminated.
change();
close_gate();
my $waiter = $node->session;
$one->start($fetch);
$one->wait_for_lock;
foreach my $end ('cancel', 'terminate')
{
	$waiter->start($fetch);
	wait_for_waiters(1, $waiter);
	$waiter->$end;
	($output, $error) = $waiter->finish;
	like($error, qr/canceling|terminating/, "a session that waits obeys: $end");
}
$waiter->quit;

# Nobody waits for longer than it wants to.
$two->query("SET dashcache.wait_timeout = '50ms'");
$two->start($fetch);
$two->wait_for_lock;
$three->query('SET dashcache.wait_timeout = 0');
$three->start($fetch);
$three->wait_for_lock;
# who asks for a new answer does not wait either
$four->start('SELECT data, source, reason FROM dashcache_fetch(1, refresh => true)');
$four->wait_for_lock;
open_gate();
is($one->finish, qq({"sum":$x}|database|changed), 'the first computes');
is($two->finish, qq({"sum":$x}|database|changed), 'the second after wait_timeout');
is($three->finish, qq({"sum":$x}|database|changed), 'the third at once: wait_timeout is 0');
is($four->finish, qq({"sum":$x}|database|refresh), 'and the one that asks for a refresh');
$_->query('RESET dashcache.wait_timeout') foreach ($two, $three);

# Others do wait for one that refreshes.
change();
close_gate();
$one->start('SELECT data, source, reason FROM dashcache_fetch(1, refresh => true)');
$one->wait_for_lock;
$two->start($fetch);
wait_for_waiters(1, $two);
open_gate();
is($one->finish, qq({"sum":$x}|database|refresh), 'a refresh');
is($two->finish, qq({"sum":$x}|cache|), 'is for all');

# Who sees something else computes for itself.
$one->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my $old = $x;
change();
$two->query($fetch);
$gate->query('BEGIN; LOCK TABLE t IN EXCLUSIVE MODE');
is($one->query($fetch), qq({"sum":$old}|database|old snapshot), 'an older snapshot does not wait');
$one->query('COMMIT');
open_gate();

# An answer that cannot be kept: those who have waited compute at once, not one
# after another, as the second does while the third is held up.
my $large = "SELECT length(data::text), source, reason FROM dashcache_fetch(1, 'large')";
close_gate();
$one->start($large);
$one->wait_for_lock;
$_->start($large) foreach ($two, $three);
wait_for_waiters(2, $two, $three);
open_gate();
is($_->finish, 10_000_000 * length($x) + length('{"x":""}') . '|database|too large', 'too large')
  foreach ($one, $two, $three);
is(computed('large'), '3 0', 'each has computed');

# Two widgets in opposite orders.
sub both
{
	my @dashboards = @_;

	my %widgets = (default => 'w', other => 'o');

	return 'SELECT ' . join(', ',
		map { "dashcache_get(1, '$_', '$widgets{$_}')->>'sum'" } @dashboards);
}
change();
$node->sql('INSERT INTO other VALUES (1, 1)');
$gate->query('BEGIN; LOCK TABLE t, other IN ACCESS EXCLUSIVE MODE');
$one->start(both('default', 'other'));
$one->wait_for_lock;
$two->start(both('other', 'default'));
$two->wait_for_lock;
$three->start(both('default', 'other'));
$four->start(both('other', 'default'));
wait_for_waiters(2, $three, $four);
open_gate();
is($_->finish, "$x|31", 'opposite orders, forth') foreach ($one, $three);
is($_->finish, "31|$x", 'opposite orders, back') foreach ($two, $four);

# One that waits holds the lock that the other needs to compute.
change();
$gate->query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
$one->start($fetch);
$one->wait_for_lock;
is($gate->query($fetch), qq({"sum":$x}|database|changed), 'who holds the lock computes');
open_gate();
is($one->finish, qq({"sum":$x}|database|changed), 'and then the other');

# A circle of three: one computes and waits for the lock of two, two waits for
# the lock of three, three waits for what one computes; once it sees that, it
# computes, and waits for the lock of two. That is a circle of locks, which is
# the server's to break.
change();
$two->query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
$three->query('BEGIN; SELECT pg_advisory_xact_lock(3)');
$one->start($fetch);
$one->wait_for_lock;
$two->start('SELECT pg_advisory_xact_lock(3); ROLLBACK');
$two->wait_for_lock;
$three->start("$fetch; ROLLBACK");
my @results = map { [ $_->finish ] } ($three, $two, $one);
is(scalar(grep { $_->[1] =~ /deadlock detected/ } @results), 1,
	'a circle of three is left to the server, which ends it');
is($results[2][0], qq({"sum":$x}|database|changed), 'the one that computed goes on');

# The same through two flights: one computes and waits for the lock of two, two
# waits for what four computes, which waits for the lock of three, which waits
# for what one computes. Whoever sees it first computes.
change();
$node->sql('INSERT INTO other VALUES (1, 1)');
$three->query('BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE');
$two->query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
$one->start($fetch);
$one->wait_for_lock;
my $other = "SELECT data, source, reason FROM dashcache_fetch(1, 'other')";
$four->start($other);
$four->wait_for_lock;
$two->start("$other; ROLLBACK");
wait_for_waiters(1, $two);
$three->start("$fetch; ROLLBACK");
@results = map { [ $_->finish ] } ($three, $two, $one, $four);
cmp_ok(scalar(grep { $_->[1] =~ /deadlock detected/ } @results), '<=', 1,
	'a circle through two flights ends, at the cost of one error at most');
is($results[2][0], qq({"sum":$x}|database|changed), 'one is answered');
is($results[3][0], '{"sum":32}|database|changed', 'so is the other');

# Nothing is left behind.
is($node->sql('SELECT source FROM dashcache_fetch(1)'), 'cache', 'all is as before');
close_gate();
is($one->query($fetch), qq({"sum":$x}|cache|), 'and a hit waits for nobody');
open_gate();

$node->stop('fast');
done_testing();
