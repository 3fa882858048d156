# A file of saved entries that is damaged is not used, wherever it is cut off and
# whichever of its bytes is another.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "dashcache.workers = 0\nautovacuum = off");
my $file = $node->data_dir . '/pg_stat/dashcache.saved';

$node->sql(q{
	CREATE TABLE item (tenant int, v int);
	INSERT INTO item VALUES (1, 10), (2, 20);
	SET client_min_messages = warning;
	SELECT dashcache_define('sum', 'SELECT sum(v) AS v FROM item WHERE tenant = $1', ttl => NULL);
	SELECT dashcache_get(1), dashcache_get(2);
});

sub write_bytes
{
	my $bytes = shift;

	open my $fh, '>:raw', $file or die "$file: $!";
	print $fh $bytes;
	close $fh;
	return;
}

# A start with this in place of the file; and with the data as at its shutdown,
# so that nothing but the damage speaks against it.
sub start_with
{
	my ($bytes, $what) = @_;
	my $position = $node->log_position;

	write_bytes($bytes);
	$node->start;
	$node->wait_for('SELECT restored IS NOT NULL FROM dashcache_status');
	my $found = $node->sql(q{SELECT restored FROM dashcache_status; SELECT data->>'v', source FROM dashcache_fetch(1)});

	if (defined $what)
	{
		is($found, "0\n10|database", "$what: nothing is restored");
		ok($node->log_contains(qr/dashcache does not use the entries saved/, $position), "$what: the log says so");
	}
	else
	{
		is($found, "2\n10|cache", 'whole: restored');
	}
	$node->sql('SELECT dashcache_get(1), dashcache_get(2)');
	$node->stop('fast');
	return;
}

$node->stop('fast');
my $saved = slurp_file($file);
my $length = length $saved;
start_with($saved);

# every byte, and every length, by the functions that the start uses
$node->start;
my $hex = unpack 'H*', $saved;
$node->sql("CREATE TABLE saved AS SELECT '\\x$hex'::bytea AS f");
is($node->sql('SELECT dashcache.check_saved(f) IS NULL FROM saved'), 't', 'whole');
is( $node->sql(
		'SELECT count(*), count(dashcache.check_saved(substr(f, 1, n))) FROM saved, generate_series(0, length(f) - 1) n'),
	"$length|$length",
	'cut off at every length');
is( $node->sql(
		'SELECT count(*), count(dashcache.check_saved(set_byte(f, n, get_byte(f, n) # x))) FROM saved, generate_series(0, length(f) - 1) n, generate_series(1, 255) x'),
	$length * 255 . '|' . $length * 255,
	'every byte, to every other value');
is( $node->sql(
		q{SELECT count(*), count(dashcache.check_saved(f || substr(f, 1, n))) FROM saved, generate_series(1, length(f)) n}),
	"$length|$length",
	'anything behind it');
is( $node->sql(
		q{SELECT count(*), count(dashcache.check_saved(overlay(f placing '\x00000000000000000000000000000000' from n))) FROM saved, generate_series(1, length(f) - 15) n
		WHERE substr(f, n, 16) <> '\x00000000000000000000000000000000'}),
	$node->sql(q{SELECT count(*), count(*) FROM saved, generate_series(1, length(f) - 15) n WHERE substr(f, n, 16) <> '\x00000000000000000000000000000000'}),
	'every sixteen bytes zero');
$node->stop('fast');

# the start itself
my $now = slurp_file($file);
foreach my $n (0, 1, 11, 12, 200, 343, 344, 345, length($now) / 2, length($now) - 1)
{
	start_with(substr($now, 0, $n), "cut off after $n bytes");
	$now = slurp_file($file);
}
foreach my $n (0, 9, 12, 20, 30, 100, 300, 340, 343, 349, 450, length($now) - 400, length($now) - 1)
{
	substr($now, $n, 1) ^= "\x10";
	start_with($now, "byte $n is another");
	$now = slurp_file($file);
}
start_with($now . 'x', 'a byte more');
start_with(slurp_file($file));

done_testing();
