#!/usr/bin/perl
#
# test/applications.pl: realistic applications, with a hundred widgets as real
# dashboards have them, and the writes of a normal day. After each write the
# cached answer of every widget for every tenant is compared with the query's
# own, computed in the same statement. They must be the same text.
#
# It also measures precision: of the answers that were computed anew because
# something had changed, how many are really different from the one before
# (needed), and how many are not (needless). There must not be more needless
# ones than needed ones.
#
#   DURATION   seconds (60), shared by the applications
#   WRITES     so many for each application, however long it takes
#   SEED       of the random numbers: the same seed, the same writes
#   APPS       these only: "helpdesk shop tracker"
#   VERBOSE    1: the widgets that are computed needlessly most often, and after
#              which writes; 2: their sources, too
#
# Connects as libpq's environment says, as a superuser without a password, over
# a Unix socket, to a database that has dashcache; "make applications" sees to
# that.
#
# An application is a file in test/applications: its schema and its rows; then
# "-- tenants:", a query; "-- widget: name", a query each; "-- write weight: name",
# statements that make one transaction, in which :tenant is the tenant that
# writes, and :other another one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/perl";
use Dashcache::Client;
use Time::HiRes 'time';

my $duration = $ENV{DURATION} || 60;
my $seed = $ENV{SEED} || int(rand(1_000_000));
my $writes = $ENV{WRITES};
my $verbose = $ENV{VERBOSE} || 0;
my @applications = split ' ', $ENV{APPS} // 'helpdesk shop tracker';
my $params = q('{"tz": "America/New_York", "status": "open", "today": "TODAY"}'::jsonb);

my ($writer, $reader);
my (%seen, %count, %needless, %needed, %after, $differences, $comparisons, $hits, $empty);

sub read_application
{
	my ($name) = @_;
	my $file = "$FindBin::Bin/applications/$name.sql";
	my $part = 'schema';
	my %application = (name => $name, schema => '', widgets => [], writes => []);

	open my $handle, '<', $file or die "$file: $!\n";
	while (my $line = <$handle>)
	{
		if ($line =~ /^-- tenants: (.*)/) { $application{tenants} = $1; }
		elsif ($line =~ /^-- widget: (.*)/)
		{
			$part = 'widget';
			push @{ $application{widgets} }, { name => $1, sql => '' };
		}
		elsif ($line =~ /^-- write ([\d.]+): (.*)/)
		{
			$part = 'write';
			push @{ $application{writes} }, { weight => $1, name => $2, sql => '' };
		}
		elsif ($part eq 'schema') { $application{schema} .= $line; }
		elsif ($part eq 'widget') { $application{widgets}[-1]{sql} .= $line; }
		else { $application{writes}[-1]{sql} .= $line; }
	}
	close $handle;
	$_->{sql} =~ s/;\s*\z// foreach @{ $application{widgets} };
	return \%application;
}

