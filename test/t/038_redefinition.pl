# A definition is replaced in a transaction that also changes the data: whoever sees the
# data gets the answer of the new definition, also in the moment between the commit and the
# message that makes sessions read definitions again (definers.c).

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $plain = 300;
my $prepared = 60;
my $node = new_node('main');

$node->sql(q{
	CREATE TABLE version (v int);
	INSERT INTO version VALUES (0);
	CREATE PROCEDURE redefine() LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE version SET v = v + 1;
		PERFORM dashcache_define('w', format('SELECT %s + 0 * coalesce($1::int, 0)', v), result => 'value') FROM version;
	END $$;
	CREATE PROCEDURE redefine(times int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. times LOOP
			CALL redefine();
			COMMIT;
		END LOOP;
	END $$;
	SET client_min_messages = warning;
	CALL redefine();

	-- In one snapshot: what the cache says, where that is older than the snapshot. It may
	-- be newer: as with a view, the latest definition is what is computed, never served.
	CREATE FUNCTION compare() RETURNS text LANGUAGE sql STABLE AS $$
		SELECT concat_ws(' ', c.source, c.data, 'instead of', v)
		FROM dashcache_fetch((random() * 3)::int) c, version
		WHERE c.data::text::int < v OR (c.data::text::int > v AND c.source = 'cache')
	$$;
	CREATE PROCEDURE compare(until int, INOUT n int, INOUT wrong text[]) LANGUAGE plpgsql AS $$
	DECLARE
		said text;
	BEGIN
		n := 0;
		WHILE (SELECT v FROM version) < until LOOP
			said := compare();
			IF said IS NOT NULL THEN
				wrong := wrong || said;
			END IF;
			n := n + 1;
			COMMIT;
		END LOOP;
	END $$;
});

my $definer = $node->session;
my @readers = map { $node->session } 1 .. 4;

$definer->query('SET client_min_messages = warning');
$_->start(sprintf q{CALL compare(%d, 0, '{}')}, 1 + $plain + $prepared) foreach @readers;
$definer->query("CALL redefine($plain)");
foreach (1 .. $prepared)
{
	$definer->query("BEGIN; CALL redefine(); PREPARE TRANSACTION 'redefinition'");
	$definer->query("COMMIT PREPARED 'redefinition'");
}
my $reads = 0;
foreach my $reader (@readers)
{
	my ($n, $wrong) = split /\|/, $reader->finish;

	$reads += $n;
	is($wrong, '{}', 'no answer of a definition that was no longer in force');
}
cmp_ok($reads, '>', $plain + $prepared, 'and many reads');
cmp_ok($node->sql('SELECT sum(hits) FROM dashcache_stats'), '>', 0, 'hits among them');

# Waiting is for those that have ended: one that goes on, or is prepared, stops nobody.
$definer->query("BEGIN; CALL redefine()");
is($node->sql('SELECT compare()'), '', 'while a definition is replaced the old one is in force');
$definer->query("PREPARE TRANSACTION 'redefinition'");
is($node->sql('SELECT compare()'), '', 'also when that is prepared');
is($node->sql('SELECT compare()'), '', 'and so for the next call');
$definer->query("ROLLBACK PREPARED 'redefinition'");
is($node->sql('SELECT compare()'), '', 'and after it is rolled back');

done_testing();
