# Answers of many megabytes: they are kept up to a quarter of the memory, or to what is
# set, byte for byte, in one piece or in many.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $mb = 1024 * 1024;
my $node = new_node('main', conf => "dashcache.memory = '128MB'");

$node->sql(q{
	CREATE TABLE item (tenant int PRIMARY KEY, size int, seed int);
	INSERT INTO item SELECT i, 20 * 1024 * 1024, i FROM generate_series(1, 9) i;
	INSERT INTO item VALUES (10, 40 * 1024 * 1024, 10);
	INSERT INTO item SELECT i, 100 + i * 7919 % 6000, i FROM generate_series(1001, 40000) i;
	SET client_min_messages = warning;
	-- no two parts of an answer are the same
	SELECT dashcache_define('text', $q$SELECT (SELECT string_agg(md5((seed + n)::text) || repeat('x', 969), '') FROM generate_series(1, size / 1001) n)
		FROM item WHERE tenant = $1$q$, result => 'value', ttl => NULL);
	CREATE FUNCTION same(tenant int, OUT source text, OUT reason text, OUT same boolean)
	LANGUAGE sql BEGIN ATOMIC
		SELECT f.source, f.reason, md5(f.data::text) = md5(to_json((SELECT string_agg(md5((seed + n)::text) || repeat('x', 969), '') FROM generate_series(1, size / 1001) n))::text)
		FROM item i, LATERAL dashcache_fetch(i.tenant) f WHERE i.tenant = same.tenant;
	END;
});

is($node->sql('SELECT * FROM same(1)'), 'database|cold|t', 'an answer of 20 MB');
is($node->sql('SELECT * FROM same(1)'), 'cache||t', 'is kept');
is($node->sql("SELECT md5(dashcache_get(1, 'default', 'text')::text) = md5(data::text) FROM dashcache_fetch(1)"), 't', 'and is the same by either function');
is($node->sql('SELECT * FROM same(10)'), 'database|too large|t', 'one of 40 MB is given');
is($node->sql('SELECT * FROM same(10)'), 'database|too large|t', 'and not kept: it is more than a quarter of the memory');

# Between small ones, which leave no piece of that size.
$node->sql('SELECT dashcache_purge()');
$node->sql('SELECT count(dashcache_get(tenant)) FROM item WHERE tenant > 1000');
foreach my $tenant (2, 3)
{
	is($node->sql("SELECT * FROM same($tenant)"), 'database|cold|t', 'where others have to give way');
	is($node->sql("SELECT * FROM same($tenant)"), 'cache||t', 'it is kept as well');
}
$node->sql('SELECT dashcache_purge()');
$node->sql('SELECT count(dashcache_get(tenant)) FROM item WHERE tenant > 1000');
$node->sql('UPDATE item SET seed = seed + 1 WHERE tenant > 1000 AND tenant % 2 = 0');
$node->sql("SELECT same(tenant) FROM item WHERE tenant IN (4, 5)");
cmp_ok($node->sql('SELECT count(*) FROM item WHERE tenant IN (4, 5) AND (same(tenant)).source = \'cache\' AND (same(tenant)).same'), '==', 2, 'in the places of every other small one, too');
is($node->sql('SELECT count(*) FROM item i, LATERAL dashcache_fetch(i.tenant) f WHERE i.tenant > 39900 AND (f.data #>> \'{}\') <> (SELECT string_agg(md5((seed + n)::text) || repeat(\'x\', 969), \'\') FROM generate_series(1, size / 1001) n)'),
	'0', 'which are what they were');
cmp_ok($node->sql('SELECT fragmentation FROM dashcache_memory'), '<', 0.05, 'little is lost between them');
is($node->sql('SELECT taken + free + reserved = total AND total = 128 * 1024 * 1024 FROM dashcache_memory'), 't', 'and what is taken and free is all there is');

# What is set.
$node->sql("ALTER SYSTEM SET dashcache.max_answer = '10MB'");
$node->sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', "SELECT current_setting('dashcache.max_answer') = '10MB'");
is($node->sql('SELECT * FROM same(6)'), 'database|too large|t', 'dashcache.max_answer: one that is larger is given, too') foreach 1, 2;
is($node->sql('SELECT refused_too_large > 0 FROM dashcache_memory'), 't', 'and counted');
$node->sql("ALTER SYSTEM SET dashcache.max_answer = '50MB'");
$node->sql('SELECT pg_reload_conf()');
$node->poll_query_until('postgres', "SELECT current_setting('dashcache.max_answer') = '50MB'");
is($node->sql('SELECT * FROM same(10)'), 'database|cold|t', 'one of 40 MB');
is($node->sql('SELECT * FROM same(10)'), 'cache||t', 'is kept if that is allowed');

$node->stop('fast');
done_testing();
