# The eviction policy, played generated traces by the project's own code, against
# others: what it gives way to costs less to compute again, at no time more.

use strict;
use warnings;

use File::Temp;
use Test::More;

local $ENV{DASHCACHE_WORK} = File::Temp->newdir;
local $ENV{ACCESSES} = 500_000;

foreach my $seed (1, 2)
{
	my (%hits, %saved, @errors);

	local $ENV{SEED} = $seed;
	foreach (`test/bench/traces/run`)
	{
		if (/^(\w+)\s+(\w+)\s+([\d.]+)\s+([\d.]+)$/) { ($hits{$1}{$2}, $saved{$1}{$2}) = ($3, $4); }
		elsif (m{^(\w+) .*/.* ([\d.]+)\s+[\d.]+$}) { push @errors, [ $1, $2 ]; }
	}
	is($?, 0, "seed $seed: the traces were played");
	is(join(' ', sort keys %hits), 'Zipf changes scan shift', 'all of them');
	foreach my $trace (sort keys %hits)
	{
		my $own = $saved{$trace}{dashcache};

		foreach my $other (qw(SIEVE LRU FIFO))
		{
			cmp_ok($own, '>=', $saved{$trace}{$other}, "$trace: no less computing is saved than by $other");
		}
	}
	foreach my $trace (qw(Zipf scan))
	{
		foreach my $other (qw(LRU FIFO))
		{
			cmp_ok($hits{$trace}{dashcache}, '>=', $hits{$trace}{$other}, "$trace: and no fewer are hits than with $other");
		}
	}
	is(scalar(@errors), 4, 'the estimate was checked on each');
	cmp_ok($_->[1], '<', 5, "$_->[0]: the estimate of other sizes is less than 5 points off on average") foreach @errors;
}

done_testing();
