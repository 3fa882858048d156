# The row trigger's short way, for rows that come or go where the tenant is in a
# column: whatever a row looks like, however it is written, and whatever becomes of
# the transaction, the answers of all tenants are right, and are then served.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $node = new_node('main');
my %tenants;

sub define
{
	my ($table, @tenants) = @_;

	$tenants{$table} = \@tenants;
	$node->sql("SET client_min_messages = warning; SELECT dashcache_define('w', 'SELECT count(*) || ''/'' || coalesce(sum(v), 0) FROM $table WHERE tenant = \$1', '$table', result => 'value', ttl => NULL)");
	right($table, 'at first');
	return;
}

# All tenants of a table have the right answer, and have it from the cache then.
sub right
{
	my ($table, $name) = @_;
	my @wrong;

	foreach my $tenant (@{ $tenants{$table} })
	{
		my $direct = $node->sql("SELECT count(*) || '/' || coalesce(sum(v), 0) FROM $table WHERE tenant = '$tenant'");
		my $fetch = "SELECT data #>> '{}', source FROM dashcache_fetch('$tenant', '$table')";
		my $first = $node->sql($fetch) =~ s/\|\w+$//r;
		my $second = $node->sql($fetch);

		push @wrong, substr($tenant, 0, 20) . ": $first, then $second, instead of $direct"
		  if $first ne $direct || $second ne "$direct|cache";
	}
	is("@wrong", '', "$table: $name");
	return;
}

sub write_and_check
{
	my ($table, $name, $sql) = @_;

	$node->sql($sql);
	right($table, $name);
	return;
}

# The tenant is not in the older rows at all, and behind a dropped column.
$node->sql(q{
	CREATE TABLE late (x text, d int, v int);
	ALTER TABLE late DROP COLUMN d;
	INSERT INTO late SELECT 'x', i FROM generate_series(1, 5) i;
	ALTER TABLE late ADD COLUMN tenant int DEFAULT 7});
define('late', 7, 8);
write_and_check('late', @$_) foreach (
	[ 'a row without the column is deleted', 'DELETE FROM late WHERE v = 1' ],
	[ 'a null in between', 'INSERT INTO late (v, tenant) VALUES (9, 8), (9, NULL), (9, 7)' ],
	[ 'a null at the beginning', 'INSERT INTO late (v, tenant) VALUES (9, NULL), (9, 8)' ],
	[ 'another tenant, rolled back to a savepoint', 'BEGIN; INSERT INTO late (v, tenant) VALUES (3, 7); SAVEPOINT s; INSERT INTO late (v, tenant) VALUES (4, 8); ROLLBACK TO s; INSERT INTO late (v, tenant) VALUES (5, 8); COMMIT' ],
	[ 'the same tenant after a rollback to a savepoint', 'BEGIN; SAVEPOINT s; INSERT INTO late (v, tenant) VALUES (3, 7); ROLLBACK TO s; INSERT INTO late (v, tenant) VALUES (4, 7); COMMIT' ],
	[ 'a row that moves', 'UPDATE late SET tenant = 8 WHERE v = 2' ],
	[ 'MERGE, both ways', 'MERGE INTO late USING (VALUES (2, 8), (77, 7)) s (v, t) ON late.v = s.v AND late.tenant = s.t WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (v, tenant) VALUES (s.v, s.t)' ],
	[ 'a block with transactions, and errors', q{DO $$
		BEGIN
			FOR i IN 1 .. 4 LOOP
				INSERT INTO late (v, tenant) VALUES (i, 7 + i % 2);
				COMMIT;
				BEGIN
					INSERT INTO late (v, tenant) VALUES (1, 7);
					RAISE 'an error';
				EXCEPTION WHEN raise_exception THEN NULL;
				END;
				INSERT INTO late (v, tenant) VALUES (1, 8);
				ROLLBACK;
			END LOOP;
		END $$} ],
	[ 'a prepared statement over DDL', 'PREPARE p (int, int) AS INSERT INTO late (v, tenant) VALUES ($1, $2); EXECUTE p(1, 7); ALTER TABLE late ADD COLUMN z int DEFAULT 3; EXECUTE p(2, 8); EXECUTE p(2, 7)' ],
	[ 'the short way and the long one in a transaction', 'BEGIN; DELETE FROM late WHERE v = 9 AND tenant = 7; UPDATE late SET v = v + 1 WHERE tenant = 8; INSERT INTO late (v, tenant) VALUES (1, 7); COMMIT' ]);

# A tenant that is not in the row itself, behind columns of other lengths.
my $long = 'k' x 5000;
$node->sql(q{
	CREATE TABLE texts (pad text, v int, tenant text, twice int GENERATED ALWAYS AS (v * 2) STORED);
	ALTER TABLE texts ALTER tenant SET STORAGE EXTERNAL});
define('texts', 'a', 'b', $long);
write_and_check('texts', "a tenant of " . length($_) . " bytes", "INSERT INTO texts VALUES (repeat('p', 3000), 1, '$_')") foreach ('a', $long, 'b');
write_and_check('texts', 'all in turn', "INSERT INTO texts SELECT 'p', i, CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE '$long' END FROM generate_series(1, 9) i");
write_and_check('texts', 'all are deleted', 'DELETE FROM texts');

# Partitions whose columns are in another order.
$node->sql(q{
	CREATE TABLE parts (tenant int, v int, k int) PARTITION BY LIST (k);
	CREATE TABLE parts1 (k int, junk int, v int, tenant int);
	ALTER TABLE parts1 DROP COLUMN junk;
	ALTER TABLE parts ATTACH PARTITION parts1 FOR VALUES IN (1);
	CREATE TABLE parts2 PARTITION OF parts FOR VALUES IN (2);
	CREATE TABLE parts3 (v int, tenant int, k int);
	ALTER TABLE parts ATTACH PARTITION parts3 FOR VALUES IN (3)});
define('parts', 1, 2, 3);
write_and_check('parts', @$_) foreach (
	[ 'rows for all partitions', 'INSERT INTO parts SELECT i % 3 + 1, i, (i + 1) % 3 + 1 FROM generate_series(1, 30) i' ],
	[ 'rows that go to another partition', 'UPDATE parts SET k = 2, v = v + 1 WHERE k = 1' ],
	[ 'rows that are deleted', 'DELETE FROM parts WHERE v % 2 = 0' ],
	[ 'a row for a partition itself', 'INSERT INTO parts1 VALUES (1, 5, 2)' ],
	[ 'COPY', "COPY parts FROM STDIN (NULL '-');\n1\t5\t1\n2\t6\t3\n3\t7\t2\n-\t7\t2\n\\.\n" ]);

# Equal, and not the same bits.
$node->sql('CREATE TABLE floats (v int, tenant float8)');
define('floats', 0, 1.5);
write_and_check('floats', 'zeros of both signs', "INSERT INTO floats VALUES (1, '-0'), (2, 0), (3, 1.5)");
write_and_check('floats', 'deleted', 'DELETE FROM floats WHERE tenant = 0');

$node->stop('fast');
done_testing();
