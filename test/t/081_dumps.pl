# Dumps: what is defined comes back and works; what was found out about it is
# found out again, and until then every answer is right and none is kept.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => "dashcache.workers = 2\nlog_min_messages = log", extension => 0);
my $dir = $node->basedir;
my $port = $node->port;
my $host = $node->host;

# Runs a client program; returns what it has written to the standard error.
sub tool
{
	my ($tool, @arguments) = @_;
	my ($out, $error);

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	IPC::Run::run([ $tool, '-h', $host, '-p', $port, @arguments ], '>', \$out, '2>', \$error);
	return $error;
}

# An application with what a dump may trip over: names that want quoting, types of
# its own, partitions, a path, a link table, an expression, overrides.
$node->sql('CREATE ROLE app LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE "Odd Role"; CREATE ROLE gone; CREATE DATABASE app OWNER app');
my $application = q{
	SET client_min_messages = warning;
	CREATE SCHEMA "Odd Schema";
	CREATE EXTENSION dashcache SCHEMA "Odd Schema";
	CREATE SCHEMA app AUTHORIZATION app;
	GRANT USAGE ON SCHEMA app, "Odd Schema" TO reader, app;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "Odd Schema" TO app, reader;
	SET ROLE app;
	SET search_path = app, "Odd Schema";
	CREATE DOMAIN tenant AS bigint CHECK (value > 0);
	CREATE TABLE company (id bigint PRIMARY KEY, name text);
	CREATE TABLE project (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES company);
	CREATE TABLE task (id bigint PRIMARY KEY, project_id bigint REFERENCES project, done boolean NOT NULL, "Odd ""x" int);
	CREATE INDEX ON project (company_id);
	CREATE TABLE visit (company_id tenant, at date, n int) PARTITION BY RANGE (at);
	CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
	CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
	CREATE TABLE note (owner text, body text);
	CREATE TABLE quiet (x int);
	INSERT INTO company SELECT i, 'c' || i FROM generate_series(1, 5) i;
	INSERT INTO project SELECT i, 1 + i % 5 FROM generate_series(1, 20) i;
	INSERT INTO task SELECT i, 1 + i % 20, i % 3 = 0, i FROM generate_series(1, 200) i;
	INSERT INTO visit SELECT 1 + i % 5, date '2020-01-01' + i, i FROM generate_series(1, 700) i;
	INSERT INTO note SELECT 'tenant ' || 1 + i % 5, 'n' || i FROM generate_series(1, 50) i;
	SELECT dashcache_define('tasks', 'SELECT count(*), sum(t."Odd ""x") FROM task t JOIN project p ON p.id = t.project_id WHERE p.company_id = $1 AND NOT t.done', 'board');
	SELECT dashcache_define('visits', 'SELECT sum(n) FROM visit WHERE company_id = $1', 'board', ttl => '1 hour', align => 'day', tags => '{a,"b c"}');
	SELECT dashcache_define('notes', 'SELECT count(*) FROM note WHERE substr(owner, 8)::bigint = $1', 'board');
	SELECT dashcache_watch('notes', 'note', 'substr(owner, 8)', 'board');
	SELECT dashcache_define('gone', 'SELECT 1 AS one WHERE $1 = 1', 'Odd "Board"');
	SELECT dashcache_drop('gone', 'Odd "Board"');
	SELECT dashcache_define('w', 'SELECT name FROM company WHERE id = $1', 'Odd "Board"', ttl => NULL, max_stale => '1 minute');
	SELECT dashcache_grant('board', 'reader'), dashcache_grant('Odd "Board"', '-'), dashcache_grant('board', '"Odd Role"'), dashcache_grant('board', 'gone');
	SELECT dashcache_configure('board', tenants => 'SELECT id FROM company', variants => '[{}, {"a": 1}]');
	SELECT dashcache_schedule('1 hour', 'board'), dashcache_schedule('predictive', 'board');
};
$node->sql($application, 'app');
$node->sql('DROP OWNED BY gone; DROP ROLE gone', 'app');

