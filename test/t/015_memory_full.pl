# The smallest memory there can be, and more to keep than fits: entries give way,
# answers that cannot be kept are given all the same, and none is wrong.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => "dashcache.memory = '2MB'");

$node->sql(q{
	CREATE TABLE item (tenant int PRIMARY KEY, size int, v int);
	INSERT INTO item SELECT i, 1000 + i % 5000, i FROM generate_series(1, 2000) i;
	INSERT INTO item VALUES (100001, 100000, 1), (100002, 1000000, 2), (100003, 20000000, 3);
	SET client_min_messages = warning;
	SELECT dashcache_define('text', $q$SELECT v, repeat('x', size) AS text FROM item WHERE tenant = $1$q$, result => 'row', ttl => NULL);

	CREATE FUNCTION read(first int, last int, OUT wrong bigint, OUT hits bigint, OUT reasons text)
	LANGUAGE sql BEGIN ATOMIC
		WITH r AS MATERIALIZED (
			SELECT c.source, c.reason, c.data->>'v' = i.v::text AND length(c.data->>'text') = i.size AS same
			FROM item i, LATERAL dashcache_fetch(i.tenant) c
			WHERE i.tenant BETWEEN first AND last)
		SELECT count(*) FILTER (WHERE same IS NOT TRUE), count(*) FILTER (WHERE source = 'cache'),
			string_agg(DISTINCT reason, ', ' ORDER BY reason)
		FROM r;
	END;
});

sub fits
{
	return $node->sql('SELECT memory_used <= memory_total AND memory_total <= 2 * 1024 * 1024 FROM dashcache_status');
}

is($node->sql('SELECT * FROM read(1, 2000)'), '0|0|cold', 'more than fits: every answer is right');
is(fits(), 't', 'and the memory is no more than was reserved');
cmp_ok($node->sql('SELECT evictions FROM dashcache_stats'), '>', 500, 'entries have given way');
cmp_ok($node->sql('SELECT entries FROM dashcache_status'), '>', 20, 'others are there');

# What is used stays useful.
$node->sql('SELECT * FROM read(1, 20)');
like($node->sql('SELECT * FROM read(1, 20)'), qr/^0\|20\|$/, 'twenty that fit are all served');

is($node->sql('SELECT * FROM read(100003, 100003)'), '0|0|too large', 'an answer of 20 MB is given, not stored');
is($node->sql('SELECT * FROM read(100003, 100003)'), '0|0|too large', 'and again');
is($node->sql('SELECT * FROM read(100002, 100002)'), '0|0|too large', 'nor is one of 1 MB');
like($node->sql('SELECT * FROM read(100001, 100001)'), qr/^0\|0\|(cold|no memory)$/, 'one of 100 kB may be');
is(fits(), 't', 'the memory is no more than was reserved');

# Many writers and readers while entries are made and evicted all the time.
my $load = $node->basedir . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($load, q{
\set t random(1, 1900)
SELECT wrong = 0 AS right FROM read(:t, :t + 30) \gset
\if :right
UPDATE item SET v = v + 1, size = 500 + random() * 5000 WHERE tenant = :t;
\else
SELECT 'a wrong answer' / 0;
\endif
});
$node->command_ok(
	[ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 60, '--random-seed=1', '-f', $load, 'postgres' ],
	'eight sessions that read and write at the limit: every answer is right');
like($node->sql('SELECT * FROM read(1, 2000)'), qr/^0\|/, 'and so it is afterwards');
is(fits(), 't', 'in the same memory');
unlike($node->sql("SELECT string_agg(reason, ', ') FROM (SELECT DISTINCT reason FROM item, LATERAL dashcache_fetch(tenant) WHERE tenant <= 100) r"),
	qr/too large/, 'small answers are not too large');

# Purging gives all of it back.
$node->sql('SELECT dashcache_purge()');
is($node->sql('SELECT entries FROM dashcache_status'), '0', 'purged: no entry is left');
$node->sql('SELECT * FROM read(100001, 100001)');
is($node->sql('SELECT * FROM read(100001, 100001)'), '0|1|', 'and one of 100 kB has room again');

$node->stop('fast');
done_testing();
