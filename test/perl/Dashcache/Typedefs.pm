=pod

=head1 NAME

Dashcache::Typedefs - the names of types in C sources

=cut

package Dashcache::Typedefs;

use strict;
use warnings;

use Exporter 'import';
use File::Find;

our @EXPORT_OK = qw(typedefs_below);

=head2 typedefs_below(@directories)

The names that the C files below these directories define with C<typedef>,
sorted. It reads text, not C: what macros put together is not seen.

=cut

sub typedefs_below
{
	my @directories = @_;
	my %names;

	find(
		{
			follow_fast => 1,
			follow_skip => 2,
			no_chdir => 1,
			wanted => sub { add_typedefs($_, \%names) if /\.[ch]$/ && -f; }
		},
		@directories);
	my @sorted = sort keys %names;
	return @sorted;
}

sub add_typedefs
{
	my ($file, $names) = @_;

	open my $fh, '<:raw', $file or die "could not open $file: $!";
	my $text = do { local $/; <$fh> };
	close $fh;

	# Without comments, preprocessor lines, the sizes of arrays and the members
	# of structs (from the inside out), a typedef is what is between the word and
	# a semicolon.
	$text =~ s!/\*.*?\*/! !gs;
	$text =~ s!//[^\n]*!!g;
	$text =~ s!^[ \t]*#(?:[^\n]*\\\n)*[^\n]*!!gm;
	1 while $text =~ s!\[[^\[\]]*\]!!g;
	1 while $text =~ s!\b(?:struct|union|enum)\b(\s*\w*\s*)\{[^{}]*\}!struct$1!g;

	# The row types of PostgreSQL's catalogs.
	$names->{"FormData_$1"} = 1 while $text =~ /^CATALOG\((\w+),/gm;

	while ($text =~ /\btypedef\b([^;]*);/g)
	{
		my $declaration = $1;

		# A pointer to a function, a function, or (a list of) plain names.
		$declaration =~ s/\b(?:pg_attribute_\w+|__\w+)\b.*//s;
		if (   $declaration =~ /\(\s*\*\s*(\w+)\s*\)\s*\(/
			|| $declaration =~ /\b(\w+)\s*\(/)
		{
			$names->{$1} = 1;
			next;
		}
		foreach my $declarator (split /,/, $declaration)
		{
			$names->{$1} = 1
			  if $declarator =~ /(\w+)\s*$/ && $1 !~ /^(?:struct|union|enum)$/;
		}
	}
	return;
}

1;