my $contents = q{
	SET search_path = app, "Odd Schema";
	SELECT widget, data FROM generate_series(1, 5) t, dashcache_fetch(t, 'board') ORDER BY t, widget};
my $truth = q{
	SET search_path = app;
	SELECT w, d FROM generate_series(1, 5) i
	CROSS JOIN LATERAL (
		SELECT 'notes', (SELECT json_build_object('count', count(*)) FROM note WHERE substr(owner, 8)::bigint = i)
		UNION ALL SELECT 'tasks', (SELECT row_to_json(x) FROM (SELECT count(*), sum(t."Odd ""x") FROM task t JOIN project p ON p.id = t.project_id WHERE p.company_id = i AND NOT t.done) x)
		UNION ALL SELECT 'visits', (SELECT json_build_object('sum', sum(n)) FROM visit WHERE company_id = i)) q (w, d)
	ORDER BY i, w};

sub same_text
{
	my $text = shift;

	$text =~ s/ //g;
	return $text;
}

# Every answer is right, wherever it comes from.
sub is_right
{
	my ($dbname, $name) = @_;

	is(same_text($node->sql($contents, $dbname)), same_text($node->sql($truth, $dbname)), "$dbname: $name");
	return;
}

sub sources
{
	my $dbname = shift;

	return $node->sql(q{SET search_path = app, "Odd Schema";
		SELECT string_agg(DISTINCT source || coalesce(' (' || reason || ')', ''), ', ') FROM generate_series(1, 5) t, dashcache_fetch(t, 'board')}, $dbname);
}

my $catalog = q{
	SET search_path = '';
	SELECT d.name, d.owner, d.tenants, d.variants FROM dashcache.dashboard d ORDER BY 1;
	SELECT dashboard, role FROM dashcache.grantee WHERE role::text !~ '^\d' ORDER BY 1, role::text;
	SELECT id, dashboard, name, owner, query, ttl, align, max_stale, result, tags, settings, uses_params, uses_clock, reads_unseen, problem, tenant_type::regtype, roles, standing = dashcache.standing(roles) FROM dashcache.widget ORDER BY 1;
	SELECT typname, grantee::regrole, privilege_type FROM pg_type, aclexplode(typacl) WHERE typnamespace = 'dashcache'::regnamespace AND typname ~ '_dashboards\$' ORDER BY 1, 2::text;
	SELECT widget, number, source::regclass, invalidation, tenant_key, condition, columns, hop_columns FROM dashcache.source ORDER BY 1, 2;
	SELECT * FROM dashcache.override ORDER BY 1;
	SELECT id, dashboard, schedule, kind, every, role, active, anchor FROM dashcache.job ORDER BY 1;
	SELECT tgrelid::regclass, tgname, tgenabled, tgparentid <> 0, tgfoid::regprocedure FROM pg_trigger WHERE tgname ~ '^dashcache' ORDER BY tgrelid::regclass::text, 2;
};

