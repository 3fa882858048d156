# More widgets than have counters of their own. What they hold is counted right
# nevertheless, when some of them have got counters later, too; and limits of
# dashboards hold.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

# counters for 128 widgets
my $node = new_node('main', conf => "dashcache.memory = '2MB'\ndashcache.workers = 0");

$node->sql(q{
	CREATE TABLE item (tenant int, v int);
	INSERT INTO item SELECT t, 1 FROM generate_series(1, 1000) t;
	SET client_min_messages = warning;
	SELECT dashcache_define('w' || i, 'SELECT sum(v) + ' || i || ' AS v FROM item WHERE tenant = $1', 'd' || i % 10, ttl => NULL)
	FROM generate_series(1, 160) i;
});

sub read_all
{
	$node->sql(q{SELECT dashcache_get(1, 'd' || i) FROM generate_series(0, 9) i});
	return;
}

# how many have counters; and are these right?
sub counted
{
	return $node->sql(q{
		SELECT count(s.entries), bool_and(s.entries = e.n AND s.bytes = e.bytes)
		FROM dashcache_stats s
		LEFT JOIN LATERAL (
			SELECT count(*) AS n, COALESCE(sum(bytes), 0) AS bytes FROM dashcache_entries
			WHERE dashboard = s.dashboard AND widget = s.widget) e ON true});
}

# of two reads of each of a dashboard's widgets
sub sources
{
	my ($dashboard) = @_;

	return $node->sql(qq{
		SELECT string_agg(source || ' ' || n, ', ' ORDER BY source) FROM (
			SELECT source, count(*) AS n
			FROM dashcache_stats s, generate_series(1, 2), LATERAL dashcache_fetch(1, s.dashboard, s.widget)
			WHERE s.dashboard = '$dashboard' GROUP BY 1) x});
}

read_all();
is($node->sql('SELECT count(*) FROM dashcache_entries'), '160', 'all are kept');
is(counted(), '128|t', 'as many as there is room for have counters');

$node->sql(q{SELECT dashcache_drop('w' || i, 'd' || i % 10) FROM generate_series(1, 40) i});
$node->sql('UPDATE item SET v = v + 1 WHERE tenant = 1');
read_all();
is(counted(), '120|t', 'others have got those of dropped ones');
is($node->sql('SELECT dashcache_purge()'), '120', 'purged');
is(counted(), '120|t', 'nothing is left, nor less than nothing');

$node->sql(q{SELECT dashcache_configure('d5', memory_limit => '64kB')});
is(sources('d5'), 'cache 12, database 12', 'what has a limit, and is below it, is kept');

# a limit where some have counters and others have not
$node->sql(q{SET client_min_messages = warning;
	SELECT dashcache_define('x' || i, 'SELECT sum(v) - ' || i || ' AS v FROM item WHERE tenant = $1', 'x', ttl => NULL)
	FROM generate_series(1, 20) i;
	SELECT dashcache_configure('x', memory_limit => '64kB')});
$node->sql(q{SELECT dashcache_get(t, 'x') FROM generate_series(1, 100) t});
is($node->sql(q{SELECT count(s.entries) BETWEEN 1 AND 19 FROM dashcache_stats s WHERE dashboard = 'x'}), 't',
	'a dashboard of which some have counters');
cmp_ok($node->sql(q{SELECT sum(stored_bytes) FROM dashcache_entries WHERE dashboard = 'x'}), '<=', 64 * 1024, 'its limit holds');
cmp_ok($node->sql(q{SELECT count(*) FROM dashcache_entries WHERE dashboard = 'x'}), '>', 100, 'and is made use of');

$node->stop('fast');
done_testing();
