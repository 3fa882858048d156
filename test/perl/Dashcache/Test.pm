=pod

=head1 NAME

Dashcache::Test - servers and sessions for dashcache's TAP tests

=head1 SYNOPSIS

  use strict;
  use warnings;
  use Dashcache::Test;
  use Test::More;

  my $node = new_node('main', conf => "dashcache.memory = '1MB'");

  my $writer = $node->session;
  my $reader = $node->session;

  $writer->query('BEGIN; LOCK TABLE t');
  $reader->start('SELECT count(*) FROM t');    # returns at once
  $reader->wait_for_lock;
  $writer->query('COMMIT');
  is($reader->finish, '1', 'the reader waits for the writer');

  done_testing();

=head1 DESCRIPTION

A node is a L<PostgreSQL::Test::Cluster> with the methods below on top. Tests do
not sleep: they wait for a condition, a lock, a wait event or a line in the log.
What does not come about in time (C<PG_TEST_TIMEOUT_DEFAULT> seconds, else 180)
is an error.

=cut

package Dashcache::Test;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_node);

=head1 FUNCTIONS

=head2 new_node($name, %options)

A running server, configured by F<test/dashcache.conf>, with the extension in the
database C<postgres>. C<$name> defaults to C<main>. The options:

=over

=item conf => "a = b\nc = d"

Added to its configuration, after F<test/dashcache.conf>.

=item start => 0

Set up, but neither started nor given the extension.

=item extension => 0

Started, but not given the extension.

=item install_path => $directory

The programs of another installation: that with F<$directory/bin>.

=item all else

Passed on to C<< $node->init >>: C<< allows_streaming => 1 >>, C<< extra => [...] >>, ...

=back

=cut

sub new_node
{
	my ($name, %options) = @_;
	my $conf = delete $options{conf};
	my $start = delete $options{start} // 1;
	my $extension = delete $options{extension} // 1;
	my $install_path = delete $options{install_path};
	my $node = Dashcache::Test::Node->new($name // 'main',
		defined $install_path ? (install_path => $install_path) : ());

	push @{ $options{extra} }, '--no-locale', '--encoding=UTF8';
	$node->init(%options);
	$node->append_conf('postgresql.conf', slurp_file('test/dashcache.conf'));
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	if ($start)
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION dashcache')
		  if $extension;
	}
	return $node;
}

package Dashcache::Test::Node;

use strict;
use warnings;

use Carp;

our @ISA = ('PostgreSQL::Test::Cluster');

=head1 METHODS OF A NODE

=head2 $node->sql($query, [$dbname])

Runs a query, dies if it fails, returns its output (unaligned, tuples only).

=head2 $node->session(%options)

A session of its own that stays open, see below. Options: C<dbname>
(C<postgres>), C<user>.

=head2 $node->wait_for($query, [$dbname])

Polls until the query returns true.

=head2 $node->log_position

Where the log ends now: C<< $node->wait_for_log(qr/.../, $position) >> looks for
what is written from there on.

=cut

