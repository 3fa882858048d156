# What one answer, one tenant and one dashboard may take: who is over its limit gives
# way to itself, and gets its answers all the same. What is of no use goes first.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => q{
dashcache.memory = '16MB'
dashcache.workers = 0
});

$node->sql(q{
	CREATE TABLE item (tenant int, n int, v int, PRIMARY KEY (tenant, n));
	INSERT INTO item SELECT t, 1, t FROM generate_series(1, 20000) t;
	SET client_min_messages = warning;
	SELECT dashcache_define('text', $q$SELECT v, repeat('x', 900) AS text FROM item WHERE tenant = $1$q$, result => 'row', ttl => NULL);
	SELECT dashcache_define('p', $q$SELECT v, repeat('x', COALESCE(($2->>'size')::int, 900)) AS text, ($2->>'n')::int AS n FROM item WHERE tenant = $1$q$,
		dashboard => 'params', result => 'row', ttl => NULL);

	-- Reads some tenants' answers: how many are wrong, and hits.
	CREATE FUNCTION read(first int, last int, OUT wrong bigint, OUT hits bigint)
	LANGUAGE sql BEGIN ATOMIC
		SELECT count(*) FILTER (WHERE (c.data->>'v')::int IS DISTINCT FROM i.v), count(*) FILTER (WHERE source = 'cache')
		FROM item i, LATERAL dashcache_fetch(i.tenant) c
		WHERE i.tenant BETWEEN first AND last;
	END;

	-- Reads one tenant's answers for many params.
	CREATE FUNCTION read_params(whose int, first int, last int, OUT wrong bigint, OUT hits bigint)
	LANGUAGE sql BEGIN ATOMIC
		SELECT count(*) FILTER (WHERE (c.data->>'n')::int IS DISTINCT FROM n), count(*) FILTER (WHERE source = 'cache')
		FROM generate_series(first, last) n, LATERAL dashcache_fetch(whose, 'params', params => jsonb_build_object('n', n)) c;
	END;

	-- Reads of many tenants that do not fit, the lower the number the more popular;
	-- between them, if wanted, those of one with ten thousand params. The hit ratio
	-- of the many, in percent, once the memory is full.
	CREATE TABLE modest (n serial, tenant int);
	SELECT setseed(0.5);
	INSERT INTO modest (tenant) SELECT 1 + 18999 * power(random(), 3) FROM generate_series(1, 60000);
	CREATE FUNCTION hit_ratio(greedy boolean) RETURNS numeric LANGUAGE plpgsql AS $$
	DECLARE
		hits int := 0;
		r record;
		s text;
	BEGIN
		FOR r IN SELECT * FROM modest ORDER BY n LOOP
			SELECT source INTO s FROM dashcache_fetch(r.tenant);
			hits := hits + (s = 'cache' AND r.n > 30000)::int;
			IF greedy THEN
				PERFORM dashcache_get(20000, 'params', params => jsonb_build_object('n', r.n % 10000));
			END IF;
		END LOOP;
		RETURN hits / 300.0;
	END $$;
});

sub set
{
	my ($name, $value) = @_;

	$node->sql("ALTER SYSTEM SET $name = '$value'");
	$node->sql('SELECT pg_reload_conf()');
	$node->poll_query_until('postgres', "SELECT current_setting('$name') = '$value'");
	return;
}

sub held
{
	my ($what) = @_;

	return $node->sql("SELECT COALESCE(sum(stored_bytes), 0) FROM dashcache_entries WHERE $what");
}

sub logged
{
	my ($what) = @_;

	return scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /$what/g);
}

sub hit_ratio
{
	my ($greedy) = @_;

	$node->sql('SELECT dashcache_purge()');
	return $node->sql("SELECT round(hit_ratio($greedy), 1)");
}

