# Entries outlive a clean restart, with all that was noted about them; and after
# anything that is not just that, they are not used.

use strict;
use warnings;

use Dashcache::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "dashcache.memory = '8MB'\nrestart_after_crash = on";
my $node = new_node('main', conf => $conf, allows_streaming => 1);
my $file = $node->data_dir . '/pg_stat/dashcache.saved';
my $started;

$node->sql(q{
	CREATE TABLE item (id int PRIMARY KEY, tenant int, v int);
	INSERT INTO item SELECT i, i % 10, i FROM generate_series(1, 100) i;
	SET client_min_messages = warning;
	SELECT dashcache_define('sum', 'SELECT sum(v) AS v FROM item WHERE tenant = $1', ttl => NULL);
	SELECT dashcache_define('top', 'SELECT v FROM item WHERE tenant = $1 AND v > ($2->>''n'')::int ORDER BY v', ttl => '1 hour');
	SELECT dashcache_define('brief', 'SELECT count(*) FROM item WHERE tenant = $1', 'brief', ttl => '1 ms');
});

sub start
{
	$started = $node->log_position;
	$node->start;
	wait_for_restored();
	return;
}

sub wait_for_restored
{
	my $server = shift // $node;

	$server->wait_for('SELECT restored IS NOT NULL FROM dashcache_status');
	return;
}

sub restart
{
	$node->stop('fast');
	start();
	return;
}

sub restored
{
	my $server = shift // $node;

	return $server->sql('SELECT restored FROM dashcache_status');
}

# "answer|source|same as the query's"
sub answer
{
	my ($tenant, $server) = @_;

	return ($server // $node)->sql(qq{
		SELECT c.data->>'v', c.source, (c.data->>'v')::int = (SELECT sum(v) FROM item WHERE tenant = $tenant)
		FROM dashcache_fetch($tenant, 'default', 'sum') c});
}

sub fill
{
	$node->sql('SELECT dashcache_get(t) FROM generate_series(1, 8) t');
	return;
}