sub sql
{
	my ($self, $query, $dbname) = @_;

	return $self->safe_psql($dbname // 'postgres', $query);
}

sub session
{
	my ($self, %options) = @_;

	return Dashcache::Test::Session->new($self, %options);
}

sub wait_for
{
	my ($self, $query, $dbname) = @_;

	$self->poll_query_until($dbname // 'postgres', $query)
	  or croak "this did not come about: $query";
	return;
}

sub log_position
{
	my $self = shift;

	return -s $self->logfile // 0;
}

package Dashcache::Test::Session;

use strict;
use warnings;

use Carp;
use IPC::Run;
use PostgreSQL::Test::Utils ();

# What psql writes of a statement that failed, and not of one that has warned.
my $failure = qr/^(?:psql:\S+ )?(?:ERROR|FATAL|PANIC|error): |connection to server was lost/m;

=head1 METHODS OF A SESSION

=head2 $session->query($query)

Runs statements, dies if one fails, returns their output.

=head2 $session->error($query)

Runs statements of which one must fail, returns its message. The session goes on.

=head2 $session->start($query)

Sends statements and returns at once. Anything else is refused until C<finish>.

=head2 $session->finish

Waits for what C<start> has sent. In scalar context the output, and it dies if a
statement failed; in list context the output and the message of the error.

=head2 $session->running

Is what C<start> has sent still running? Does not wait.

=head2 $session->wait_for_lock

Returns once the session waits for a heavyweight lock, such as another
transaction's row.

=head2 $session->wait_for_event($type, [$event])

Returns once C<pg_stat_activity> shows that wait event for the session. C<$event>
is an SQL pattern, as for C<LIKE>.

=head2 $session->cancel, $session->terminate

What C<pg_cancel_backend> and C<pg_terminate_backend> do.

=head2 $session->pid

The process ID of its backend.

=head2 $session->quit

Ends the session; so does the end of the test.

=cut

sub new
{
	my ($class, $node, %options) = @_;
	my $self = bless {
		node => $node,
		stdin => '',
		stdout => '',
		stderr => '',
		sent => 0,
	}, $class;
	my $connstr = $node->connstr($options{dbname} // 'postgres');

	$connstr .= " user='$options{user}'" if defined $options{user};
	$self->{timer} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
	$self->{run} = IPC::Run::start(
		[
			'psql', '-XAtq', '-d', $connstr, '-f', '-', '-v', 'ON_ERROR_STOP=0'
		],
		'<', \$self->{stdin}, '>', \$self->{stdout}, '2>', \$self->{stderr},
		$self->{timer});
	$self->{pid} = $self->query('SELECT pg_backend_pid()');
	return $self;
}

sub start
{
	my ($self, $query) = @_;

	croak 'the session has not finished what it was told to do'
	  if $self->{mark};

	# psql writes the mark to both outputs once it is done with the query, and
	# then reads on; what is before the mark is the answer.
	$self->{query} = $query;
	$self->{mark} = 'Dashcache::Test::Session: done with ' . ++$self->{sent};
	$self->{stdin} .= "$query\n;\n\\echo '$self->{mark}'\n\\warn '$self->{mark}'\n";
	$self->{timer}->start($PostgreSQL::Test::Utils::timeout_default);
	$self->{run}->pump_nb;
	return;
}

sub running
{
	my $self = shift;

	croak 'the session was told nothing' unless $self->{mark};
	$self->{run}->pump_nb;
	return !$self->_done;
}

sub finish
{
	my $self = shift;

	croak 'the session was told nothing' unless $self->{mark};
	while (!$self->_done)
	{
		croak "not finished in time: $self->{query}"
		  if $self->{timer}->is_expired;
		last unless $self->{run}->pumpable;
		$self->{run}->pump;
	}

	my ($output, $error) = @$self{qw(stdout stderr)};

	@$self{qw(stdout stderr)} = ('', '');
	s/^\Q$self->{mark}\E\n//m foreach $output, $error;
	chomp($output, $error);
	delete $self->{mark};
	return ($output, $error) if wantarray;
	croak "failed: $self->{query}\n$error" if $error =~ $failure;
	return $output;
}

sub query
{
	my ($self, $query) = @_;

	$self->start($query);
	return scalar $self->finish;
}

sub error
{
	my ($self, $query) = @_;

	$self->start($query);
	my ($output, $error) = $self->finish;
	croak "did not fail: $query" if $error !~ $failure;
	return $error;
}

sub pid
{
	my $self = shift;

	return $self->{pid};
}

sub wait_for_lock
{
	my $self = shift;

	return $self->wait_for_event('Lock');
}

sub wait_for_event
{
	my ($self, $type, $event) = @_;

	$event //= '%';
	$self->{run}->pump_nb;
	$self->{node}->wait_for(
		qq{SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE pid = $self->{pid} AND wait_event_type = '$type'
			AND wait_event LIKE '$event')});
	return;
}

sub cancel
{
	my $self = shift;

	$self->{node}->sql("SELECT pg_cancel_backend($self->{pid})");
	return;
}

sub terminate
{
	my $self = shift;

	$self->{node}->sql("SELECT pg_terminate_backend($self->{pid}, 60000)");
	return;
}

sub quit
{
	my $self = shift;
	my $run = delete $self->{run} or return;

	# A psql that has ended already refuses its input; that is no news.
	$self->{stdin} .= "\\q\n";
	eval { $run->finish };
	return;
}

sub DESTROY
{
	my $self = shift;
	my $run = delete $self->{run} or return;

	local ($@, $?);
	eval { $run->kill_kill };
	return;
}

# Has psql written the mark to both of its outputs?
sub _done
{
	my $self = shift;
	my $mark = qr/^\Q$self->{mark}\E\n/m;

	return $self->{stdout} =~ $mark && $self->{stderr} =~ $mark;
}

1;