# One greedy tenant that asks as often as many modest ones together, where memory is
# short: without a limit, and with one.
my $alone = hit_ratio('false');
my $unprotected = hit_ratio('true');
set('dashcache.tenant_memory_limit', 2);
my $protected = hit_ratio('true');
note("hit ratio of the modest tenants: $alone alone, $unprotected beside a greedy one, $protected if that has a limit");
cmp_ok($alone, '<', 90, 'memory is short');
cmp_ok($unprotected, '<', $alone - 2, 'a greedy tenant takes from the others');
cmp_ok($protected, '>=', $alone - 2, 'with a limit by no more than 2 points');
cmp_ok(held("tenant = '20000'"), '<=', 16 * 1024 * 1024 / 50, 'as it holds no more than that');
$node->sql('SELECT dashcache_purge()');

# Where they would all fit.
set('dashcache.tenant_memory_limit', 10);
$node->sql('SELECT read(1, 3000)');
my $before = $node->sql('SELECT hits FROM read(1, 3000)');
is($before, 3000, 'modest tenants that fit');
is($node->sql('SELECT wrong FROM read_params(20000, 1, 10000)'), 0, 'a tenant with ten thousand params gets its answers');
cmp_ok(held("tenant = '20000'"), '<=', 16 * 1024 * 1024 / 10, 'and holds no more than its limit');
cmp_ok(held("tenant = '20000'"), '>', 16 * 1024 * 1024 / 11, 'but what it may');
cmp_ok($node->sql('SELECT hits FROM read(1, 3000)'), '>=', 0.98 * $before, 'the modest ones keep theirs');
cmp_ok($node->sql('SELECT hits FROM read_params(20000, 9000, 10000)'), '>', 900, 'the greedy one those it has asked for last');
is(logged('reached dashcache.tenant_memory_limit'), 1, 'one line says so, in this minute');
is($node->sql("SELECT source, reason FROM dashcache_fetch(1, 'params', params => '{\"size\": 2000000}')"), 'database|too large',
	'an answer beyond the limit is given');
is(logged('larger than dashcache.tenant_memory_limit'), 1, 'and said');
set('dashcache.tenant_memory_limit', 0);

# A dashboard that may hold a megabyte.
$node->sql('SELECT dashcache_purge()');
$node->sql('SELECT read(1, 3000)');
$node->sql("SELECT dashcache_configure('params', memory_limit => '1MB')");
is($node->sql('SELECT wrong FROM read_params(20000, 1, 5000)'), 0, 'a dashboard with a limit gives its answers');
cmp_ok(held("dashboard = 'params'"), '<=', 1024 * 1024, 'and holds no more than that');
cmp_ok(held("dashboard = 'params'"), '>', 1000 * 1024, 'but what it may');
is($node->sql('SELECT hits FROM read(1, 3000)'), 3000, 'the other dashboard is left alone');
is(logged('reached its memory_limit'), 1, 'one line says so');
is($node->sql("SELECT source, reason FROM dashcache_fetch(1, 'params', params => '{\"size\": 1500000}')"), 'database|too large',
	'an answer beyond the limit is given');
$node->sql("SELECT dashcache_configure('params', memory_limit => '')");

# The largest answer.
is($node->sql("SELECT source, reason FROM dashcache_fetch(2, 'params', params => '{\"size\": 1500000}')"), 'database|cold', 'a large answer');
is($node->sql("SELECT source FROM dashcache_fetch(2, 'params', params => '{\"size\": 1500000}')"), 'cache', 'is kept');
is($node->sql("SELECT length(data->>'text') = 1500000 AND replace(data->>'text', 'x', '') = '' FROM dashcache_fetch(2, 'params', params => '{\"size\": 1500000}')"),
	't', 'byte for byte');
set('dashcache.max_answer', '1MB');
is($node->sql("SELECT source, reason FROM dashcache_fetch(3, 'params', params => '{\"size\": 1500000}')"), 'database|too large', 'larger than dashcache.max_answer');
is($node->sql("SELECT source, reason FROM dashcache_fetch(3, 'params', params => '{\"size\": 1500000}')"), 'database|too large', 'and again');
is(logged('larger than dashcache.max_answer'), 1, 'one line says so');
set('dashcache.max_answer', '-1');

