#!/usr/bin/perl
#
# test/crash.pl: processes of the server are killed with SIGKILL at random moments,
# under load. Each time the server has to come back, with a cache that is empty or
# right; transactions that were prepared before are ended afterwards, half of them
# committed, and it has to be right then, too.
#
#   ROUNDS   how many are killed (100)
#   SEED     of the random numbers
#
# Connects as libpq's environment says, as a superuser, to a database that has
# dashcache; "make crash" sees to that. Everything is made in schema "crash".
#
# Sessions of pgbench write and read; every answer is compared with the query's, in
# the same statement, by crash.compare(), which raises what the log then shows. The
# victim is any process that knows the cache: a session, a worker, the launcher,
# the checkpointer.
#
# The last line sums up. Fails if an answer differed, the server did not come back,
# no answer came from the cache between two crashes, or memory was still taken at
# the end, after all entries were dropped.

use strict;
use warnings;

use File::Temp;
use IPC::Run;
use Time::HiRes;

my $rounds = $ENV{ROUNDS} || 100;
my $seed = $ENV{SEED} || int(rand(1_000_000_000));
my $log = $ENV{CRASH_LOG} || "$ENV{DASHCACHE_WORK}/server.log";
my $patience = 60;
my $tenants = 20;

srand($seed);

sub psql_try
{
	my ($sql) = @_;
	my ($out, $err);
	my $ok = IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1' ],
		'<', \$sql, '>', \$out, '2>', \$err);

	chomp $out;
	return ($ok, $out, $err);
}

sub psql
{
	my ($ok, $out, $err) = psql_try(@_);

	die "psql failed: $err\n" if !$ok;
	return $out;
}

# Poll until the code returns something true, and return it.
sub wait_for
{
	my ($what, $code) = @_;
	my $until = time + $patience;

	while (time < $until)
	{
		my $result = $code->();

		return $result if $result;
		Time::HiRes::usleep(5000);
	}
	die "$what: not in $patience s\n";
}

my @widgets = (
	[ 'items', 'SELECT count(*) AS n, sum(v) AS v FROM crash.item WHERE tenant = $1' ],
	[
		'parts',
		'SELECT count(*) AS n, sum(p.v) AS v FROM crash.part p JOIN crash.item i ON i.id = p.item WHERE i.tenant = $1'
	],
	[ 'settings', 'SELECT $1::int AS tenant, sum(v) AS v FROM crash.setting' ],);

sub set_up
{
	my $compare = join "\n", map {
		my ($name, $query) = @$_;

		$query =~ s/\$1/t/g;
		"SELECT c.data::jsonb AS cached, c.source, (SELECT to_jsonb(x) FROM ($query) x) AS direct INTO r "
		  . "FROM dashcache_fetch(t, 'crash', '$name') c; PERFORM crash.judge('$name', t, r.cached, r.direct); "
		  . "hits := hits + (r.source = 'cache')::int;"
	} @widgets;

	psql(<<"END_SQL");
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS dashcache;
DROP SCHEMA IF EXISTS crash CASCADE;
CREATE SCHEMA crash;
CREATE TABLE crash.empty AS SELECT memory_used FROM dashcache_status WHERE entries = 0;
CREATE TABLE crash.item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant int, v int);
CREATE INDEX ON crash.item (tenant);
CREATE TABLE crash.part (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item bigint REFERENCES crash.item ON DELETE CASCADE, v int);
CREATE INDEX ON crash.part (item);
CREATE TABLE crash.setting (id int PRIMARY KEY, v int);
INSERT INTO crash.item (tenant, v) SELECT 1 + i % $tenants, i FROM generate_series(1, 20 * $tenants) i;
INSERT INTO crash.part (item, v) SELECT id, 1 FROM crash.item;
INSERT INTO crash.setting VALUES (1, 0);

CREATE FUNCTION crash.judge(widget text, t int, cached jsonb, direct jsonb) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	IF cached IS DISTINCT FROM direct THEN
		RAISE LOG 'crash: difference of %, tenant %: % is cached, % is right, snapshot %',
			widget, t, cached, direct, pg_current_snapshot();
	END IF;
END
\$\$;
CREATE FUNCTION crash.compare(t int) RETURNS int LANGUAGE plpgsql AS \$\$
DECLARE
	r record;
	hits int := 0;
BEGIN
	$compare
	RETURN hits;
END
\$\$;
CREATE FUNCTION crash.write(t int) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	kind int := floor(random() * 8);
BEGIN
	CASE
		WHEN kind < 2 THEN
			UPDATE crash.item SET v = v + 1 WHERE id = (SELECT id FROM crash.item WHERE tenant = t ORDER BY random() LIMIT 1);
		WHEN kind < 3 THEN
			INSERT INTO crash.item (tenant, v) VALUES (t, 1);
		WHEN kind < 4 THEN
			DELETE FROM crash.item WHERE id = (SELECT max(id) FROM crash.item WHERE tenant = t);
		WHEN kind < 5 THEN
			UPDATE crash.item SET tenant = 1 + t % $tenants WHERE id = (SELECT min(id) FROM crash.item WHERE tenant = t);
		WHEN kind < 7 THEN
			INSERT INTO crash.part (item, v) SELECT id, 1 FROM crash.item WHERE tenant = t ORDER BY random() LIMIT 1 FOR KEY SHARE;
		ELSE
			UPDATE crash.setting SET v = v + 1;
	END CASE;