# The schema, the widgets, and a function that answers them directly.
sub set_up
{
	my ($application) = @_;
	my $name = $application->{name};

	$writer->must("DROP SCHEMA IF EXISTS $name CASCADE");
	$writer->must("CREATE SCHEMA $name; SET search_path = $name, public; SET TimeZone = 'UTC'; SELECT setseed(0.5)");

	# "days" ago, and never near the end of a whole number of days: what the
	# queries compare with now() does not change while the test runs.
	$writer->must(<<"END_SQL");
CREATE TABLE base AS SELECT now() AS at;
CREATE FUNCTION ago(days int) RETURNS timestamptz LANGUAGE sql AS
'SELECT date_trunc(''milliseconds'', at - (days + 0.2 + 0.6 * random()) * interval ''1 day'') FROM $name.base';
$application->{schema}
END_SQL
	$writer->must('ANALYZE');
	$reader->must("SET search_path = $name, public; SET TimeZone = 'UTC'");

	my $type = $writer->must("SELECT pg_typeof(id) FROM ($application->{tenants}) t LIMIT 1")->[0][0];
	my $branches = '';
	foreach my $widget (@{ $application->{widgets} })
	{
		my $quoted = "'" . ($widget->{name} =~ s/'/''/gr) . "'";

		$writer->must("SELECT dashcache_define($quoted, \$q\$$widget->{sql}\$q\$, '$name', ttl => NULL)");
		my $row = $writer->must("SELECT result FROM dashcache.widget WHERE dashboard = '$name' AND name = $quoted")->[0][0] eq 'row';
		my $query = $widget->{sql} =~ s/\$1/tenant/gr =~ s/\$2/params/gr;
		$branches .= "WHEN $quoted THEN RETURN (SELECT "
		  . ($row ? 'row_to_json(answer)::text' : q('[' || coalesce(string_agg(row_to_json(answer)::text, ','), '') || ']'))
		  . " FROM (\n$query) answer);\n";
	}
	$writer->must(<<"END_SQL");
CREATE FUNCTION directly(widget text, tenant $type, params jsonb) RETURNS text LANGUAGE plpgsql STABLE AS \$f\$
#variable_conflict use_column
BEGIN
	CASE widget
	$branches END CASE;
END
\$f\$
END_SQL
	$application->{type} = $type eq 'uuid' ? 'uuid' : 'bigint';
	$application->{rows} = [ map { $_->[0] } @{ $writer->must($application->{tenants}) } ];
	$application->{literals} = [ map { "'$_'::$type" } @{ $application->{rows} } ];
	$application->{params} = $params =~ s/TODAY/$writer->must('SELECT at::date FROM base')->[0][0]/er;
	return;
}

# Compare all answers; "write" has been done since the last time.
sub compare
{
	my ($application, $session, $write) = @_;
	my $name = $application->{name};
	my $rows = $session->must(<<"END_SQL");
SELECT f.widget, t::text, f.source, coalesce(f.reason, 'hit'), f.data::text IS NOT DISTINCT FROM d.direct, d.direct,
	CASE WHEN f.data::text IS DISTINCT FROM d.direct THEN f.data::text END
FROM unnest(ARRAY[@{[ join ', ', @{ $application->{literals} } ]}]) t
CROSS JOIN LATERAL dashcache_fetch(t::$application->{type}, '$name', params => $application->{params}) f
CROSS JOIN LATERAL (SELECT directly(f.widget, t, $application->{params}) AS direct) d
END_SQL

	foreach my $row (@$rows)
	{
		my ($widget, $tenant, $source, $reason, $same, $direct, $cached) = @$row;
		my $key = "$name/$widget/$tenant";

		$comparisons++;
		$count{$name}{answers}++;
		$hits++ if $source eq 'cache';
		$empty++ if !defined $direct || $direct eq '[]' || $direct !~ /:(?!null|0[,}])/;
		if ($same ne 't')
		{
			$differences++;
			print "DIFFERENCE: $name, widget \"$widget\", tenant $tenant, answer: $reason, after: $write\n",
			  "  is:        ", $cached // 'NULL', "\n  should be: ", $direct // 'NULL', "\n";
		}
		next if $session == $writer;
		if ($reason eq 'changed' && defined $seen{$key})
		{
			if ($seen{$key} eq ($direct // '')) { $needless{"$name/$widget"}++; $count{$name}{needless}++; $after{"$name/$widget"}{$write}++; }
			else { $needed{"$name/$widget"}++; $count{$name}{needed}++; }
		}
		$seen{$key} = $direct // '';
	}
	return;
}

sub run
{
	my ($application, $until) = @_;
	my $name = $application->{name};
	my $sum = 0;

	srand($seed);
	set_up($application);
	compare($application, $reader, 'the beginning');
	compare($application, $reader, 'nothing');
	$sum += $_->{weight} foreach @{ $application->{writes} };
	while ($writes ? $count{$name}{writes} < $writes : time < $until)
	{
		# the first ones are the busy ones
		my @tenants = @{ $application->{literals} };
		my $n = int(@tenants * rand()**2);
		my $other = ($n + 1 + int rand(@tenants - 1)) % @tenants;
		my $at = rand $sum;
		my ($write) = grep { ($at -= $_->{weight}) < 0 } @{ $application->{writes} };
		my $sql = $write->{sql} =~ s/:tenant\b/$tenants[$n]/gr =~ s/:other\b/$tenants[$other]/gr;
		my $fate = rand;

		$writer->must('SELECT setseed(' . rand() . ')');
		$writer->must('BEGIN');
		if (!$writer->query($sql))
		{
			print "$name, write \"$write->{name}\" failed: $writer->{error}{M}\n" if !$count{$name}{failed}++ || $verbose;
			$writer->must('ROLLBACK');
			next;
		}
		# its own answers, and those of the others meanwhile
		compare($application, $writer, "$write->{name} (own)") if $fate > 0.98;
		compare($application, $reader, "$write->{name} (not yet)") if $fate < 0.02;
		$writer->must($fate > 0.96 ? 'ROLLBACK' : 'COMMIT');
		$count{$name}{writes}++;
		compare($application, $reader, $write->{name});
	}
	return;
}

sub ratio
{
	my ($needless, $needed) = @_;

	return $needed ? sprintf('%.2f', $needless / $needed) : '-';
}

$| = 1;
$SIG{PIPE} = 'IGNORE';
print "applications: seed $seed, ", $writes ? "$writes writes each" : "$duration s", "\n";
$_ = Dashcache::Client->new(client_min_messages => 'warning') foreach $writer, $reader;
$differences = $comparisons = $hits = $empty = 0;

my $until = time;
foreach my $name (@applications)
{
	my $application = read_application($name);

	$until = time if $until < time;
	$until += $duration / @applications;
	$count{$name} = { needed => 0, needless => 0, writes => 0, answers => 0, widgets => scalar @{ $application->{widgets} } };
	run($application, $until);

	my @worst = sort { $needless{$b} - ($needed{$b} // 0) <=> $needless{$a} - ($needed{$a} // 0) || $a cmp $b } grep { m{^$name/} } keys %needless;
	foreach my $widget ($verbose ? splice(@worst, 0, 12) : ())
	{
		my %n = %{ $after{$widget} };
		my @writes = sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n;

		printf "%s: needed %d, needless %d, after: %s\n", $widget, $needed{$widget} // 0, $needless{$widget}, join ', ', map { "$_ $n{$_}" } splice(@writes, 0, 6);
		next if $verbose < 2;
		my ($plain) = $widget =~ m{/(.*)};
		$plain =~ s/'/''/g;
		print map { '    ' . join(' | ', map { $_ // '' } @$_) . "\n" }
		  @{ $reader->must("SELECT source, tenant_key, condition, columns FROM dashcache_sources WHERE dashboard = '$name' AND widget = '$plain'") };
	}
	$reader->must("SELECT dashcache_drop(dashboard => '$name')");
	$writer->must("DROP SCHEMA $name CASCADE");
}

my ($needed, $needless) = (0, 0);
printf "%-12s %8s %8s %10s %8s %9s %s\n", qw(application widgets writes answers needed needless ratio);
foreach my $name (@applications)
{
	my %n = %{ $count{$name} };

	printf "%-12s %8d %8d %10d %8d %9d %s\n", $name, @n{qw(widgets writes answers needed needless)}, ratio(@n{qw(needless needed)});
	$needed += $n{needed};
	$needless += $n{needless};
}
printf "hits %.1f%%, empty answers %.1f%%\n", 100 * $hits / $comparisons, 100 * $empty / $comparisons;
printf "comparisons=%d, differences=%d, needed=%d, needless=%d, ratio=%s\n", $comparisons, $differences, $needed, $needless, ratio($needless, $needed);

exit($differences == 0 && $needed > 0 && $needless <= $needed ? 0 : 1);
