# A widget that reads ten tables, whose tenants are of two types: what its entries
# take, and that each of the tables is noticed, before a restart and after it.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $tenants = 2000;
my $node = new_node('main');
my @tables = map { "t$_" } 1 .. 10;

foreach my $i (1 .. 10)
{
	my $type = $i % 2 ? 'int' : 'bigint';

	$node->sql("CREATE TABLE t$i (tenant $type, v int); INSERT INTO t$i SELECT i, 1 FROM generate_series(1, $tenants) i; CREATE INDEX ON t$i (tenant)");
}
my $query = 'SELECT ' . join(' + ', map { "(SELECT sum(v) FROM $_ WHERE tenant = \$1)" } @tables);

sub define
{
	$node->sql("SET client_min_messages = warning; SELECT dashcache_define('sum', '$query', result => 'value', ttl => NULL)");
	return;
}

sub fill
{
	return $node->sql("SELECT count(*) FROM generate_series(1, $tenants) i, LATERAL dashcache_fetch(i::bigint) WHERE source = 'database'");
}

# What the entries, and all that belongs to them, take.
sub taken
{
	return $node->sql('SELECT entries, taken FROM dashcache_memory');
}

sub overhead_is_small
{
	my $name = shift;

	is($node->sql('SELECT entries, overhead < 200 FROM dashcache_memory'), "$tenants|t",
		"$name: an entry takes " . $node->sql('SELECT round(overhead) FROM dashcache_memory') . ' bytes beyond its content');
	return;
}

sub each_is_noticed
{
	my ($value, $when) = @_;
	my @wrong;

	foreach my $table (@tables)
	{
		$node->sql("INSERT INTO $table VALUES (7, 1)");
		$value++;
		my $got = $node->sql('SELECT data, source, reason FROM dashcache_fetch(7); SELECT data, source FROM dashcache_fetch(7)');

		push @wrong, "$table: $got" if $got ne "$value|database|changed\n$value|cache";
		my $told = $node->sql("SELECT source, tenant, entries_hit FROM dashcache_changes LIMIT 1");

		push @wrong, "$table: $told" if $told ne "$table|7|1";
	}
	is("@wrong", '', "$when: a change of any table is noticed, by the tenant that it is about");
	return;
}

define();
is(fill(), $tenants, 'an entry for each tenant');
overhead_is_small('ten tables');
each_is_noticed(10, 'before a restart');

# Tenants that share a stamp with this one are outdated now.
fill();
$node->stop('fast');
$node->start;
$node->wait_for('SELECT restored IS NOT NULL FROM dashcache_status');
is($node->sql('SELECT restored FROM dashcache_status'), $tenants, 'all are restored');
overhead_is_small('after a restart');
is($node->sql('SELECT data, source FROM dashcache_fetch(7)'), '20|cache', 'and are served');
each_is_noticed(20, 'after it');

# What they have in common goes with the last of them, and comes with the first.
foreach my $round (1 .. 3)
{
	$node->sql('SELECT dashcache_purge()');
	is(taken(), '0|0', "round $round: a purge leaves nothing behind");
	fill();
	overhead_is_small("round $round");
}
$node->sql("ALTER TABLE t1 ADD COLUMN w int");
define();
is(fill(), $tenants, 'another definition');
overhead_is_small('which has taken the place of the first');
$node->sql("SELECT dashcache_drop('sum')");
is(taken(), '0|0', 'a dropped one leaves nothing behind');

$node->stop('fast');
done_testing();
