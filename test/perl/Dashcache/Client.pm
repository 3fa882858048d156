# A session by the simple query protocol, over a Unix socket: what the programs
# that send very many statements use (test/fuzz.pl, test/applications.pl). It
# connects as libpq's environment says, without a password.

package Dashcache::Client;

use strict;
use warnings;

use IO::Socket::UNIX;

sub new
{
	my ($class, %parameters) = @_;
	my $path = "$ENV{PGHOST}/.s.PGSQL." . ($ENV{PGPORT} || 5432);
	my $socket = IO::Socket::UNIX->new(Type => Socket::SOCK_STREAM(), Peer => $path)
	  or die "could not connect to $path: $!\n";
	my $self = bless { socket => $socket, buffer => '' }, $class;
	my $startup = pack('N', 196608) . join '',
	  map { "$_\0" } (
		user => $ENV{PGUSER} || scalar(getpwuid($<)),
		database => $ENV{PGDATABASE} || 'postgres',
		%parameters, '');

	$self->send_bytes(pack('N', 4 + length $startup) . $startup);
	$self->receive;
	die "could not connect: $self->{error}{M}\n" if $self->{error};
	return $self;
}

sub send_bytes
{
	my ($self, $bytes) = @_;

	while (length $bytes)
	{
		my $n = syswrite $self->{socket}, $bytes;
		die "the connection was lost: $!\n" unless $n;
		substr($bytes, 0, $n) = '';
	}
	return;
}

sub receive
{
	my ($self) = @_;

	$self->{rows} = [];
	$self->{error} = undef;
	while (1)
	{
		while (length $self->{buffer} >= 5)
		{
			my ($type, $length) = unpack 'a1N', $self->{buffer};
			last if length $self->{buffer} < 1 + $length;
			my $body = substr $self->{buffer}, 5, $length - 4;
			substr($self->{buffer}, 0, 1 + $length) = '';
			if ($type eq 'D')
			{
				my ($n, $at, @row) = (unpack('n', $body), 2);
				for (1 .. $n)
				{
					my $size = unpack 'l>', substr $body, $at, 4;
					$at += 4;
					push @row, $size < 0 ? undef : substr $body, $at, $size;
					$at += $size if $size > 0;
				}
				push @{ $self->{rows} }, \@row;
			}
			elsif ($type eq 'E')
			{
				$self->{error} = {
					map { /^(.)(.*)/s ? ($1, $2) : () } split /\0/,
					$body };
			}
			elsif ($type eq 'Z')
			{
				return;
			}
			elsif ($type eq 'R' && unpack('N', $body) != 0)
			{
				die "the server wants a password\n";
			}
		}
		my $n = sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
		die "the server has closed the connection"
		  . ($self->{error} ? ": $self->{error}{M}" : '') . "\n"
		  unless $n;
	}
}

# Returns the rows; undef if it failed, see {error}.
sub query
{
	my ($self, $sql) = @_;

	$self->send_bytes('Q' . pack('N', 5 + length $sql) . "$sql\0");
	$self->receive;
	return $self->{error} ? undef : $self->{rows};
}

sub must
{
	my ($self, $sql) = @_;

	return $self->query($sql) // die "$self->{error}{C} $self->{error}{M}\n" . substr($sql, 0, 300) . "\n";
}

1;