# What is no longer right goes first, whether it has ended or changed.
$node->sql(q{
	CREATE TABLE rate (v int);
	INSERT INTO rate VALUES (1);
	SET client_min_messages = warning;
	SELECT dashcache_define('rated', $q$SELECT i.v, (SELECT v FROM rate) AS rate, repeat('z', 900) AS text FROM item i WHERE tenant = $1$q$,
		dashboard => 'changed', result => 'row', ttl => NULL);
	SELECT dashcache_define('short', $q$SELECT v, repeat('z', 900) AS text FROM item WHERE tenant = $1$q$,
		dashboard => 'ended', result => 'row', ttl => '1 ms');
});
foreach my $useless ('changed', 'ended')
{
	$node->sql('SELECT dashcache_purge()');
	$node->sql("SELECT read(1, 6000), (SELECT count(*) FROM generate_series(1, 6000) t, LATERAL dashcache_fetch(t, '$useless'))");
	is($node->sql('SELECT entries FROM dashcache_status'), 12000, 'twelve thousand answers fit');
	$node->sql('UPDATE rate SET v = v + 1');
	$node->sql('SELECT read(6001, 11000)');
	cmp_ok($node->sql('SELECT hits FROM read(1, 11000)'), '>=', 10990, "what has $useless has made room for others");
}

# The same where all have served for long, and then some change.
$node->sql('SELECT dashcache_purge()');
$node->sql('SELECT read(1, 20000)');
$node->sql("SELECT count(*) FROM generate_series(1, 3000) t, LATERAL dashcache_fetch(t, 'changed')");
my ($held, $before_change) = split /\|/, $node->sql('SELECT entries, evicted FROM dashcache_memory');
$node->sql('UPDATE rate SET v = v + 1');
$node->sql("SELECT count(*) FROM generate_series(3001, 5500) t, LATERAL dashcache_fetch(t, 'changed')");
cmp_ok($node->sql('SELECT evicted FROM dashcache_memory') - $before_change, '<=', $held / 16,
	'a sixteenth of what serves at most gives way until that is found');

# What has outlived a restart counts, and is worth what it was worth before.
$node->sql(q{
	SELECT dashcache_purge();
	SET client_min_messages = warning;
	SELECT dashcache_define('dear', $q$SELECT v, (SELECT count(*) FROM generate_series(1, 20000 + v)) AS n, repeat('z', 900) AS text FROM item WHERE tenant = $1$q$,
		dashboard => 'dear', result => 'row', ttl => NULL);
	SELECT dashcache_configure('params', memory_limit => '1MB');
});
set('dashcache.tenant_memory_limit', 10);
$node->sql('SELECT read_params(20000, 1, 2000)');
$node->sql('SELECT read(1, 500)');
$node->sql("SELECT count(*) FROM generate_series(1, 200) t, LATERAL dashcache_fetch(t, 'dear')");
my %before = map { $_ => held("dashboard = '$_'") } qw(params dear);
$node->restart;
$node->poll_query_until('postgres', 'SELECT restored > 0 FROM dashcache_status');
is(held("dashboard = '$_'"), $before{$_}, "what $_ holds is restored") foreach sort keys %before;
$node->sql('SELECT read_params(20000, 2001, 2500)');
cmp_ok(held("dashboard = 'params'"), '<=', 1024 * 1024, 'and counts against the limit of its dashboard');
is($node->sql("SELECT count(*) FROM generate_series(1, 200) t, LATERAL dashcache_fetch(t, 'dear') WHERE source = 'cache'"), 200, 'others have not given way for it');
$node->sql("SELECT dashcache_configure('params', memory_limit => '')");
$node->sql('SELECT read_params(20000, 1, 2000)');
cmp_ok(held("tenant = '20000'"), '<=', 16 * 1024 * 1024 / 10, 'what a tenant holds counts against its limit');
$node->sql('SELECT read(4001, 20000)');
is($node->sql("SELECT count(*) FROM generate_series(1, 200) t, LATERAL dashcache_fetch(t, 'dear') WHERE source = 'cache'"), 200, 'what was dear to compute stays longer');
cmp_ok($node->sql('SELECT hits FROM read(1, 500)'), '<', 50, 'than what was not');

$node->stop('fast');
done_testing();
