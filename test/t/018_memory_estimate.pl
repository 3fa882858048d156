# What hit ratio other sizes of the memory would give: what a server estimates
# against what servers with these sizes have. Each reads the same.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my %hit_ratio;
my %estimate;

foreach my $mb (8, 16, 32)
{
	my $node = new_node("mb$mb", conf => "dashcache.memory = '${mb}MB'");

	$node->sql(q{
		CREATE TABLE item (tenant int PRIMARY KEY, size int, v int);
		INSERT INTO item SELECT i, 200 + i * 7919 % 3000, i FROM generate_series(1, 16000) i;
		SET client_min_messages = warning;
		SELECT dashcache_define('text', $q$SELECT v, repeat('x', size) AS text FROM item WHERE tenant = $1$q$, result => 'row', ttl => NULL);
		CREATE TABLE reads (n serial, tenant int);
		SELECT setseed(0.5);
		-- the lower the number the more popular
		INSERT INTO reads (tenant) SELECT 1 + 15999 * power(random(), 3) FROM generate_series(1, 150000);
		CREATE FUNCTION read_all() RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE
			hits bigint := 0;
			r record;
			s text;
		BEGIN
			FOR r IN SELECT * FROM reads ORDER BY n LOOP
				SELECT source INTO s FROM dashcache_fetch(r.tenant);
				hits := hits + (s = 'cache')::int;
			END LOOP;
			RETURN hits;
		END $$;
	});
	if ($mb == 16)
	{
		is($node->sql('SELECT DISTINCT note FROM dashcache_memory_estimate'), 'not known yet', 'nothing has been read: nothing is known');
	}
	my $hits = $node->sql('SELECT read_all()');

	$hit_ratio{$mb} = 100 * $hits / 150000;
	next_estimates($node) if $mb == 16;
	is($node->sql('SELECT taken = total - reserved - free AND content < taken AND overhead < 200 AND fragmentation BETWEEN 0 AND 0.1 AND full_ratio BETWEEN 0 AND 1 FROM dashcache_memory'),
		't', "$mb MB: what is taken and free adds up, and the overhead is small");
	$node->stop('fast');
}

sub next_estimates
{
	my $node = shift;

	%estimate = split /[|\n]/, $node->sql('SELECT memory / 1024 / 1024, 100 * hit_ratio FROM dashcache_memory_estimate');
	is(join(' ', sort { $a <=> $b } keys %estimate), '4 8 16 32 64 128', 'sizes from a quarter to eight times');
	like($node->sql("SELECT note FROM dashcache_memory_estimate WHERE gain = 0 ORDER BY memory LIMIT 1"),
		qr/^with 16 MB: [\d.]+%, as it is$/, 'the note says which it is');
	my $check = $node->sql("SELECT problem, fix FROM dashcache_check() WHERE fix LIKE '%dashcache.memory%'");
	like($check, qr/dashcache.memory is too small .*with 32 MB it would be about \d+.*= '32MB'/, 'dashcache_check() says what more would give');
	$node->sql('SELECT dashcache_reset_stats()');
	is($node->sql('SELECT DISTINCT note FROM dashcache_memory_estimate'), 'not known yet', 'dashcache_reset_stats() begins anew');

	# All in turn, more than fits: half of the reads could be hits, unless the data change.
	foreach my $case ([ 'SELECT', '>', 0.4, 'more memory would help' ],
		[ 'UPDATE item SET v = v + 1', '<', 0.02, 'what has changed while it was not there is a miss at any size' ])
	{
		my ($between, $operator, $gain, $name) = @$case;
		my $read = 'SELECT count(*) FROM item, LATERAL dashcache_fetch(tenant) f';

		$node->sql('UPDATE item SET v = v + 1');
		$node->sql('SELECT dashcache_reset_stats()');
		$node->sql($read);
		$node->sql($between);
		$node->sql($read);
		cmp_ok($node->sql('SELECT max(gain) FROM dashcache_memory_estimate'), $operator, $gain, $name);
	}
	$node->sql('CREATE ROLE monitor IN ROLE pg_monitor');
	is($node->sql('SET ROLE monitor; SELECT count(*) FROM dashcache_memory, dashcache_memory_estimate'), '6', 'pg_monitor may read both');
	return;
}

foreach my $mb (8, 16, 32)
{
	note(sprintf '%d MB: %.1f, estimated %.1f', $mb, $hit_ratio{$mb}, $estimate{$mb});
	cmp_ok(abs($hit_ratio{$mb} - $estimate{$mb}), '<', 3, "$mb MB: the estimate is less than 3 points off");
}
cmp_ok($hit_ratio{32} - $hit_ratio{8}, '>', 10, 'the sizes make a difference');

done_testing();
