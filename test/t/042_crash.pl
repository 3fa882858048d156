# The short form of test/crash.pl ("make crash"): processes are killed under load,
# and the cache is empty or right.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => "restart_after_crash = on");

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{ROUNDS} = 8;
$ENV{CRASH_LOG} = $node->logfile;

my $output = `$^X test/crash.pl 2>&1`;
my $status = $?;

note $output;
is($status, 0, 'the server comes back, and the cache is empty or right') or diag $output;

$node->stop('fast');
done_testing();
