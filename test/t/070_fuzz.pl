# The short form of the differential fuzzer (test/fuzz.pl, "make fuzz"): random
# schemas, queries, writes and DDL, and no answer from the cache that differs
# from the one computed beside it.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main');

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
delete $ENV{PGUSER};
$ENV{DURATION} = 25;
$ENV{SHRINK} = 20;

my $output = `$^X test/fuzz.pl 2>&1`;
my $status = $?;
my ($last) = $output =~ /^(rounds=.*)$/m;

note $output;
is($status, 0, 'what the cache answers is what the query answers, whatever the query, the write or the DDL: '
	  . ($last // 'it did not get to its end'))
  or diag $output;

$node->stop('fast');
done_testing();
