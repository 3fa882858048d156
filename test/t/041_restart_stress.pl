# The stress test with restarts of the server (RESTARTS in test/stress.pl), in its
# short form: what is served from before a restart is what the query answers, too.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main');

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGDATA} = $node->data_dir;
$ENV{SERVER_LOG} = $node->logfile;
$ENV{DURATION} = 12;
$ENV{SESSIONS} = 8;
$ENV{RESTARTS} = 3;

my $output = `$^X test/stress.pl 2>&1`;
my $status = $?;
my ($last) = $output =~ /^(reads=.*)$/m;
my @restarts = $output =~ /^restarted: (.*)$/mg;

$node->_update_pid(1);
note $output;
is($status, 0, 'what the cache answers is what the query answers, over restarts: '
	  . ($last // 'it did not get to its end'))
  or diag $output;
is(scalar @restarts, 3, join '; ', @restarts);

$node->stop('fast');
done_testing();
