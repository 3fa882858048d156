# The extension goes, by whatever way, and leaves nothing behind; databases go, and
# nothing of them is seen in those that come after, or are copies of them.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => q{
shared_preload_libraries = 'dashcache, pg_cron'
cron.use_background_workers = on
cron.database_name = 'postgres'
dashcache.workers = 2
}, extension => 0);

$node->sql(q{
	CREATE EXTENSION pg_cron;
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA cron TO app;
	CREATE TABLE t (company_id bigint, x int);
	GRANT ALL ON t TO app;
	GRANT CREATE ON SCHEMA public TO app;
	INSERT INTO t SELECT i % 5, i FROM generate_series(1, 100) i;
	CREATE TABLE p (company_id bigint, x int) PARTITION BY LIST (company_id);
	CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
	CREATE FUNCTION slow(x int) RETURNS int STABLE LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(3600); RETURN x; END$$;
});

# A dashboard with all that there can be.
sub set_up
{
	my ($schema) = @_;

	$node->sql(qq{
		SET client_min_messages = warning;
		CREATE SCHEMA IF NOT EXISTS "$schema";
		CREATE EXTENSION dashcache SCHEMA "$schema";
		GRANT USAGE ON SCHEMA "$schema" TO app;
		GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "$schema" TO app;
		SET search_path = public, "$schema";
		SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = \$1');
		SELECT dashcache_define('p', 'SELECT sum(x) FROM p WHERE company_id = \$1');
		SELECT dashcache_define('slow', 'SELECT slow(x) FROM t WHERE company_id = \$1', 'slow', result => 'rows');
		SELECT dashcache_schedule('0 6 * * *', 'default'), dashcache_schedule('1 hour', 'default');
		SELECT dashcache_alter_job(dashcache_schedule('0 8 * * *', 'default'), active => false);
		SET ROLE app;
		SELECT dashcache_define('a', 'SELECT count(*) FROM t WHERE company_id = \$1', 'apps');
		SELECT dashcache_schedule('0 7 * * *');
		RESET ROLE;
		SELECT cron.schedule('another''s', '\@daily', 'SELECT 1');
		SELECT dashcache_get(1)});
	return;
}

my $leftovers = q{
	SELECT 'trigger', tgrelid::regclass::text || ' ' || tgname FROM pg_trigger WHERE tgname LIKE 'dashcache%'
	UNION ALL SELECT 'event trigger', evtname FROM pg_event_trigger
	UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE nspname LIKE 'dashcache%'
	UNION ALL SELECT 'function', proname FROM pg_proc WHERE proname LIKE 'dashcache%' OR prosrc LIKE '%dashcache%'
	UNION ALL SELECT 'relation', relname FROM pg_class WHERE relname LIKE 'dashcache%'
	UNION ALL SELECT 'job', jobname FROM cron.job WHERE jobname <> 'another''s'};

sub nothing_is_left
{
	my $name = shift;

	# one that was to come may look once more
	$node->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dashcache worker'});
	is($node->sql($leftovers), '', "$name leaves nothing behind");
	is($node->sql(q{SELECT count(*) FROM cron.job}), '1', "... but what is another's");
	return;
}

#
# DROP EXTENSION
#
set_up('public');
is($node->sql('SELECT count(*) FROM cron.job WHERE jobname LIKE $$dashcache%$$'), '2', 'there are jobs in pg_cron');
$node->sql('BEGIN; DROP EXTENSION dashcache; ROLLBACK');
is($node->sql('SELECT count(*) FROM cron.job WHERE jobname LIKE $$dashcache%$$'), '2', 'and still after a rollback');
my ($result, $out, $error) = $node->psql('postgres', 'SET ROLE app; DROP EXTENSION dashcache');
like($error, qr/must be owner of extension dashcache/, 'not everybody may drop it');
$node->sql(q{
	CREATE SCHEMA alike AUTHORIZATION app;
	SET ROLE app;
	CREATE VIEW alike.dashcache_status AS SELECT 1;
	SET client_min_messages = warning;
	DROP SCHEMA alike CASCADE;
	RESET ROLE;
	SELECT dashcache_get(1)});
