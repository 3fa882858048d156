# DDL in a single-user session, where no event trigger fires: whatever it was, the
# widgets are computed at each call until they were looked at again.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => 'dashcache.workers = 0');

$node->sql(q{
	CREATE TABLE item (tenant int, v int);
	CREATE TABLE other (LIKE item);
	INSERT INTO item SELECT i % 3, i FROM generate_series(1, 30) i;
	CREATE VIEW shown AS SELECT tenant, v FROM item;
	SET client_min_messages = warning;
	SELECT dashcache_define('direct', 'SELECT sum(v) FROM item WHERE tenant = $1', ttl => NULL, result => 'value');
	SELECT dashcache_define('view', 'SELECT sum(v) FROM shown WHERE tenant = $1', ttl => NULL, result => 'value')});

sub single_user
{
	my $sql = shift;
	my ($out, $err);

	$node->stop('fast');
	IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'postgres' ], '<', \$sql, '>', \$out, '2>', \$err)
	  or die $err;
	unlike($err, qr/ERROR|WARNING/, 'the session succeeds');
	$node->start;
	return;
}

sub reads
{
	return $node->sql(q{SELECT string_agg(concat_ws(' ', widget, data, source, reason), ', ' ORDER BY widget) FROM dashcache_fetch(1)});
}

$node->sql('SELECT dashcache_get(1)');
is(reads(), 'direct 145 cache, view 145 cache', 'hits');

single_user("INSERT INTO item VALUES (1, 100);\nVACUUM item;\nSET work_mem = '8MB';\n");
reads();
is(reads(), 'direct 245 cache, view 245 cache', 'what is no DDL makes nothing uncertain');

# A worker looks at all again.
sub look_again
{
	$node->sql('ALTER SYSTEM SET dashcache.workers = 1');
	$node->sql('SELECT pg_reload_conf()');
	$node->wait_for('SELECT count(*) = 0 FROM dashcache.unverified()');
	$node->sql('ALTER SYSTEM SET dashcache.workers = 0');
	$node->sql('SELECT pg_reload_conf()');
	return;
}

single_user("CREATE OR REPLACE VIEW shown AS SELECT tenant, v FROM other;\n");
$node->sql('INSERT INTO other VALUES (1, 7)');
is(reads(), 'direct 245 database uncertain, view 7 database uncertain', 'a view of another table: nothing is cached');
look_again();
reads();
is(reads(), 'direct 245 cache, view 7 cache', 'until a worker has looked');
$node->sql('INSERT INTO other VALUES (1, 8)');
is(reads(), 'direct 245 cache, view 15 database changed', 'and that table is watched');

single_user("ALTER TABLE item DISABLE TRIGGER ALL;\n");
reads();
$node->sql('INSERT INTO item VALUES (1, 1000)');
is(reads(), 'direct 1245 database uncertain, view 15 database uncertain', 'a disabled trigger: nothing is cached');
look_again();
reads();
is(reads(), 'direct 1245 database uncertain, view 15 cache', 'nor when a worker has looked, where it is needed');
is($node->sql(q{SELECT problem FROM dashcache_check() WHERE severity = 'error'}), 'it is computed at each call: a trigger on table "item" is disabled', 'dashcache_check() tells');
$node->sql('SELECT dashcache_repair()');
reads();
$node->sql('INSERT INTO item VALUES (1, 2000)');
is(reads(), 'direct 3245 database changed, view 15 cache', 'dashcache_repair() enables it');

$node->stop;
done_testing();