# The log since the start says why the file was not used; and it was not.
sub refused
{
	my ($why, $what, $server, $position) = @_;

	$server //= $node;
	ok($server->log_contains(qr/dashcache does not use the entries saved in.*\n.*$why/, $position // $started), "$what: refused");
	is(restored($server), '0', "$what: nothing is restored");
	ok(!-e $server->data_dir . '/pg_stat/dashcache.saved', "$what: the file is gone");
	like(answer(1, $server), qr/^\d+\|database\|t$/, "$what: computed");
	return;
}

sub read_bytes
{
	return slurp_file(shift);
}

sub write_bytes
{
	my ($path, $bytes) = @_;

	open my $fh, '>:raw', $path or die "$path: $!";
	print $fh $bytes;
	close $fh;
	chmod 0600, $path;
	return;
}

#
# All there is to an entry
#
fill();
$node->sql(q{SELECT dashcache_get(1), dashcache_get(2, 'default', 'sum') FROM generate_series(1, 3)});
$node->sql(q{SELECT dashcache_get(3, 'default', 'top', '{"n": 50}')});
$node->sql(q{SELECT dashcache_get(1, 'brief')});
$node->wait_for(q{SELECT expires_at < clock_timestamp() FROM dashcache_entries WHERE dashboard = 'brief'});
$node->sql('UPDATE item SET v = v + 1 WHERE tenant = 8');

my $entries = q{SELECT dashboard, widget, tenant, params, state, generated_at, expires_at, last_used_at, hits, bytes, compute_ms
	FROM dashcache_entries WHERE tenant <> '8' AND dashboard <> 'brief' ORDER BY 1, 2, 3, 4};
my $stats = q{SELECT dashboard, widget, hits, misses, bypasses, fills, evictions, compute_ms_total, saved_ms, s.stats_since
	FROM dashcache_stats, dashcache_status s ORDER BY 1, 2};
my ($entries_before, $stats_before) = ($node->sql($entries), $node->sql($stats));
my $answer_before = $node->sql(q{SELECT data, etag FROM dashcache_fetch(3, 'default', 'top', '{"n": 50}')});
$stats_before = $node->sql($stats);
$entries_before = $node->sql($entries);

ok(!-e $file, 'while the server runs there is no file');
$node->stop('fast');
ok(-e $file, 'after it there is one');
is(sprintf('%o', (stat $file)[2] & 0777), '600', 'which is for the owner alone');
ok($node->log_contains(qr/dashcache saved 15 entries/), 'the log says how many were saved');
start();
ok(!-e $file, 'it is gone when it has been read');
is(restored(), '15', 'all current entries are restored');
ok($node->log_contains(qr/dashcache restored 15 of 15 entries in/, $started), 'the log says so');
is($node->sql($entries), $entries_before, 'entries, with their history');
is($node->sql($stats), $stats_before, 'counters, and since when');
is($node->sql('SELECT sum(entries) FROM dashcache_stats'), '15', 'gauges are right');
is($node->sql(q{SELECT data, etag FROM dashcache_fetch(3, 'default', 'top', '{"n": 50}')}), $answer_before, 'params');
like(answer(1), qr/^\d+\|cache\|t$/, 'served');
like(answer(8), qr/^\d+\|database\|t$/, 'what has changed before the shutdown is not');
$node->sql('UPDATE item SET v = v + 1 WHERE tenant = 1');
like(answer(1), qr/^\d+\|database\|t$/, 'a change after the start is seen');
like(answer(2), qr/^\d+\|cache\|t$/, 'and is none of another tenant');
my $reader = $node->session;
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $old = $reader->query('SELECT sum(v) FROM item WHERE tenant = 2');
$node->sql('UPDATE item SET v = v + 1 WHERE tenant = 2');
is($reader->query(q{SELECT data->>'v', source FROM dashcache_fetch(2, 'default', 'sum')}),
	"$old|cache", 'an old snapshot is served what it sees');
like(answer(2), qr/^\d+\|database\|t$/, 'a new one computes');
is($reader->query(q{SELECT (data->>'v')::int = (SELECT sum(v) FROM item WHERE tenant = 2) FROM dashcache_fetch(2, 'default', 'sum')}),
	't', 'and the old one goes on to see the same');
$reader->quit;

# what was restored is saved again, also if it is not asked for
restart();
restart();
is(restored(), '14', 'over several restarts');
like(answer(5), qr/^\d+\|cache\|t$/, 'served after several restarts');

# nobody waits between these
$node->stop('fast');
$node->start;
$node->stop('fast');
start();
is(restored(), '14', 'a stop at once after the start waits for what is being read');

# without a slot for who would read them
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
is(restored(), '', 'without any worker, nothing is restored');
$node->append_conf('postgresql.conf', 'max_worker_processes = 32');
restart();
is(restored(), '14', 'but saved again');

#
# What happens before the entries are read is not undone by that. Without workers
# nobody reads them but a purge.
#
fill();
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
is($node->sql('SELECT entries FROM dashcache_status'), '0', 'not read yet');
$node->sql('UPDATE item SET v = v + 1 WHERE tenant = 4');
like(answer(5), qr/^\d+\|database\|t$/, 'computed meanwhile');
my $generated = q{SELECT generated_at FROM dashcache_entries WHERE tenant = '5' AND widget = 'sum'};
my $generated_before = $node->sql($generated);
$node->sql(q{SET client_min_messages = warning;
	SELECT dashcache_define('top', 'SELECT 1 AS v FROM item WHERE tenant = $1 AND v > ($2->>''n'')::int ORDER BY v', ttl => '1 hour')});
$node->sql('SELECT dashcache_purge(3)');
is(restored(), '6', 'a purge reads the entries, and removes its own of them');
is($node->sql(q{SELECT widget, string_agg(tenant, ' ' ORDER BY tenant) FROM dashcache_entries GROUP BY 1}),
	'sum|1 2 5 6 7 8', 'without the changed, the purged, those of another definition');
is($node->sql('SELECT entries FROM dashcache_status'), '6', 'nor hidden ones');
is($node->sql($generated), $generated_before, 'and what was computed meanwhile stays');
$node->append_conf('postgresql.conf', 'max_worker_processes = 32');
restart();
is($node->sql(q{SELECT count(*) FROM dashcache_entries WHERE tenant = '3'}), '0', 'what was purged does not come back later');
$node->sql(q{SET client_min_messages = warning;
	SELECT dashcache_define('top', 'SELECT v FROM item WHERE tenant = $1 AND v > ($2->>''n'')::int ORDER BY v', ttl => '1 hour');
	SELECT dashcache_get(3, 'default', 'top', '{"n": 50}')});

#
# Memory of another size
#
foreach my $memory ('16MB', '2MB', '8MB')
{
	fill();
	$node->append_conf('postgresql.conf', "dashcache.memory = '$memory'");
	restart();
	is(restored(), '17', "with $memory");
	like(answer(7), qr/^\d+\|cache\|t$/, "with $memory: served");
	$node->sql('UPDATE item SET v = v + 1 WHERE tenant = 7');
	like(answer(7), qr/^\d+\|database\|t$/, "with $memory: changes are seen");
	like(answer(6), qr/^\d+\|cache\|t$/, "with $memory: and only where they belong");
}

#
# A purge, or a definition, is not undone by what is read after it
#
fill();
$node->stop('fast');
$started = $node->log_position;
$node->start;
$node->sql(q{SELECT dashcache_purge(3)});
wait_for_restored();
cmp_ok(restored(), '>', 0, 'restored, and purged');
is($node->sql(q{SELECT count(*) FROM dashcache_entries WHERE tenant = '3'}), '0', 'what was purged is not there');
like(answer(4), qr/^\d+\|cache\|t$/, 'the others are');

fill();
$node->stop('fast');
$started = $node->log_position;
$node->start;
$node->sql(q{SET client_min_messages = warning; SELECT dashcache_define('sum', 'SELECT 1 + sum(v) AS v FROM item WHERE tenant = $1')});
wait_for_restored();
is($node->sql(q{SELECT data->>'v' = (SELECT (1 + sum(v))::text FROM item WHERE tenant = 4), source
	FROM dashcache_fetch(4, 'default', 'sum')}), 't|database', 'a new definition after the start: computed');
is($node->sql(q{SELECT entries FROM dashcache_stats WHERE widget = 'sum'}), '1', 'no entry of the old one is left');
$node->sql(q{SET client_min_messages = warning; SELECT dashcache_define('sum', 'SELECT sum(v) AS v FROM item WHERE tenant = $1', ttl => NULL)});
fill();
restart();
like(answer(4), qr/^\d+\|cache\|t$/, 'of the latest definition: served');

#
# What nobody can ask for does not come back for ever
#
$node->sql("CREATE DATABASE $_") foreach 'gone', 'without';
foreach my $database ('gone', 'without')
{
	$node->sql(q{
		CREATE EXTENSION dashcache;
		CREATE TABLE item (tenant int, v int);
		SET client_min_messages = warning;
		SELECT dashcache_define('sum', 'SELECT sum(v) FROM item WHERE tenant = $1', ttl => NULL);
		SELECT dashcache_get(1), dashcache_get(2)}, $database);
}
my $others = $node->sql('SELECT entries FROM dashcache_status') - 4;
$node->sql('DROP DATABASE gone');
$node->wait_for("SELECT entries = $others + 2 FROM dashcache_status");
pass('entries of a dropped database go');
$node->sql('DROP EXTENSION dashcache', 'without');
restart();
$node->wait_for("SELECT entries = $others FROM dashcache_status");
pass('entries of a dropped extension go after the next start');
$node->sql('DROP DATABASE without');

#
# Warming at the start finds what is current
#
$node->sql(q{SELECT dashcache_configure(tenants => 'SELECT generate_series(1, 8)', warm_on_start => true)});
fill();
restart();
$node->wait_for('SELECT count(*) = 1 FROM dashcache_runs WHERE finished_at IS NOT NULL');
is($node->sql('SELECT planned, warmed, already_current FROM dashcache_runs'), '16|0|16', 'warm_on_start has nothing to do');
$node->sql(q{SELECT dashcache_configure(warm_on_start => false)});

#
# Prepared transactions that outlive the restart
#
foreach my $how ('COMMIT', 'ROLLBACK')
{
	fill();
	$node->sql("BEGIN; UPDATE item SET v = v + 1 WHERE tenant = 1; PREPARE TRANSACTION 'over'");
	restart();
	is(restored(), '14', "$how PREPARED: what it has not changed is restored");
	like(answer(1), qr/^\d+\|database\|t$/, "$how PREPARED: before it, its tenant");
	like(answer(2), qr/^\d+\|database\|t$/, "$how PREPARED: before it, others are computed, too");
	if ($how eq 'ROLLBACK')
	{
		restart();
		is(restored(), '14', 'and a second restart while it is there: still so');
		like(answer(1), qr/^\d+\|database\|t$/, 'before it, after two restarts');
	}
	$node->sql("$how PREPARED 'over'");
	like(answer(1), qr/^\d+\|database\|t$/, "$how PREPARED: its tenant is computed");
	like(answer(1), qr/^\d+\|cache\|t$/, "$how PREPARED: and kept");
	like(answer(2), qr/^\d+\|cache\|t$/, "$how PREPARED: others are served");
}

#
# Refusals
#
$node->append_conf('postgresql.conf', 'dashcache.persist = off');
fill();
$node->reload;
$node->wait_for(q{SELECT setting = 'off' FROM pg_settings WHERE name = 'dashcache.persist'});
$node->stop('fast');
ok(!-e $file, 'dashcache.persist = off: nothing is written');
start();
is(restored(), '0', 'nor read');

fill();
$node->append_conf('postgresql.conf', 'dashcache.persist = on');
$node->reload;
$node->wait_for(q{SELECT setting = 'on' FROM pg_settings WHERE name = 'dashcache.persist'});
$node->stop('fast');
my $saved = read_bytes($file);
$node->append_conf('postgresql.conf', 'dashcache.persist = off');
start();
refused('dashcache.persist is off', 'turned off');
$node->append_conf('postgresql.conf', 'dashcache.persist = on');
fill();
$node->stop('fast');
start();
is(restored(), '0', 'still off at the stop: nothing');

fill();
write_bytes($file, $saved);
$node->stop('immediate');
start();
refused('not shut down cleanly', 'after a crash');

fill();
restart();
cmp_ok(restored(), '>', 0, 'restored again');
write_bytes($file, $saved);
$started = $node->log_position;
my $victim = $node->session;
kill 'KILL', $victim->pid;
$victim->quit;
$node->wait_for_log(qr/ready to accept connections/, $started);
refused('begun anew after a crash', 'a crash restart');

fill();
$node->stop('fast');
write_bytes($file, $saved);
start();
refused('not written at the shutdown from which', 'of an earlier shutdown');

fill();
$node->stop('fast');
$saved = read_bytes($file);
{
	my $sql = "UPDATE item SET v = v + 100 WHERE tenant = 1;\n";
	my ($out, $err);

	IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'postgres' ], '<', \$sql, '>', \$out, '2>', \$err)
	  or die $err;
}
is(read_bytes($file), $saved, 'a single-user session leaves the file alone');
start();
refused('not written at the shutdown from which', 'a single-user session');