END
\$\$;
END_SQL
	psql("SELECT dashcache_define('$_->[0]', \$q\$$_->[1]\$q\$, 'crash', ttl => NULL)") foreach @widgets;
	psql("SELECT dashcache_configure('crash', tenants => 'SELECT generate_series(1, $tenants)', "
		  . "warm_on_start => true, warm_on_change => true)");
	return;
}

# name => [weight, script]
my %scripts = (
	read => [ 6, 'SELECT crash.compare(:t);' ],
	write => [ 3, 'SELECT crash.write(:t);' ],
	rollback => [ 1, "BEGIN;\nSELECT crash.write(:t);\nROLLBACK;" ],
	long => [ 1, "BEGIN;\nSELECT crash.write(:t);\nSELECT crash.compare(:t);\nCOMMIT;" ],
	prepared => [
		1, "BEGIN;\nSELECT crash.write(:t);\nPREPARE TRANSACTION 'crash :client_id :g';\n"
		  . "SELECT crash.compare(:t);\nCOMMIT PREPARED 'crash :client_id :g';"
	],);

sub write_scripts
{
	my $dir = File::Temp->newdir;
	my @arguments;

	foreach my $name (sort keys %scripts)
	{
		my ($weight, $script) = @{ $scripts{$name} };

		open my $file, '>', "$dir/$name" or die "could not write $dir/$name: $!";
		print $file "\\set t random(1, $tenants)\n\\set g random(1, 1000000000)\n$script\n";
		close $file or die $!;
		push @arguments, '-f', "$dir/$name\@$weight";
	}
	return ($dir, @arguments);
}

# The load; it ends with the first crash.
sub start_load
{
	my ($arguments) = @_;
	my ($out, $err) = ('', '');

	return IPC::Run::start(
		[ 'pgbench', '-n', '-c', 6, '-T', 600, '--random-seed', int(rand(1_000_000_000)), @$arguments ],
		'>', \$out, '2>', \$err);
}

# Kill somebody, a moment later: up to 60 ms, to be in the middle of anything.
sub kill_somebody
{
	my $pids = wait_for('six sessions', sub {
		my ($ok, $out) = psql_try("SELECT string_agg(pid || ' ' || backend_type, E'\\n') FROM pg_stat_activity "
			  . "WHERE backend_type ~ 'client|dashcache|checkpointer' AND pid <> pg_backend_pid() "
			  . "HAVING count(*) FILTER (WHERE state IS NOT NULL AND query ~ 'crash') >= 6");
		return $ok && $out;
	});
	my @pids = split /\n/, $pids;
	my ($pid, $kind) = split / /, $pids[ rand @pids ], 2;

	Time::HiRes::usleep(rand 60_000);
	return kill('KILL', $pid) ? $kind : undef;
}

sub compare_all
{
	return psql("SELECT sum(crash.compare(t)) FROM generate_series(1, $tenants) t");
}

sub differences
{
	open my $file, '<', $log or die "could not read $log: $!";
	my @found = grep { /LOG:  crash: difference/ } <$file>;

	close $file;
	return @found;
}

set_up();
my ($scripts, @arguments) = write_scripts();
my (%killed, $prepared, $hits);

$prepared = $hits = 0;
for my $round (1 .. $rounds)
{
	my $load = start_load(\@arguments);
	my $kind = kill_somebody();

	if (!defined $kind)
	{
		$load->kill_kill;
		next;
	}
	$killed{$kind}++;
	IPC::Run::finish($load);
	wait_for('the server', sub { (psql_try('SELECT 1'))[0] });
	compare_all();
	my @gids = split /\n/, psql('SELECT gid FROM pg_prepared_xacts');

	foreach my $gid (@gids)
	{
		psql((rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
		compare_all();
		$prepared++;
	}
	compare_all();
	$hits += compare_all();
	my @differences = differences();

	die "after $round rounds, seed $seed:\n", @differences if @differences;
}

# No matter what has died, nothing is held.
psql('SELECT dashcache_drop(NULL, \'crash\')');
my ($entries, $used) = split /\|/, psql('SELECT s.entries, s.memory_used - e.memory_used FROM dashcache_status s, crash.empty e');
my $killed = join ', ', map { "$killed{$_} $_" } sort keys %killed;

printf "rounds=%d, killed: %s, prepared=%d, hits=%d, entries left=%d, bytes left=%d, differences=0\n",
  $rounds, $killed, $prepared, $hits, $entries, $used;
exit($hits > 0 && $entries == 0 && $used == 0 ? 0 : 1);
