# Without shared_preload_libraries every function works: computed, and it says so.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', conf => "shared_preload_libraries = ''\nmax_prepared_transactions = 5");
my $session = $node->session;

$session->query('SET client_min_messages = warning');
is($session->query('SELECT preloaded, enabled, entries IS NULL FROM dashcache_status'),
	'f|t|t', 'dashcache_status says that the library is not preloaded');
is( $session->query('SELECT caching_paused_by FROM dashcache_status'),
	'not preloaded: add dashcache to shared_preload_libraries (dashcache) and restart the server',
	'and what to do about it');

$session->query(q{
	CREATE TABLE parent (id int PRIMARY KEY);
	CREATE TABLE t (company_id bigint, x int, parent int REFERENCES parent ON DELETE CASCADE);
	INSERT INTO parent VALUES (1);
	INSERT INTO t VALUES (1, 10), (2, 20);
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', tags => '{tag}');
	SELECT dashcache_define('never', 'SELECT count(*) FROM t WHERE company_id = $1', 'other', ttl => '0')});
is( $session->query(q{SELECT source, tenant_key, invalidation, installed, problem FROM dashcache_sources WHERE widget = 'w'}),
	't|company_id|row|t|', 'a definition installs the triggers');

my $fetch = 'SELECT data, source, reason FROM dashcache_fetch(1)';
is($session->query($fetch), '{"sum":10}|database|not preloaded', 'an answer is computed');
is($session->query($fetch), '{"sum":10}|database|not preloaded', 'each time');
is($session->query('SELECT dashcache_get(1)'), '{"w":{"sum":10}}', 'dashcache_get() answers');
is($session->query("SELECT dashcache_get('1'), dashcache_get(1::bigint, refresh => true)"),
	'{"w":{"sum":10}}|{"w":{"sum":10}}', 'all of its overloads');
is( $session->query(q{SELECT dashcache_get(1, with_meta => true) #>> '{_meta,cached}'}),
	'false', 'and does not say that it was cached');
is( $session->query('SELECT reason FROM dashcache_fetch(1::bigint, \'other\')'),
	'not preloaded', 'also where nothing would be cached anyway');
is( $session->query('SET dashcache.enabled = off; SELECT reason FROM dashcache_fetch(1); RESET dashcache.enabled'),
	'not preloaded', 'or caching is off');

# Writes of every kind.
$session->query(q{
	INSERT INTO t VALUES (1, 1);
	UPDATE t SET x = x + 1, company_id = 2 WHERE x = 20;
	UPDATE t SET parent = 1 WHERE x = 1;
	INSERT INTO t SELECT 1, i FROM generate_series(1, 1000) i;
	DELETE FROM parent;
	DELETE FROM t WHERE x > 100});
is($session->query($fetch), '{"sum":5060}|database|not preloaded', 'the triggers do no harm');
is( $session->query('BEGIN; INSERT INTO t VALUES (1, 1000); SELECT data FROM dashcache_fetch(1); ROLLBACK'),
	'{"sum":6060}', 'a transaction sees its own writes');
$session->query("BEGIN; INSERT INTO t VALUES (1, 1); PREPARE TRANSACTION 'p'");
is($session->query($fetch), '{"sum":5060}|database|not preloaded', 'nobody sees a prepared one');
$session->query("COMMIT PREPARED 'p'");
is($session->query($fetch), '{"sum":5061}|database|not preloaded', 'until it is committed');
$session->query('BEGIN; TRUNCATE t; ROLLBACK');
$session->query('BEGIN; SAVEPOINT s; INSERT INTO t VALUES (1, 1); ROLLBACK TO s; COMMIT');
$session->query('TRUNCATE t');
is($session->query($fetch), '{"sum":null}|database|not preloaded', 'TRUNCATE');

# The rest.
is($session->query("SELECT dashcache_purge(), dashcache_purge(1), dashcache_purge('{1}'::text[]), dashcache_purge(tag => 'tag')"),
	'0|0|0|0', 'a purge has nothing to do');
is($session->query('SELECT count(*) FROM dashcache_entries'), '0', 'no entries');
is($session->query('SELECT widget, hits, misses, fills FROM dashcache_stats ORDER BY 1'),
	"never|0|0|0\nw|0|0|0", 'no counts');
is($session->query('SELECT count(*) FROM dashcache_changes'), '0', 'no journal');
is($session->query('SELECT dashcache_reset_stats()'), '', 'counters can be reset');
$session->query(q{
	SELECT dashcache_watch('w', 'parent');
	INSERT INTO parent VALUES (2);
	SELECT dashcache_unwatch('w', 'parent');
	CREATE ROLE reader;
	SELECT dashcache_grant('default', 'reader');
	SELECT dashcache_revoke('default', 'reader')});
like($session->error('SELECT dashcache_get(NULL::text)'),
	qr/tenant must not be null/, 'errors are the same');
like($session->error("SELECT dashcache_get('x')"),
	qr/invalid input syntax for type bigint: "x"/, 'all of them');
like($session->error("SELECT dashcache_get(1, 'nowhere')"),
	qr/dashboard "nowhere" does not exist/, 'really');

# Loaded into a session as other libraries are.
$session->query("LOAD 'dashcache'");
is($session->query('SHOW dashcache.enabled'), 'on', 'the settings of a session are there');
like($session->error('SET dashcache.memory = 1000'),
	qr/ERROR/, 'those of the server are not');

# With another library the advice names both.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'auto_explain'");
$node->restart;
is( $node->sql('SELECT caching_paused_by FROM dashcache_status'),
	'not preloaded: add dashcache to shared_preload_libraries (auto_explain,dashcache) and restart the server',
	'the advice keeps the libraries that are there');

# Once it is preloaded, all is as if it had always been.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dashcache'");
$node->restart;
is($node->sql("INSERT INTO t VALUES (1, 7); $fetch; $fetch"),
	qq({"sum":7}|database|cold\n{"sum":7}|cache|), 'preloaded, it caches');
is($node->sql("INSERT INTO t VALUES (1, 1); $fetch"),
	'{"sum":8}|database|changed', 'and notices changes');

# And not preloaded again, in the middle of its life.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->sql("INSERT INTO t VALUES (1, 1); $fetch"),
	'{"sum":9}|database|not preloaded', 'not preloaded any more, it computes');
$node->sql('DROP EXTENSION dashcache');
is( $node->sql("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dashcache%'"),
	'0', 'it can be dropped without');

$node->stop('fast');
done_testing();
