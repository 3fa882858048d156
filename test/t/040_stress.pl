# The short form of the stress test (test/stress.pl, "make stress"): ten seconds
# of writers and readers of every kind, and no answer from the cache that differs
# from the one computed beside it.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main');

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{DURATION} = 10;
$ENV{SESSIONS} = 8;

my $output = `$^X test/stress.pl 2>&1`;
my $status = $?;
my ($last) = $output =~ /^(reads=.*)$/m;

note $output;
is($status, 0, 'what the cache answers is what the query answers, in the same snapshot: '
	  . ($last // 'it did not get to its end'))
  or diag $output;

$node->stop('fast');
done_testing();
