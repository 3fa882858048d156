# The short form of test/applications.pl ("make applications"): the dashboards of
# realistic applications, with no answer from the cache that differs from the one
# computed beside it, and no more needless computations than needed ones.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main');

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
delete $ENV{PGUSER};
# a number of writes, not a duration: the same ones everywhere
$ENV{WRITES} = 25;
$ENV{SEED} = 1;

my $output = `$^X test/applications.pl 2>&1`;
my $status = $?;
my ($last) = $output =~ /^(comparisons=.*)$/m;

note $output;
is($status, 0, 'the answers of realistic dashboards are right, and mostly computed for a reason: '
	  . ($last // 'it did not get to its end'))
  or diag $output;

$node->stop('fast');
done_testing();
