# The extension is installed, loaded at the server's start and says so.

use strict;
use warnings;

use Dashcache::Test;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', extension => 0);

is($node->sql('SHOW shared_preload_libraries'),
	'dashcache', 'the server starts with the library preloaded');

$node->sql('CREATE EXTENSION dashcache');
pass('CREATE EXTENSION works');

is($node->sql('SELECT preloaded FROM dashcache_status'),
	't', 'dashcache_status says that it is preloaded');

# One version, whoever is asked.
my $version = $node->sql(
	"SELECT extversion FROM pg_extension WHERE extname = 'dashcache'");
my $meta = decode_json(slurp_file('META.json'));

is($node->sql('SELECT version FROM dashcache_status'),
	$version, 'dashcache_status has the version of the control file');
like($meta->{version}, qr/^\Q$version\E(\.\d+)*$/,
	'META.json has the version of the control file');
is($meta->{provides}{dashcache}{version},
	$meta->{version}, 'META.json has one version');

$node->sql('DROP EXTENSION dashcache');
is( $node->sql(
		"SELECT count(*) FROM pg_proc WHERE proname LIKE 'dashcache%'"),
	'0',
	'DROP EXTENSION leaves no function behind');

$node->stop('fast');
done_testing();
