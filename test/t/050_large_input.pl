# What is larger than anyone needs: given, or refused, and never stored beyond the
# memory there is. The server stays up.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => "dashcache.memory = '16MB'");

$node->sql(<<'END');
CREATE TABLE t (company_id text, x text);
INSERT INTO t VALUES ('a', 'x');
SELECT dashcache_define('count', 'SELECT count(*) FROM t WHERE company_id = $1', 'd');
SELECT dashcache_define('sized', 'SELECT repeat(''x'', ($2->>''size'')::int) AS x WHERE $1 = ''a''', 'sized', result => 'value');
END

my $session = $node->session;
my $sized = sub {
	my $size = shift;
	return qq{SELECT octet_length(data::text), source, reason FROM dashcache_fetch('a', 'sized', params => '{"size": $size}')};
};

# A result of 100 MB.
is($session->query($sized->(100_000_000)),
	'100000002|database|too large', 'an answer of 100 MB is given and not stored');
is($session->query($sized->(100_000_000)),
	'100000002|database|too large', 'the second time, too');
is( $session->query(q{SELECT octet_length(dashcache_get('a', 'sized', params => '{"size": 100000000}')::text)}),
	'100000012',
	'dashcache_get() gives it as well');
like($session->error($sized->(2_000_000_000)),
	qr/ERROR: .*(invalid memory alloc request size|out of memory|enlarge string buffer|requested length too large)/,
	'one that no text can hold is an error');
is( $node->sql('SELECT count(*) FROM dashcache_entries'),
	'0', 'nothing of that is stored');

# What fits is stored, and in the end something else has to go.
is($session->query($sized->(1_000_000)), '1000002|database|cold', 'an answer of 1 MB is given');
is($session->query($sized->(1_000_000)), '1000002|cache|', 'and stored');
$session->query(
	q{SELECT count(octet_length(dashcache_get('a', 'sized', params => jsonb_build_object('size', 500000 + i))::text)) FROM generate_series(1, 200) i});
is( $node->sql('SELECT memory_used <= memory_total FROM dashcache_status'),
	't', 'answers of 100 MB in all stay within 16 MB of memory');
cmp_ok($node->sql("SELECT evictions FROM dashcache_stats WHERE widget = 'sized'"),
	'>', 100, 'the others were evicted');
is($session->query($sized->(500_001)) =~ /^500003\|/ ? 1 : 0,
	1, 'those that were are computed again');

# A tenant of 1 MB, and one of 50 MB.
foreach my $size (1_000_000, 50_000_000)
{
	my $fetch = "SELECT data, source, reason FROM dashcache_fetch(repeat('t', $size), 'd')";

	is( $session->query($fetch),
		$size > 10_000_000 ? '{"count":0}|database|too large' : '{"count":0}|database|cold',
		"a tenant of $size bytes gets its answer");
	$session->query("INSERT INTO t VALUES (repeat('t', $size), 'y')");
	like($session->query($fetch), qr/^\{"count":1\}\|database\|/,
		'and the right one after a change');
}

# Params of 1 MB, and of 50 MB.
foreach my $size (1_000_000, 50_000_000)
{
	my $fetch = "SELECT octet_length(data::text), source FROM dashcache_fetch('a', 'sized',
		params => jsonb_build_object('size', 10, 'more', repeat('p', $size)))";

	is($session->query($fetch), '12|database', "params of $size bytes are taken");
	is( $session->query($fetch),
		$size > 10_000_000 ? '12|database' : '12|cache',
		'and told from others');
}

# Queries.
is( $session->query(
		q{SET client_min_messages = warning; SELECT dashcache_define('query', 'SELECT length(''' || repeat('q', 1000000) || ''') AS n WHERE $1 = ''a''', 'query')}),
	'',
	'a query of 1 MB is a query');
is($session->query("SELECT dashcache_get('a', 'query')"),
	'{"query":{"n":1000000}}', 'and is computed');
is($session->query("SELECT source FROM dashcache_fetch('a', 'query')"),
	'cache', 'and cached');
like(
	$session->error(
		q{SELECT dashcache_define('broken', 'SELECT ' || repeat('q', 1000000) || ' WHERE $1 = ''a''', 'query')}),
	qr/ERROR:  column "q+" does not exist/,
	'an error in one names it');
like(
	$session->error(
		q{SELECT dashcache_define('deep', 'SELECT ' || repeat('(SELECT ', 20000) || '1' || repeat(')', 20000) || ' WHERE $1 = ''a''', 'query')}),
	qr/ERROR:  (stack depth limit exceeded|memory exhausted)/,
	'one that is too deep is refused');
like(
	$session->error(
		q{SELECT dashcache_define('deep', 'SELECT 1' || repeat(' + 1', 100000) || ' WHERE $1 = ''a''', 'query')}),
	qr/ERROR:  stack depth limit exceeded/,
	'so is one with too many operators');
is( $session->query(
		q{SELECT dashcache_define('and', 'SELECT count(*) FROM t WHERE company_id = $1' || repeat(' AND company_id = $1', 2000), 'query')}),
	'',
	'one with 2000 conditions is analysed');
is($session->query(q{SELECT dashcache_get('a', 'query', 'and')}),
	'{"count":1}', 'and computed');

# Many tenants in one transaction, and all of them changed.
$session->query(q{
	CREATE TABLE many (company_id text, x text);
	INSERT INTO many SELECT 'tenant ' || i, 'x' FROM generate_series(1, 100000) i;
	CREATE INDEX ON many (company_id);
	ANALYZE many;
	SELECT dashcache_define('count', 'SELECT count(*) FROM many WHERE company_id = $1', 'many');
	SELECT count(dashcache_get('tenant ' || i, 'many')) FROM generate_series(1, 20000) i;
	UPDATE many SET company_id = company_id || '!'});
is( $session->query(
		q{SELECT count(*) FROM generate_series(1, 20000) i, LATERAL dashcache_fetch('tenant ' || i, 'many') f WHERE f.data::text <> '{"count":0}'}),
	'0',
	'no tenant of 20000 is told what was before one transaction changed them all');

is($node->sql('SELECT 1'), '1', 'the server is still there');
unlike(
	PostgreSQL::Test::Utils::slurp_file($node->logfile),
	qr/PANIC|was terminated by signal|WARNING/,
	'and has not complained');

$session->quit;
$node->stop('fast');
done_testing();