is($node->sql('SELECT count(*) FROM cron.job WHERE jobname LIKE $$dashcache%$$'), '2', 'and a schema that looks like its own is another one');
$node->sql('CREATE VIEW mine AS SELECT * FROM dashcache_stats');
($result, $out, $error) = $node->psql('postgres', 'DROP EXTENSION dashcache');
like($error, qr/view mine depends on view dashcache_stats/, 'nor while something depends on it');
is($node->sql('SELECT count(*) FROM cron.job WHERE jobname LIKE $$dashcache%$$'), '2', 'which leaves the jobs alone');
is($node->sql('SELECT source FROM dashcache_fetch(1, widget => $$w$$)'), 'cache', 'and the entries');

# In the middle of use: by a worker, a reader, and a writer, whom it waits for.
$node->sql(q{SELECT dashcache_warm('slow', 1, wait => false)});
$node->wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dashcache worker' AND wait_event = 'PgSleep'});
my ($reader, $writer, $dropper) = map { $node->session } 1 .. 3;
is($reader->query('SELECT source FROM dashcache_fetch(1, widget => $$w$$)'), 'cache', 'a reader');
$writer->query('BEGIN; INSERT INTO t VALUES (1, 1)');
$dropper->start('DROP EXTENSION dashcache CASCADE');
$dropper->wait_for_lock;
$reader->start('SELECT source FROM dashcache_fetch(1, widget => $$w$$)');
$writer->query('INSERT INTO t VALUES (2, 1); COMMIT');
$dropper->finish;
($out, $error) = $reader->finish;
ok($out =~ /^(cache|database)$/ || $error =~ /does not exist|could not open relation|cache lookup failed/, 'a reader is answered, or told that it is gone')
  or diag("$out $error");
nothing_is_left('DROP EXTENSION CASCADE in the middle of use');
is($node->sql(q{SELECT count(*) FROM pg_class WHERE relname = 'mine'}), '0', 'what depended on it is gone');
$writer->query('INSERT INTO t VALUES (1, 1)');
like($reader->error('SELECT dashcache_get(1)'), qr/function dashcache_get\(integer\) does not exist/, 'sessions go on without it');

#
# With its schema, whose name wants quoting, and was another one.
#
set_up('Odd 100% x');
is($node->sql(q{SELECT count(*) FROM cron.job WHERE command LIKE 'SELECT "Odd 100% x".dashcache_run_job(%)'}), '2', 'in a schema with an odd name');
($result, $out, $error) = $node->psql('postgres', 'ALTER EXTENSION dashcache SET SCHEMA public');
like($error, qr/extension "dashcache" does not support SET SCHEMA/, 'it stays in its schema');
$node->sql('ALTER SCHEMA "Odd 100% x" RENAME TO "Odd y"');
$node->sql('SELECT "Odd y".dashcache_get(1)');
is($node->sql('SELECT source FROM "Odd y".dashcache_fetch(1, widget => $$w$$)'), 'cache', 'which may be renamed');
is($node->sql('SELECT "Odd y".dashcache_schedule($$1 day$$, $$default$$, 1::bigint)'), '5', 'its functions find each other');
is($node->sql(q{SELECT object, problem FROM "Odd y".dashcache_check() WHERE object LIKE 'job%' ORDER BY 1}),
	"job 1|pg_cron has no job for it: it does not run\njob 4|pg_cron has no job for it: it does not run", 'and what pg_cron would no longer find is told');
