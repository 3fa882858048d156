# Databases in other encodings than UTF8, and clients in others than the database's.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main', extension => 0);

# The same in each: names, tenants, answers and tags with letters beyond ASCII. psql
# sends and gets UTF8, whatever the database is in.
foreach my $encoding (qw(UTF8 LATIN1 WIN1252 EUC_JP))
{
	my $word = $encoding eq 'EUC_JP' ? "\xE6\x97\xA5\xE6\x9C\xAC" : "gr\xC3\xB6\xC3\x9Fe";
	my $database = lc $encoding;

	$node->sql("CREATE DATABASE $database ENCODING $encoding LOCALE 'C' TEMPLATE template0");
	$node->sql('CREATE EXTENSION dashcache', $database);
	my $session = $node->session(dbname => $database);
	$session->query("SET client_encoding = 'UTF8'; SET client_min_messages = warning");

	is($session->query('SHOW server_encoding'), $encoding, "a database in $encoding");
	$session->query(qq{
		CREATE TABLE "$word" (company text, x text);
		INSERT INTO "$word" VALUES ('$word', 'x$word'), ('other', 'y');
		SELECT dashcache_define('$word', 'SELECT x AS "$word" FROM "$word" WHERE company = \$1', '$word', tags => ARRAY['$word'])});
	is($session->query("SELECT dashcache_get('$word', '$word')"),
		qq({"$word":[{"$word":"x$word"}]}), 'the answer has its letters');
	is( $session->query("SELECT widget, data, source FROM dashcache_fetch('$word', '$word', '$word')"),
		qq($word|[{"$word":"x$word"}]|cache),
		'also from the cache');
	is( $session->query(
			qq{SELECT (SELECT '[' || row_to_json(q)::text || ']' FROM (SELECT x AS "$word" FROM "$word" WHERE company = '$word') q) = dashcache_get('$word', '$word', '$word')::text}),
		't',
		'byte by byte what row_to_json() makes of it');
	$session->query(qq{UPDATE "$word" SET x = 'z$word' WHERE company = '$word'});
	is($session->query("SELECT data, source FROM dashcache_fetch('$word', '$word')"),
		qq([{"$word":"z$word"}]|database), 'a change is seen');
	is( $session->query(
			"SELECT dashboard, widget, tenant FROM dashcache_entries"),
		"$word|$word|$word",
		'the views show them');
	is($session->query("SELECT tenant FROM dashcache_changes LIMIT 1"),
		$word, 'also the journal');

	# a tenant so long that the journal cuts it: between two characters
	$session->query(qq{INSERT INTO "$word" VALUES ('a' || repeat('$word', 1000), 'x')});
	is( $session->query(
			"SELECT ('a' || repeat('$word', 1000)) LIKE tenant || '%' AND length(tenant) > 10 FROM dashcache_changes LIMIT 1"),
		't',
		'a long tenant is cut between two characters');

	# params and their escapes
	$session->query(
		"SELECT dashcache_define('params', 'SELECT \$2->>''k'' AS k WHERE \$1 = ''a''', 'params')");
	is($session->query(qq{SELECT dashcache_get('a', 'params', 'params', '{"k": "$word"}')}),
		qq({"k":"$word"}), 'params have their letters');
	is( $session->query(qq{SELECT count(*) FROM dashcache_entries WHERE params->>'k' = '$word'}),
		'1', 'and so in the views');
	is($session->query("SELECT dashcache_purge('$word', tag => '$word')"),
		'1', 'a purge finds tenant and tag');

	# another client's encoding changes how it is written, not what it is
	if ($encoding eq 'UTF8' || $encoding eq 'LATIN1')
	{
		$session->query("SELECT dashcache_get('$word', '$word')");
		$session->query("SET client_encoding = 'LATIN1'");
		is($session->query("SELECT data, source FROM dashcache_fetch('gr\xF6\xDFe', 'gr\xF6\xDFe')"),
			qq([{"gr\xF6\xDFe":"zgr\xF6\xDFe"}]|cache),
			'a client in LATIN1 gets the same entry in its letters');
	}
	$session->quit;
}

# Bytes that are nothing to the server: SQL_ASCII.
$node->sql("CREATE DATABASE sql_ascii ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0");
$node->sql('CREATE EXTENSION dashcache', 'sql_ascii');
my $session = $node->session(dbname => 'sql_ascii');
my $bytes = "b\xFFy\xC3te\xE9";

$session->query("SET client_min_messages = warning");
$session->query(qq{
	CREATE TABLE t (company text, x text);
	INSERT INTO t VALUES ('$bytes', 'x$bytes');
	SELECT dashcache_define('$bytes', 'SELECT x FROM t WHERE company = \$1', '$bytes')});
is($session->query("SELECT dashcache_get('$bytes', '$bytes')"),
	qq({"$bytes":[{"x":"x$bytes"}]}), 'SQL_ASCII: bytes come out as they went in');
is($session->query("SELECT data, source FROM dashcache_fetch('$bytes', '$bytes')"),
	qq([{"x":"x$bytes"}]|cache), 'also from the cache');
$session->query("INSERT INTO t VALUES ('$bytes', 'y')");
is($session->query("SELECT data, source FROM dashcache_fetch('$bytes', '$bytes')"),
	qq([{"x":"x$bytes"},{"x":"y"}]|database), 'a change is seen');
$session->query("INSERT INTO t VALUES (repeat('$bytes', 1000), 'y')");
is( $session->query("SELECT left(repeat('$bytes', 1000), length(tenant)) = tenant FROM dashcache_changes LIMIT 1"),
	't', 'a long tenant is cut somewhere');
is($session->query("SELECT dashcache_purge('$bytes')"), '1', 'a purge finds it');
$session->quit;

# Databases do not see each other's entries, though all else about them is the same.
$node->sql("CREATE DATABASE $_ TEMPLATE template0") foreach qw(one two);
foreach my $database (qw(one two))
{
	$node->sql(
		"CREATE EXTENSION dashcache; CREATE TABLE t (company_id int, x text); INSERT INTO t VALUES (1, '$database');
		SELECT dashcache_define('w', 'SELECT x FROM t WHERE company_id = \$1')", $database);
}
foreach my $database (qw(one two one two))
{
	is($node->sql('SELECT dashcache_get(1)', $database),
		qq({"w":[{"x":"$database"}]}), "database $database has its own entry");
}
is($node->sql('SELECT dashcache_purge()', 'one'), '1', 'a purge is that of one database');
is($node->sql('SELECT source FROM dashcache_fetch(1)', 'two'),
	'cache', 'and leaves the others alone');
$node->sql('SELECT dashcache_reset_stats()', 'one');
cmp_ok($node->sql('SELECT hits FROM dashcache_stats', 'two'),
	'>', 0, 'so does resetting the counters');

$node->stop('fast');
done_testing();
