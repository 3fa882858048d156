# Upgrades: of the extension, in whatever order the library and the SQL objects come;
# and of the server, by pg_upgrade.

use strict;
use warnings;

use Cwd;
use Dashcache::Test;
use File::Basename;
use File::Copy;
use File::Path;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($version) = slurp_file('dashcache.control') =~ /^default_version = '(.*)'/m;
my $next = $version =~ s/(\d+)$/$1 + 1/er;

# An installation of our own: links to the one that is tested, but for programs,
# by which PostgreSQL finds it, and for what is changed below.
my %config = map { my $what = $_; my $value = `pg_config --$what`; chomp $value; ($what => $value) } qw(bindir sharedir pkglibdir);
my ($root) = $config{bindir} =~ m!^(.*?)/usr/!;
my $install = PostgreSQL::Test::Utils::tempdir_short();
system_or_bail('cp', '-rs', "$root/usr", $install);
my %own = map { $_ => $install . substr($config{$_}, length $root) } keys %config;
system_or_bail("rm -rf '$own{bindir}' && cp -rL '$config{bindir}' '$own{bindir}'");
my $extension = "$own{sharedir}/extension";
my $library = "$own{pkglibdir}/dashcache.so";

sub put
{
	my ($file, $text) = @_;

	unlink $file;
	open my $fh, '>:raw', "$file.new" or die "could not write $file: $!";
	print $fh $text;
	close $fh;
	rename "$file.new", $file;
	return;
}

# What a next version would be: with an object more, and a library that says so.
sub install_next
{
	my $sql = slurp_file("$config{sharedir}/extension/dashcache--$version.sql");
	my $more = "CREATE FUNCTION dashcache.more() RETURNS int LANGUAGE sql RETURN 1;\n"
	  . "COMMENT ON FUNCTION dashcache.more() IS 'more';\nALTER TABLE dashcache.dashboard ADD COLUMN more int;\n";
	my $binary = slurp_file("$config{pkglibdir}/dashcache.so");

	($binary =~ s/\x{00}\Q$version\E\x{00}/\x{00}$next\x{00}/g) == 1 or die 'could not tell where the library has its version';
	put($library, $binary);
	put("$extension/dashcache--$next.sql", $sql . $more);
	put("$extension/dashcache--$version--$next.sql", $more);
	put("$extension/dashcache.control", slurp_file('dashcache.control') =~ s/^default_version = .*/default_version = '$next'/mr);
	return;
}

my $node = new_node('main', install_path => dirname($own{bindir}), extension => 0, conf => "dashcache.workers = 2");
my $setup = q{
	SET client_min_messages = warning;
	CREATE EXTENSION dashcache;
	CREATE EXTENSION IF NOT EXISTS citext;
	CREATE TABLE t (company citext, id bigint, x int);
	INSERT INTO t SELECT 'c' || i % 5, i % 5, i FROM generate_series(1, 100) i;
	SELECT dashcache_define('w', 'SELECT sum(x) FROM t WHERE id = $1 AND x > 3');
	SELECT dashcache_define('c', 'SELECT sum(x) FROM t WHERE company = $1', 'c');
	SELECT dashcache_get(1), dashcache_get('C1', 'c')};
my $sources = 'SELECT source FROM dashcache_fetch(1) UNION ALL SELECT source FROM dashcache_fetch($$C1$$, $$c$$)';

# It works, once what has come from elsewhere was looked at.
sub works
{
	my ($server, $dbname, $name) = @_;

	$server->wait_for('SELECT count(*) = 0 FROM dashcache.unverified()', $dbname);
	$server->sql('SELECT dashcache_get(1), dashcache_get($$C1$$, $$c$$)', $dbname);
	is($server->sql($sources, $dbname), "cache\ncache", "$name: answers are kept");
	$server->sql('INSERT INTO t VALUES ($$c1$$, 1, 1000)', $dbname);
	is($server->sql('SELECT data FROM dashcache_fetch(1) UNION ALL SELECT data FROM dashcache_fetch($$C1$$, $$c$$)', $dbname),
		$server->sql('SELECT json_build_object($$sum$$, sum(x)) FROM t WHERE id = 1 AND x > 3 UNION ALL SELECT json_build_object($$sum$$, sum(x)) FROM t WHERE company = $$C1$$', $dbname) =~ s/ : /:/gr,
		"$name: and right after a change");
	is($server->sql('SELECT * FROM dashcache_check() WHERE severity <> $$notice$$', $dbname), '', "$name: all is well");
	return;
}