$node->sql($_) foreach split /\n/, $node->sql(q{SELECT fix FROM "Odd y".dashcache_check() WHERE object LIKE 'job%'});
is($node->sql(q{SELECT count(*) FROM cron.job WHERE command LIKE 'SELECT "Odd y".dashcache_run_job(%)'}), '2', 'the fix mends it');
is($node->sql('SELECT count(*) FROM "Odd y".dashcache_check() WHERE severity = $$error$$'), '0', 'all is well');
$node->sql('SET client_min_messages = warning; DROP SCHEMA "Odd y" CASCADE');
nothing_is_left('DROP SCHEMA CASCADE');

#
# With its owner.
#
set_up('public');
$node->sql(q{
	SET client_min_messages = warning;
	DROP EXTENSION dashcache;
	CREATE ROLE boss SUPERUSER LOGIN;
	SET SESSION AUTHORIZATION boss;
	CREATE EXTENSION dashcache;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1');
	SELECT dashcache_schedule('0 6 * * *', 'default')});
$node->sql('DROP OWNED BY app');
is($node->sql('SELECT count(*) FROM cron.job'), '2', 'DROP OWNED by others leaves it alone');
$node->sql('DROP OWNED BY boss CASCADE');
nothing_is_left('DROP OWNED');
$node->sql('GRANT USAGE ON SCHEMA cron TO app; GRANT ALL ON t TO app; GRANT CREATE ON SCHEMA public TO app');

#
# What pg_cron refuses keeps nobody from going.
#
set_up('public');
$node->sql('ALTER FUNCTION cron.unschedule(bigint) RENAME TO elsewhere');
($result, $out, $error) = $node->psql('postgres', 'DROP EXTENSION dashcache');
like($error, qr/WARNING:  could not remove "dashcache job 1" of pg_cron/, 'what pg_cron refuses is told');
is($result, 0, 'and the extension goes');
$node->sql(q{ALTER FUNCTION cron.elsewhere(bigint) RENAME TO unschedule; SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname LIKE 'dashcache%'});
nothing_is_left('that');
$node->sql('DROP EXTENSION pg_cron; CREATE EXTENSION dashcache; DROP EXTENSION dashcache');

#
# Databases.
#
my $used = sub { return $node->sql('SELECT memory_used FROM dashcache_status') };
my $setup = q{
	SET client_min_messages = warning;
	CREATE EXTENSION dashcache;
	CREATE TABLE t (company_id bigint, x text);
	INSERT INTO t SELECT i % 500, repeat('x', 500) FROM generate_series(1, 1000) i;
	SELECT dashcache_define('w', 'SELECT max(x) FROM t WHERE company_id = $1');
	SELECT dashcache_configure(warm_on_change => true);
	SELECT dashcache_schedule('1 hour')};
my $fill = 'SELECT count(dashcache_get(i)) FROM generate_series(0, 499) i';

$node->sql('CREATE EXTENSION dashcache');
my $before = $used->();
$node->sql('CREATE DATABASE db OID = 60000');
$node->sql($setup, 'db');
$node->sql($fill, 'db');
$node->sql('INSERT INTO t VALUES (1, repeat($$y$$, 500))', 'db');
$node->sql($fill, 'db');
is($node->sql('SELECT entries, hits > 400 FROM dashcache_stats', 'db'), '500|t', 'a database');
is($node->sql('SELECT count(*) FROM dashcache_changes', 'db'), '1', 'with a change');

# A copy has what was defined, and a cache of its own.
$node->sql('CREATE DATABASE copy TEMPLATE db');
is($node->sql('SELECT count(*) FROM dashcache_entries', 'copy'), '0', 'a copy begins without entries');
is($node->sql('SELECT hits FROM dashcache_stats', 'copy'), '0', 'and counters');
is($node->sql('SELECT source FROM dashcache_fetch(1)', 'copy'), 'database', 'it computes');
is($node->sql('SELECT source FROM dashcache_fetch(1)', 'copy'), 'cache', 'and keeps');
is($node->sql('SELECT count(*) FROM dashcache.unverified()', 'copy'), '0', 'nothing has to be looked at again');
$node->sql('INSERT INTO t VALUES (1, $$z$$)', 'copy');
is($node->sql('SELECT data FROM dashcache_fetch(1)', 'copy'), '{"max":"z"}', 'its changes count there');
like($node->sql('SELECT data FROM dashcache_fetch(1)', 'db'), qr/yyy/, 'and there alone');
is($node->sql('SELECT count(*) FROM dashcache_jobs WHERE next_run > now()', 'copy'), '1', 'its jobs are its own');
$node->sql('DROP DATABASE copy');