# All is there, and it works.
sub works
{
	my ($dbname, $name) = @_;

	is($node->sql('SELECT count(*) FROM dashcache.unverified()', $dbname), '0', "$dbname: $name has been looked at");
	is($node->sql($catalog, $dbname), $node->sql($catalog, 'app'), "$dbname: all is as it was");
	is($node->sql(q{SELECT * FROM "Odd Schema".dashcache_check() WHERE severity <> 'notice'}, $dbname), '', "$dbname: and well");
	is_right($dbname, 'answers are right');
	is(sources($dbname), 'cache', "$dbname: they are cached");
	$node->sql(q{
		UPDATE app.task SET "Odd ""x" = 1000 WHERE id = 1;
		UPDATE app.visit SET n = n + 1 WHERE company_id = 2 AND at = '2021-02-01';
		INSERT INTO app.visit_1 VALUES (3, '2020-03-03', 7);
		UPDATE app.project SET company_id = 4 WHERE id = 7;
		DELETE FROM app.note WHERE owner = 'tenant 5'}, $dbname);
	is_right($dbname, 'after changes, too');
	is($node->sql(q{SET ROLE reader; SELECT count(*) FROM "Odd Schema".dashcache_fetch(1, 'board')}, $dbname), '3', "$dbname: grants");
	my ($result, $out, $error) = $node->psql($dbname, q{SET ROLE reader; SELECT "Odd Schema".dashcache_define('x', 'SELECT 1', 'board')});
	like($error, qr/must be owner of dashboard "board"|permission denied for function dashcache_define/, "$dbname: and no more than these");
	is($node->sql(q{SELECT "Odd Schema".dashcache_define('new', 'SELECT 1 AS one WHERE $1 = 1', 'new'); SELECT max(id) = (SELECT id FROM dashcache.widget WHERE name = 'new') FROM dashcache.widget}, $dbname),
		"\nt", "$dbname: new widgets have new numbers");
	$node->sql(q{SELECT "Odd Schema".dashcache_drop(dashboard => 'new')}, $dbname);
	return;
}

is_right('app', 'to begin with');
is(sources('app'), 'cache', 'from the cache');
my $verified = 'SELECT count(*) = 0 FROM dashcache.unverified()';