fill();
$node->backup('hot');
$node->stop('fast');
$saved = read_bytes($file);

# The CRC-32C that is at the end of the header
sub crc32c
{
	my $crc = 0xFFFFFFFF;

	foreach my $byte (unpack 'C*', shift)
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}
my $header = substr $saved, 0, 344;
is(unpack('L', substr $header, 340), crc32c(substr $header, 0, 340), 'the header is as this test thinks');
$header =~ s/dashcache 1\.0/dashcache 0.9/ or die;
substr($header, 340) = pack 'L', crc32c(substr $header, 0, 340);
write_bytes($file, $header . substr $saved, 344);
start();
refused('another version of the server, of dashcache', 'another build');

fill();
$node->stop('fast');
$saved = read_bytes($file);
$header = substr $saved, 0, 344;
$header =~ s/(ICU [^,]+, )([0-9a-f]{8}),/$1 . ($2 eq '00000000' ? '00000001' : '00000000') . ','/e or die;
substr($header, 340) = pack 'L', crc32c(substr $header, 0, 340);
write_bytes($file, $header . substr $saved, 344);
start();
refused('another version of the server, of dashcache', 'the same version, configured with other options');

fill();
$node->stop('fast');
$node->backup_fs_cold('cold');

my $copy = Dashcache::Test::Node->new('copy');
$copy->init_from_backup($node, 'cold');
$copy->start;
wait_for_restored($copy);
cmp_ok(restored($copy), '>', 0, 'a copy of the stopped server starts from the same state: restored');
like(answer(1, $copy), qr/^\d+\|cache\|t$/, 'and served');
$copy->stop('fast');

