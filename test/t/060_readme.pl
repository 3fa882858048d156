# What README.md and docs/ show is what happens.
#
# In these files a block marked "sql" is run by psql, each file's from top to
# bottom in a database of its own. A block marked "text" right after it is its
# output; without one, it prints nothing. Spaces at the ends of lines do not
# count, nor do the empty rows that functions without a result print. Where the
# output is another one each time, the block is marked "sql varies", and only has
# to run without an error.

use strict;
use warnings;

use Dashcache::Test;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', extension => 0);
my @files = ('README.md', sort glob('docs/*.md'));

foreach my $file (@files)
{
	my ($database) = $file =~ m{([^/]+)\.md$};

	$database = 'doc_' . lc($database);
	$database =~ tr/-/_/;
	$node->sql("CREATE DATABASE $database");

	# The README creates the extension itself.
	$node->sql('CREATE EXTENSION dashcache', $database)
	  if $file ne 'README.md';

	foreach my $block (blocks($file))
	{
		my $output = run_block($node->connstr($database), $block->{sql});
		my $name = "$file, line $block->{line}";

		if ($block->{varies}) { unlike($output, qr/^ERROR:/m, $name); }
		else { is($output, tidy($block->{text}), $name); }
	}
}

# None of this is to stay behind for a reader who cleans up as told.
is( $node->sql(
		"SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dashcache%'",
		'doc_readme'),
	'0',
	'what the README removes is removed');

$node->stop('fast');
done_testing();

# The blocks of a file: line, sql, text.
sub blocks
{
	my $file = shift;
	my @blocks;
	my $open;
	my $last = '';
	my $number = 0;

	foreach my $line (split /\n/, slurp_file($file))
	{
		$number++;
		if (defined $open)
		{
			if ($line =~ /^```/) { $last = $open; $open = undef; }
			elsif ($open eq 'sql') { $blocks[-1]{sql} .= "$line\n"; }
			elsif ($open eq 'output') { $blocks[-1]{text} .= "$line\n"; }
		}
		elsif ($line =~ /^```(\S*)(.*)/)
		{
			my $varies = $2 eq ' varies';

			$open = $1 || 'none';
			if ($open eq 'sql')
			{
				push @blocks,
				  {
					line => $number,
					varies => $varies,
					sql => '',
					text => ''
				  };
			}
			elsif ($open eq 'text' && $last eq 'sql')
			{
				$open = 'output';
			}
		}
		elsif ($line =~ /\S/)
		{
			$last = '';
		}
	}
	die "$file: a block is not closed" if defined $open;
	return @blocks;
}

# What psql prints, results and messages in their order.
sub run_block
{
	my ($connstr, $sql) = @_;
	my $output = '';

	local $ENV{PGOPTIONS} = '-c client_min_messages=notice';
	IPC::Run::run([ 'psql', '-X', '-q', '-P', 'pager=off', '-d', $connstr ],
		'<', \$sql, '>&', \$output,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return tidy($output);
}

sub tidy
{
	my $text = shift;

	$text =~ s/[ \t]+$//mg;
	$text =~ s/^ (\w+)\n-+\n\n\(1 row\)\n\n?//mg;
	$text =~ s/\n{2,}/\n/g;
	$text =~ s/^\n|\n$//g;
	return $text;
}