#
# A new library, before and after the restart that loads it.
#
$node->sql("CREATE DATABASE $_") foreach ('sql_first', 'library_first', 'dropped');
$node->sql($setup, $_) foreach ('sql_first', 'library_first', 'dropped');
is($node->sql($sources, 'sql_first'), "cache\ncache", 'with the old version');
my $writer = $node->session(dbname => 'library_first');
install_next();

my $session = $node->session(dbname => 'sql_first');
$session->query('SELECT dashcache_get(1)');
$session->query('ALTER EXTENSION dashcache UPDATE');
foreach my $call ('dashcache_get(1)', q{dashcache_define('x', 'SELECT 1')}, 'dashcache_repair()', '* FROM dashcache_entries')
{
	my $error = $session->error("SELECT $call");
	like($error, qr/ERROR:  extension dashcache is of version \Q$next\E, and its library of version \Q$version\E/, "SQL objects newer than the library: $call");
	like($error, qr/HINT:  Restart the server/, 'it is said what to do');
}
$session->query('UPDATE t SET x = x + 1 WHERE id = 1; ALTER TABLE t ADD COLUMN y int; CREATE TABLE u (); DROP TABLE u');
pass('writers, and DDL, go on');
$_->quit foreach ($session, $writer);

$node->restart;
works($node, 'sql_first', 'ALTER EXTENSION, then the restart');
my ($result, $out, $error) = $node->psql('library_first', 'SELECT dashcache_get(1)');
like($error, qr/ERROR:  extension dashcache is of version \Q$version\E, and its library of version \Q$next\E/, 'a library newer than the SQL objects');
like($error, qr/HINT:  Run ALTER EXTENSION dashcache UPDATE/, 'it is said what to do');
$session = $node->session(dbname => 'library_first');
$session->query('UPDATE t SET x = x + 1 WHERE id = 1; ALTER TABLE t ADD COLUMN y int; CREATE TABLE u (); DROP TABLE u');
pass('writers, and DDL, go on');

# A writer from before, whom the triggers have not noted.
$session->query('BEGIN; UPDATE t SET x = x + 1 WHERE id = 1');
$node->sql('ALTER EXTENSION dashcache UPDATE', 'library_first');
is($node->sql($sources, 'library_first'), "database\ndatabase", 'nothing is kept while such a writer is there');
$session->query('COMMIT');
works($node, 'library_first', 'the restart, then ALTER EXTENSION');
$node->sql('DROP EXTENSION dashcache', 'dropped');
is($node->sql(q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dashcache%'}, 'dropped'), '0', 'what was not updated can be dropped');

#
# From whatever version, the same objects.
#
my $objects = q{
	SELECT regexp_replace(i.identity, 'pg_temp_\d+', 'pg_temp'), i.type,
		CASE d.classid
			WHEN 'pg_proc'::regclass THEN pg_get_functiondef(d.objid)
			WHEN 'pg_class'::regclass THEN (SELECT concat_ws(' ', relkind, relpersistence, relrowsecurity, reloptions::text, CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) END) FROM pg_class WHERE oid = d.objid)
			WHEN 'pg_event_trigger'::regclass THEN (SELECT concat_ws(' ', evtevent, evtenabled, evttags::text, evtfoid::regproc) FROM pg_event_trigger WHERE oid = d.objid)
		END,
		obj_description(d.objid, d.classid::regclass::name),
		(SELECT p.initprivs::text FROM pg_init_privs p WHERE p.classoid = d.classid AND p.objoid = d.objid AND p.objsubid = 0),
		CASE WHEN d.classid = 'pg_class'::regclass THEN (SELECT relacl::text FROM pg_class WHERE oid = d.objid)
			WHEN d.classid = 'pg_proc'::regclass THEN (SELECT proacl::text FROM pg_proc WHERE oid = d.objid) END
	FROM pg_depend d
	CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
	WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dashcache') AND d.deptype = 'e'
	UNION ALL
	SELECT a.attrelid::regclass::text, 'column ' || a.attnum, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attcollation::regcollation, pg_get_expr(f.adbin, f.adrelid)), col_description(a.attrelid, a.attnum), NULL, a.attacl::text
	FROM pg_attribute a JOIN pg_depend d ON d.objid = a.attrelid AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
	LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
	WHERE a.attnum > 0 AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dashcache')
	UNION ALL
	SELECT c.conrelid::regclass::text, 'constraint', c.conname || pg_get_constraintdef(c.oid), NULL, NULL, NULL FROM pg_constraint c WHERE c.connamespace = 'dashcache'::regnamespace
	UNION ALL
	SELECT i.tablename, 'index', i.indexdef, NULL, NULL, NULL FROM pg_indexes i WHERE i.schemaname = 'dashcache'
	UNION ALL
	SELECT g.tgrelid::regclass::text, 'trigger', concat(pg_get_triggerdef(g.oid), g.tgenabled), obj_description(g.oid, 'pg_trigger'), NULL, NULL FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid AND c.relnamespace = 'dashcache'::regnamespace WHERE NOT g.tgisinternal
	UNION ALL
	SELECT 'extension', c.relation::regclass::text, c.condition, NULL, NULL, x.extversion FROM pg_extension x, unnest(x.extconfig, x.extcondition) c (relation, condition) WHERE x.extname = 'dashcache'
	ORDER BY 1, 2, 3};