# Two copies that go on, each with data of its own, and stop at the same place.
my @twins = map { Dashcache::Test::Node->new("twin$_") } 1, 2;
foreach my $twin (@twins)
{
	$twin->init_from_backup($node, 'cold');
	$twin->append_conf('postgresql.conf', "dashcache.workers = 0\nautovacuum = off");
	$twin->start;
	wait_for_restored($twin);
	$twin->sql('UPDATE item SET v = v + ' . ($twin == $twins[0] ? 1 : 2) . ' WHERE tenant = 1');
	$twin->sql('SELECT dashcache_get(1)');
}
sub stopped_at
{
	my ($out) = run_command([ 'pg_controldata', shift->data_dir ]);

	return $out =~ /Latest checkpoint location: +(\S+)/ ? $1 : die $out;
}
$twins[0]->sql(q{SELECT pg_logical_emit_message(false, '', repeat('x', 30000))});
$twins[0]->stop('fast');
# the time of a checkpoint is in seconds
my $second = time;
$twins[1]->wait_for("SELECT extract(epoch FROM clock_timestamp()) > $second + 1");
my $place = stopped_at($twins[0]);
foreach my $rest (3000, 0)
{
	# a record has 54 bytes besides the message, a page 24, and all is a multiple of eight
	$twins[1]->sql(qq{
		SELECT pg_logical_emit_message(false, '', repeat('x', (there - here - $rest - 56 - 24 * (div(there - $rest, 8192) - div(here, 8192)))::int))
		FROM (SELECT pg_current_wal_insert_lsn() - '0/0' AS here, '$place'::pg_lsn - '0/0' AS there) at});
}
$twins[1]->stop('fast');
SKIP:
{
	# the server may have had something to write of its own accord
	skip 'two copies have not stopped at the same place', 4 if stopped_at($twins[1]) ne $place;
	write_bytes($twins[1]->data_dir . '/pg_stat/dashcache.saved', read_bytes($twins[0]->data_dir . '/pg_stat/dashcache.saved'));
	my $twins_position = $twins[1]->log_position;
	$twins[1]->start;
	refused('not written at the shutdown from which', 'of another copy, from the same place', $twins[1], $twins_position);
	$twins[1]->stop('fast');
}