# One of the same OID, and with definitions of the same numbers.
$node->sql('DROP DATABASE db');
cmp_ok($used->(), '<', $before + 50000, 'DROP DATABASE gives back the memory at once');
$node->sql('CREATE DATABASE db OID = 60000');
$node->sql($setup, 'db');
is($node->sql('SELECT count(*) FROM dashcache_entries', 'db'), '0', 'a database of the same OID finds no entries');
is($node->sql('SELECT hits, misses, entries FROM dashcache_stats', 'db'), '0|0|0', '... no counters');
is($node->sql('SELECT count(*) FROM dashcache_changes', 'db'), '0', '... no changes');
is($node->sql('SELECT count(*) FROM dashcache_runs', 'db'), '0', '... no runs');
is($node->sql('SELECT source FROM dashcache_fetch(1)', 'db'), 'database', '... and computes');
$node->sql($fill, 'db');
$node->sql('DROP EXTENSION dashcache', 'db');
cmp_ok($used->(), '<', $before + 50000, 'DROP EXTENSION gives back the memory, too');
($result, $out, $error) = $node->psql('postgres', 'DROP DATABASE postgres');
like($error, qr/cannot drop the currently open database/, 'what fails');
$node->sql(q{CREATE TABLE kept (company_id bigint); SELECT dashcache_define('w', 'SELECT count(*) FROM kept WHERE company_id = $1')});
$node->sql('SELECT dashcache_get(1)');
is($node->sql('SELECT source FROM dashcache_fetch(1)'), 'cache', 'takes nothing away');


# One of the same OID and with definitions of the same versions, as a copy of a copy has
# them, while the entries that were saved of the first have not been read yet.
$node->sql('CREATE DATABASE first OID = 60001');
$node->sql(q{SET client_min_messages = warning;
	CREATE EXTENSION dashcache;
	CREATE TABLE t (company_id bigint, x int);
	INSERT INTO t VALUES (1, 1);
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE company_id = $1', ttl => NULL)}, 'first');
$node->sql('CREATE DATABASE copy TEMPLATE first');
is($node->sql('SELECT version FROM dashcache.widget', 'copy'), $node->sql('SELECT version FROM dashcache.widget', 'first'), 'a copy has the same versions');
$node->sql('UPDATE t SET x = 2', 'copy');
$node->sql('SELECT dashcache_get(1)', 'first');
is($node->sql('SELECT data, source FROM dashcache_fetch(1)', 'first'), '{"sum":1}|cache', 'what is going to be saved');
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
$node->sql('DROP DATABASE first');
$node->sql('CREATE DATABASE first OID = 60001 TEMPLATE copy');
$node->sql('SELECT dashcache_purge(1)');
like(slurp_file($node->logfile), qr/dashcache restored \d+ of \d+ entries/, 'entries have been read');
is($node->sql('SELECT data, source FROM dashcache_fetch(1)', 'first'), '{"sum":2}|database', 'those of the first are not seen in the other');
$node->sql('BEGIN; DROP EXTENSION dashcache CASCADE; ROLLBACK', 'first');
is($node->sql('SELECT data, source FROM dashcache_fetch(1)', 'first'), '{"sum":2}|cache', 'a DROP EXTENSION that is rolled back takes nothing away');

done_testing();
