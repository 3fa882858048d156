# Writes that fire no ordinary triggers: session_replication_role = replica, and
# the apply worker of logical replication, from the initial copy on.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $publisher = new_node('publisher', extension => 0);
my $subscriber = new_node('subscriber');

my $tables = q{
	CREATE TABLE item (id int PRIMARY KEY, tenant int, v int);
	CREATE TABLE any_item (id int PRIMARY KEY, v int)};

$publisher->sql($tables);
$publisher->sql(q{
	INSERT INTO item VALUES (1, 1, 10), (2, 2, 20);
	INSERT INTO any_item VALUES (1, 1);
	CREATE PUBLICATION p FOR TABLE item, any_item});
$subscriber->sql($tables);
$subscriber->sql(q{
	SET client_min_messages = warning;
	SELECT dashcache_define('sum', 'SELECT count(*) AS n, coalesce(sum(v), 0) AS v FROM item WHERE tenant = $1');
	SELECT dashcache_define('any', 'SELECT $1::int AS tenant, count(*) AS n, sum(v) AS v FROM any_item');
});

# "v of sum|source" and "n, v of any|source"; dies on a difference
sub answer
{
	my ($tenant) = @_;
	my $row = $subscriber->sql(qq{
		SELECT a.data->>'v', a.source, (a.data->>'n')::int = count(i.v) AND (a.data->>'v')::int = coalesce(sum(i.v), 0)
		FROM dashcache_fetch($tenant, widget => 'sum') a
		LEFT JOIN item i ON i.tenant = $tenant
		GROUP BY a.data->>'v', a.data->>'n', a.source});

	return $row;
}

sub any_answer
{
	return $subscriber->sql(q{
		SELECT a.data->>'v', a.source, (a.data->>'v')::int IS NOT DISTINCT FROM (SELECT sum(v) FROM any_item)
		FROM dashcache_fetch(1, widget => 'any') a});
}

is(answer(1), '0|database|t', 'filled before there is anything');
is(answer(1), '0|cache|t', 'served');
is(any_answer(), '|database|t', 'the same for a source without a tenant');
is(any_answer(), '|cache|t', 'served');

my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->sql("CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p");
$subscriber->wait_for_subscription_sync($publisher, 's');

is(answer(1), '10|database|t', 'the initial copy is noticed');
is(answer(1), '10|cache|t', 'and the answer is served again');
is(answer(2), '20|database|t', 'another tenant');
is(any_answer(), '1|database|t', 'a source without a tenant');
is(any_answer(), '1|cache|t', 'a source without a tenant is served again');

# what is done, and what tenants 1 and 2 have then
my @changes = (
	[ 'INSERT', 'INSERT INTO item VALUES (3, 1, 5)', '15|database|t', '20|cache|t' ],
	[ 'UPDATE', 'UPDATE item SET v = v + 1 WHERE id = 3', '16|database|t', '20|cache|t' ],
	[ 'a move', 'UPDATE item SET tenant = 2 WHERE id = 3', '10|database|t', '26|database|t' ],
	[ 'DELETE', 'DELETE FROM item WHERE id = 3', '10|cache|t', '20|database|t' ],
	[ 'a rollback', 'BEGIN; DELETE FROM item; ROLLBACK', '10|cache|t', '20|cache|t' ],
	[
		'many rows',
		'INSERT INTO item SELECT i, 1, 1 FROM generate_series(10, 19) i',
		'20|database|t', '20|cache|t'
	],
	[ 'TRUNCATE', 'TRUNCATE item', '0|database|t', '0|database|t' ],
	[ 'rows after it', 'INSERT INTO item VALUES (1, 1, 3)', '3|database|t', '0|cache|t' ],);

foreach my $change (@changes)
{
	my ($name, $sql, $one, $two) = @$change;

	$publisher->sql($sql);
	$publisher->wait_for_catchup('s');
	is(answer(1), $one, "replicated: $name");
	is(answer(2), $two, "replicated: $name, the other tenant");
}

is(any_answer(), '1|cache|t', 'the source that was not written to has kept its answer');
$publisher->sql('UPDATE any_item SET v = 2');
$publisher->wait_for_catchup('s');
is(any_answer(), '2|database|t', 'replicated: a source without a tenant');

# Warmed on change, also where what was prepared there is committed here: no
# command of this server tells of that.
my $idle = q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dashcache worker'};
my $state = q{SELECT e.state = 'current' AND e.generated_at > '%s' FROM dashcache_entries e WHERE widget = 'sum' AND tenant = '2'};
$subscriber->sql(q{DROP SUBSCRIPTION s; TRUNCATE item, any_item});
$subscriber->sql("CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p WITH (two_phase = true)");
$subscriber->wait_for_subscription_sync($publisher, 's');
$subscriber->wait_for(q{SELECT subtwophasestate = 'e' FROM pg_subscription});
$subscriber->sql('SELECT dashcache_configure(warm_on_change => true)');
is(answer(2), '0|database|t', 'a tenant to be warmed on change');
foreach my $replicated ([ 'a commit', 'INSERT INTO item VALUES (50, 2, 7)', '' ],
	[ 'COMMIT PREPARED', "BEGIN; INSERT INTO item VALUES (51, 2, 8); PREPARE TRANSACTION 'p'", "COMMIT PREPARED 'p'" ])
{
	my ($name, $first, $then) = @$replicated;

	answer(2);
	$subscriber->wait_for($idle);
	my $now = $subscriber->sql('SELECT clock_timestamp()');
	$publisher->sql($first);
	if ($then)
	{
		$subscriber->wait_for('SELECT count(*) = 1 FROM pg_prepared_xacts');
		# what was said then is looked at, and nothing is found
		$subscriber->wait_for($idle);
		$publisher->sql($then);
	}
	$subscriber->wait_for(sprintf $state, $now);
	pass("replicated: $name wakes who warms on change");
}
is(answer(2), '15|cache|t', 'and both are seen');
$publisher->sql('DELETE FROM item WHERE tenant = 2');
$publisher->wait_for_catchup('s');
$subscriber->sql('SELECT dashcache_configure(warm_on_change => false)');
answer(1);

# The same settings by hand.
my $replica = $subscriber->session;
$replica->query('SET session_replication_role = replica');
is(answer(1), '3|cache|t', 'before');
$replica->query('UPDATE item SET v = 4 WHERE id = 1');
is(answer(1), '4|database|t', 'session_replication_role = replica: UPDATE');
$replica->query('BEGIN; UPDATE item SET v = 5 WHERE id = 1');
is(answer(1), '4|cache|t', 'not committed yet');
is($replica->query(
		q{SELECT a.data->>'v', a.source FROM dashcache_fetch(1, widget => 'sum') a}),
	'5|database', 'its own writes');
$replica->query('COMMIT');
is(answer(1), '5|database|t', 'committed');
$replica->query('TRUNCATE item');
is(answer(1), '0|database|t', 'session_replication_role = replica: TRUNCATE');

$subscriber->sql('DROP SUBSCRIPTION s');
$subscriber->stop('fast');
$publisher->stop('fast');
done_testing();