sub same_objects
{
	my ($from, $to) = @_;

	$node->sql("CREATE DATABASE fresh; CREATE DATABASE updated");
	$node->sql("CREATE EXTENSION dashcache VERSION '$to'", 'fresh');
	$node->sql("CREATE EXTENSION dashcache VERSION '$from'; ALTER EXTENSION dashcache UPDATE TO '$to'", 'updated');
	my ($fresh, $updated) = map { $node->sql($objects, $_) } ('fresh', 'updated');
	is($updated, $fresh, "version $to is the same as updated from $from");
	cmp_ok(scalar(split /\n/, $fresh), '>', 100, 'many objects');
	$node->sql("DROP DATABASE fresh; DROP DATABASE updated");
	return;
}
my @released = sort map { /--([\d.]+)\.sql$/ ? $1 : () } glob 'sql/dashcache--*.sql';
cmp_ok(scalar @released, '>=', 1, 'there is a version to begin with');
same_objects($_, $version) foreach @released;
same_objects($_, $next) foreach @released;

#
# pg_upgrade, which keeps all rows, the OIDs of tables and types, and no others.
#
my $old = new_node('old', extension => 0, conf => 'dashcache.workers = 2');
$old->sql('CREATE DATABASE app');
$old->sql($setup, 'app');
# functions and operators of citext get other OIDs there
my $system = $old->sql('SELECT system_identifier FROM pg_control_system()');
my $answer = $old->sql('SELECT data FROM dashcache_fetch(1)', 'app');
$old->stop;
foreach my $mode ('--copy', '--link')
{
	my $new = new_node("new$mode", start => 0);
	my $dir = PostgreSQL::Test::Utils::tempdir_short();

	my $here = getcwd;
	my $said;

	chdir $dir or die "could not change directory: $!";
	my $status = IPC::Run::run([ 'pg_upgrade', $mode eq '--link' ? '--link' : (), '-b', $config{bindir}, '-B', $config{bindir},
			'-d', $old->data_dir, '-D', $new->data_dir, '-p', $old->port, '-P', $new->port, '-s', $dir ], '>&', \$said);
	chdir $here or die "could not change directory: $!";
	ok($status, "pg_upgrade $mode") or diag($said);
	$new->append_conf('postgresql.conf', 'dashcache.workers = 0');
	$new->start;
	isnt($new->sql('SELECT system_identifier FROM pg_control_system()'), $system, 'it is another server');
	is($new->sql('SELECT count(*) FROM dashcache.verified; SELECT count(*) FROM dashcache.unverified()', 'app'), "2\n2", 'what the old one has found out is there, and not believed');
	is($new->sql('SELECT data, source, reason FROM dashcache_fetch(1)', 'app'), "$answer|database|uncertain", 'answers are computed');
	$new->sql('UPDATE t SET x = x + 1 WHERE id = 1; ALTER TABLE t ADD COLUMN z int', 'app');
	is($new->sql('SELECT bool_and(version::text::bigint < pg_current_xact_id()::text::bigint) FROM dashcache.widget', 'app'), 't', 'versions are of the past');
	$new->append_conf('postgresql.conf', 'dashcache.workers = 2');
	$new->restart;
	works($new, 'app', "pg_upgrade $mode");
	$new->stop('immediate');
}

done_testing();