my $restored = Dashcache::Test::Node->new('restored');
$restored->init_from_backup($node, 'hot');
write_bytes($restored->data_dir . '/pg_stat/dashcache.saved', $saved);
$restored->start;
refused('a file "backup_label"', 'a base backup', $restored, 0);
$restored->stop('fast');

start();
my $standby = Dashcache::Test::Node->new('standby');
$standby->init_from_backup($node, 'cold', has_streaming => 1);
$standby->start;
is(restored($standby), '0', 'a standby: nothing is restored');
$node->sql('UPDATE item SET v = v + 100 WHERE tenant = 1');
$node->wait_for_catchup($standby);
$standby->stop('fast');
ok(!-e $standby->data_dir . '/pg_stat/dashcache.saved', 'a standby writes nothing');
write_bytes($standby->data_dir . '/pg_stat/dashcache.saved', $saved);
my $position = $standby->log_position;
$standby->start;
$standby->promote;
refused('a file "standby.signal"', 'promotion', $standby, $position);
$standby->sql('SELECT dashcache_get(1)');
$standby->restart;
wait_for_restored($standby);
cmp_ok(restored($standby), '>', 0, 'on the new timeline: its own entries');
like(answer(1, $standby), qr/^\d+\|cache\|t$/, 'served there');
$standby->stop('fast');

my $stranger = new_node('stranger');
$stranger->stop('fast');
write_bytes($stranger->data_dir . '/pg_stat/dashcache.saved', $saved);
$position = $stranger->log_position;
$stranger->start;
ok($stranger->log_contains(qr/dashcache does not use.*\n.*another database cluster/, $position), 'another cluster: refused');
$stranger->stop('fast');

$node->stop('fast');
done_testing();