#
# pg_dump | psql
#
is(tool('pg_dump', '-f', "$dir/plain.sql", 'app'), '', 'pg_dump');
$node->sql('CREATE DATABASE plain');
is(tool('psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", 'plain'), '', 'a plain dump is restored');
is($node->sql('SELECT count(*) FROM dashcache.unverified()', 'plain'), '4', 'what has come is not taken on trust');
is_right('plain', 'before anybody has looked at it');
is(sources('plain'), 'database (uncertain)', 'nothing is kept');
$node->sql(q{INSERT INTO app.task VALUES (1001, 1, false, 5)}, 'plain');
is_right('plain', 'nor is anything missed');
is($node->sql(q{SELECT severity, count(*) FROM "Odd Schema".dashcache_check() WHERE problem ~ 'comes from a dump' GROUP BY 1}, 'plain'), 'warning|4', 'dashcache_check() tells');
is($node->sql('SELECT min(next_run) > now() FROM dashcache.job', 'plain'), 't', 'schedules have come along');

#
# pg_dump -Fc, pg_restore -j2
#
is(tool('pg_dump', '-Fc', '-f', "$dir/custom", 'app'), '', 'pg_dump -Fc');
$node->sql('CREATE DATABASE custom');
is(tool('pg_restore', '-j2', '--exit-on-error', '-d', 'custom', "$dir/custom"), '', 'pg_restore -j2');
$node->sql('SELECT "Odd Schema".dashcache_repair()', 'custom');
works('custom', 'what dashcache_repair()');

# Nobody has called it here: a worker has come by itself.
$node->wait_for($verified, 'plain');
$node->sql('DELETE FROM app.task WHERE id = 1001', 'plain');
works('plain', 'what a worker');
like(slurp_file($node->logfile), qr/dashcache has looked at 4 widgets that come from a dump/, 'it is logged');

#
# In two parts.
#
is(tool('pg_dump', '--schema-only', '-f', "$dir/schema.sql", 'app'), '', 'pg_dump --schema-only');
$node->sql('CREATE DATABASE parts');
is(tool('psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/schema.sql", 'parts'), '', 'is restored');
is($node->sql('SELECT count(*) FROM dashcache.dashboard', 'parts'), '0', 'without definitions, which are data');
is(tool('pg_dump', '--data-only', '--disable-triggers', '-f', "$dir/data.sql", 'app'), '', 'pg_dump --data-only --disable-triggers');
is(tool('psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/data.sql", 'parts'), '', 'is restored');
is_right('parts', 'when it is first read');
$node->wait_for($verified, 'parts');
works('parts', 'after it was read, what a worker');

# Over data that is watched already.
$node->sql('TRUNCATE app.company, app.project, app.task, app.visit, app.note, app.quiet', 'parts');
is_right('parts', 'emptied');
is(tool('pg_dump', '--data-only', '--disable-triggers', '-n', 'app', '-f', "$dir/app_data.sql", 'app'), '', 'the data of one schema');
is(tool('psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/app_data.sql", 'parts'), '', 'is loaded with triggers disabled');
is_right('parts', 'loaded');
works('parts', 'what was loaded');

#
# One schema.
#
is(tool('pg_dump', '-n', 'app', '-f', "$dir/one.sql", 'app'), '', 'a dump of one schema');
$node->sql('CREATE DATABASE one');
$node->sql('CREATE SCHEMA "Odd Schema"; CREATE EXTENSION dashcache SCHEMA "Odd Schema"', 'one');
is(tool('psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/one.sql", 'one'), '', 'is restored where the extension is');
is($node->sql(q{UPDATE app.task SET done = true WHERE id = 1; SELECT count(*) FROM dashcache.widget}, 'one'), '0', 'its triggers watch for nobody');
$node->sql('CREATE DATABASE bare');
like(tool('psql', '-qXAt', '-f', "$dir/one.sql", 'bare'), qr/schema "dashcache" does not exist/, 'where it is not, its triggers are refused');
is($node->sql('SELECT count(*) FROM app.task', 'bare'), '200', 'and nothing else');

#
# The owner of the database, who is no superuser.
#
is(tool('pg_dump', '-U', 'app', '-Fc', '-f', "$dir/owner", 'app'), '', 'the owner of a database can dump it');
like(tool('pg_dump', '-U', 'reader', '-n', 'app', '-f', "$dir/no", 'app'), qr/permission denied for table/, 'others cannot');
$node->sql('CREATE DATABASE owner OWNER app');
$node->sql('CREATE SCHEMA "Odd Schema"; GRANT USAGE ON SCHEMA "Odd Schema" TO app, reader; CREATE EXTENSION dashcache SCHEMA "Odd Schema"', 'owner');
my $error = tool('pg_restore', '-U', 'app', '-d', 'owner', "$dir/owner");
like($error, qr/permission denied for table dashboard/, 'but not restore definitions, which could be forged');
is($node->sql('SELECT count(*) FROM app.task', 'owner'), '200', 'the rest he can');
is(tool('pg_restore', '--data-only', '-n', 'dashcache', '-d', 'owner', "$dir/owner"), '', 'a superuser adds them');
$node->sql('SELECT "Odd Schema".dashcache_repair()', 'owner');
works('owner', 'what dashcache_repair()');

#
# Roles that are missing.
#
unlike(slurp_file("$dir/plain.sql"), qr/^board\t\d+$/m, 'who was dropped is not in a dump, where his number could become another\'s');
my $other = new_node('other', extension => 0);
$port = $other->port;
$host = $other->host;
$other->sql('CREATE DATABASE app; CREATE ROLE app LOGIN; CREATE ROLE reader LOGIN');
like(tool('pg_restore', '-d', 'app', "$dir/custom"), qr/role "Odd Role" does not exist/, 'a role that is missing is told');
is($other->sql('SELECT count(*) FROM dashcache.widget; SELECT count(*) FROM dashcache.grantee', 'app'), "4\n0", 'grants are missing then');
$other->sql('CREATE ROLE "Odd Role"');
is(tool('pg_restore', '--data-only', '-n', 'dashcache', '-t', 'grantee', '-d', 'app', "$dir/custom"), '', 'and can be restored once it is there');
$other->sql('SELECT "Odd Schema".dashcache_repair()', 'app');
is($other->sql($catalog, 'app'), $node->sql($catalog, 'app'), 'all is as it was, on another server');

done_testing();
