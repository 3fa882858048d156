#!/usr/bin/perl
#
# test/fuzz.pl: the differential fuzzer. Random tables, random queries over
# them, random writes and DDL; after each step the cached answer of every widget
# for several tenants is compared with the query's own, computed in the same
# statement. They must be equal, or both must fail.
#
#   DURATION   seconds (60)
#   SEED       of the random numbers: the same seed, the same run
#   ROUND      run this round only
#   ROUNDS     run so many rounds, however long it takes
#   STEPS      steps in a round (25)
#   DIFFS      stop after so many differences (5)
#   SHRINK     seconds to spend on making a difference short (60; 0: none)
#   KNOWN      a regular expression: errors that are known, and not to be reported
#   VERBOSE    1: what is refused and why; 2: needless recomputations too
#
# Connects as libpq's environment says, as a superuser without a password, over
# a Unix socket, to a database that has dashcache; "make fuzz" sees to that.
# Everything is made in the schemas fuzz, fuzz_first, fuzz_other and fuzz_oracle.
#
# A round has a schema of a few tables, a dozen widgets, and steps. A step is
# one of: a write; a transaction of writes, with savepoints, that commits or
# not; two transactions at once; writes beside a reader with an old snapshot;
# DDL. Sessions: a and b write, c reads, d reads with an old snapshot.
#
# All statements of a round are kept. When an answer differs, they are replayed
# with ever fewer of them, and what is left is printed.
#
# Now and then all widgets that can be are computed for all tenants at once
# (dashcache.warm_set), and compared byte by byte with one computation each.
#
# Precision: of the entries found changed, how many had really changed; by the
# key through which the written table is traced to tenants.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/perl";
use Dashcache::Client;
use Time::HiRes 'time';

my $duration = $ENV{DURATION} || 60;
my $seed = $ENV{SEED} || int(rand(1_000_000));
my $steps = $ENV{STEPS} || 25;
my $max_differences = $ENV{DIFFS} || 5;
my $shrink_time = $ENV{SHRINK} // 60;
my $verbose = $ENV{VERBOSE} || 0;
my $known = $ENV{KNOWN};

#-------------------------------------------------------------------------
# Chance
#-------------------------------------------------------------------------

sub chance { return rand() < $_[0]; }
sub pick { return $_[ int rand @_ ]; }
sub number { return $_[0] + int rand($_[1] - $_[0] + 1); }

# weight => value, ...
sub weighted
{
	my @pairs = @_;
	my $sum = 0;

	for (my $i = 0; $i < @pairs; $i += 2) { $sum += $pairs[$i]; }
	my $at = rand $sum;
	for (my $i = 0; $i < @pairs; $i += 2)
	{
		return $pairs[ $i + 1 ] if ($at -= $pairs[$i]) < 0;
	}
	return $pairs[-1];
}

sub shuffled
{
	my @list = @_;

	for (my $i = $#list; $i > 0; $i--)
	{
		my $j = int rand($i + 1);
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

#-------------------------------------------------------------------------
# The schema
#
# A relation: {name, cols => [column], ...}; a column: {n: name, ty: kind of
# type, sql: type, role, ref}. Two columns can be joined where one is the "id"
# of a table and the other's "ref" is that table.
#-------------------------------------------------------------------------

my ($type, $tclass, @tenants, @literals);    # of this round's tenants
my (%table, @names, @views, @setup, $enum, $have_function);
my %kinds;    # widget => table => number of the source => kind of key

my %tenant_types = (
	int => [ 'num', 1, 2, 3, 4 ],
	bigint => [ 'num', 1, 2, 3, 4000000000 ],
	text => [ 'text', 'a', 'b', 'B', 'long tenant' ],
	uuid => [
		'uuid',
		'00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002',
		'a0000000-0000-0000-0000-000000000003', 'ffffffff-ffff-ffff-ffff-ffffffffffff'
	],);

sub literal
{
	my ($value) = @_;

	return $tclass eq 'num' ? $value : "'$value'";
}

sub column
{
	my ($table, $role) = @_;

	return (grep { $_->{role} eq $role } @{ $table->{cols} })[0];
}

# A value for a column, as SQL.
sub value
{
	my ($column, $not_null) = @_;
	my $role = $column->{role};

	return 'NULL' if !$not_null && !$column->{not_null} && $role ne 'id' && chance(0.1);
	return pick(@literals) if $role eq 'tenant';
	if ($role eq 'id' || $role eq 'fk' || $role eq 'pid')
	{
		my $n = chance(0.8) ? number(1, 9) : number(1, 14);
		return $column->{ty} eq 'text' ? "'k$n'" : $n;
	}
	return number(0, 5) if $column->{ty} eq 'num';
	return "'" . pick(qw(open open closed x)) . "'" if $role eq 'status';
	return pick('true', 'false') if $column->{ty} eq 'bool';
	return chance(0.6) ? 'NULL' : "'2024-01-0" . number(1, 5) . " 12:00Z'" if $role eq 'deleted';
	return "'2024-01-0" . number(1, 5) . " 23:30Z'" if $column->{ty} eq 'ts';
	return "'2024-01-0" . number(1, 5) . "'" if $column->{ty} eq 'date';
	return "'" . pick(@names) . "'" if $role eq 'ptype';
	return "'" . pick('p', 'q', 'r') . "'";
}

sub make_schema
{
	$type = weighted(4 => 'int', 4 => 'bigint', 2 => 'text', 2 => 'uuid');
	($tclass, @tenants) = @{ $tenant_types{$type} };
	@literals = map { literal($_) } @tenants;
	%table = ();
	@names = @views = @setup = ();
	$enum = chance(0.25);
	$have_function = chance(0.5);
	push @setup, "CREATE TYPE st_t AS ENUM ('open', 'closed', 'x')" if $enum;
	push @setup,
	  'CREATE FUNCTION f(int) RETURNS int LANGUAGE '
	  . pick('sql', 'plpgsql')
	  . " IMMUTABLE AS 'BEGIN RETURN \$1 + 1; END'"
	  if $have_function;
	$setup[-1] =~ s/LANGUAGE sql (.*) AS .*/LANGUAGE sql $1 AS 'SELECT \$1 + 1'/ if $have_function;

	my $n = number(2, 6);
	@names = map { "r$_" } 0 .. $n - 1;
	make_table($_) foreach 0 .. $n - 1;
	make_view($_) foreach 0 .. number(0, 2) - (chance(0.5) ? 1 : 0);
	return;
}

sub make_table
{
	my ($i) = @_;
	my $name = "r$i";
	my (@cols, @checks, @after);
	my $link = $i > 1 && chance(0.25);
	my $dimension = $i > 0 && !$link && chance(0.12);
	my $idclass = chance(0.12) ? 'text' : 'num';
	my $id = {
		n => 'id', ty => $idclass, role => 'id', ref => $name,
		sql => $idclass eq 'text' ? 'text' : pick('int', 'int', 'bigint')
	};
	my $table = { name => $name, cols => \@cols, unique => 0, parts => [], kids => [] };
	my $tenant_type = $tclass eq 'num' && chance(0.15) ? pick('int', 'bigint') : $type;

	$tenant_type = 'bigint' if $type eq 'bigint';
	$tenant_type = 'varchar(20)' if $type eq 'text' && chance(0.15);
	if ($i == 0 && chance(0.35))
	{
		# the tenants themselves
		$id = { n => 'id', ty => $tclass, role => 'tenant', ref => 'tenant', sql => $tenant_type };
	}
	push @cols, $id;
	my $has_tenant = $i == 0 || (!$dimension && chance($link ? 0.15 : 0.4));
	push @cols,
	  {
		n => 't', ty => $tclass, role => 'tenant', ref => 'tenant', sql => $tenant_type,
		not_null => chance(0.3)
	  }
	  if $has_tenant && $id->{role} ne 'tenant';

	# to tables before it
	my @parents = grep { chance(0.45) } @names[ 0 .. $i - 1 ];
	@parents = (pick(@names[ 0 .. $i - 1 ])) if !@parents && !$has_tenant && !$dimension;
	@parents = () if $dimension;
	# a table of links: between two tables, found from both sides
	@parents = @names[ 0 .. $i - 1 ] if $link;
	@parents = splice(@{ [ shuffled(@parents) ] }, 0, 2);
	foreach my $parent (sort @parents)
	{
		my $target = $table{$parent}{cols}[0];
		my $column = {
			n => "p_$parent", ty => $target->{ty}, role => 'fk', ref => $target->{ref},
			sql => $target->{ty} eq 'num' ? pick('int', 'bigint') : $target->{sql},
			not_null => chance(0.3)
		};
		$column->{sql} = 'bigint' if $type eq 'bigint' && $target->{role} eq 'tenant';
		$column->{role} = 'tenant' if $target->{role} eq 'tenant';
		push @cols, $column;
		next unless $table{$parent}{unique} && chance(0.5);
		push @after,
		  "ALTER TABLE $name ADD CONSTRAINT fk_$parent FOREIGN KEY (p_$parent) REFERENCES $parent (id)"
		  . pick('', ' ON DELETE CASCADE', ' ON DELETE SET NULL', ' ON DELETE CASCADE ON UPDATE CASCADE')
		  . pick('', '', '', ' DEFERRABLE INITIALLY DEFERRED')
		  . pick('', '', '', '', ' NOT VALID');
	}
	push @cols, { n => 'up', ty => $id->{ty}, role => 'fk', ref => $name, sql => $id->{sql} }
	  if chance(0.15) && $id->{role} eq 'id';
	if (chance(0.15))
	{
		push @cols, { n => 'tt', ty => 'text', role => 'ptype', sql => 'text' },
		  { n => 'ti', ty => 'num', role => 'pid', sql => 'bigint' };
	}
	push @cols, { n => 'n', ty => 'num', role => 'n', sql => 'int' } if chance(0.8);
	push @cols, { n => 'm', ty => 'num', role => 'n', sql => 'int' } if chance(0.4);
	push @cols, { n => 'st', ty => $enum ? 'enum' : 'text', role => 'status', sql => $enum ? 'st_t' : 'text' }
	  if chance(0.7);
	push @cols, { n => 'b', ty => 'bool', role => 'b', sql => 'boolean' } if chance(0.4);
	push @cols, { n => 'del', ty => 'ts', role => 'deleted', sql => 'timestamptz' } if chance(0.4);
	push @cols, { n => 'at', ty => 'ts', role => 'at', sql => 'timestamptz' } if chance(0.3);
	push @cols, { n => 'd', ty => 'date', role => 'd', sql => 'date' } if chance(0.2);
	push @cols, { n => 'x', ty => 'text', role => 'unread', sql => 'text' } if chance(0.5);

	my $tenant = column($table, 'tenant');
	my $kind = weighted(74 => 'plain', 15 => 'partitioned', 11 => 'inherited');
	my $list = $tenant && $tenant->{n} eq 't' && $tenant->{sql} eq $type && chance(0.6);
	$kind = 'plain' if $kind eq 'partitioned' && !$list && $id->{ty} ne 'num';

	my $sql = join ', ', map { "$_->{n} $_->{sql}" . ($_->{not_null} ? ' NOT NULL' : '') } @cols;
	if ($kind ne 'partitioned' && $tenant && $tenant->{n} eq 't' && chance(0.06))
	{
		$sql .= ", g $tenant->{sql} GENERATED ALWAYS AS (t) STORED";
		push @cols, { %$tenant, n => 'g', generated => 1 };
	}
	if ($kind eq 'partitioned')
	{
		my $by = $list ? 'LIST (t)' : 'RANGE (id)';

		if (!$list && chance(0.7)) { $sql .= ', PRIMARY KEY (id)'; $table->{unique} = 1; }
		elsif ($list && chance(0.4)) { $sql .= ', UNIQUE (t, id)'; }
		push @setup, "CREATE TABLE $name ($sql) PARTITION BY $by";
		my @bounds =
		  $list
		  ? ("FOR VALUES IN ($literals[0])", "FOR VALUES IN ($literals[1], $literals[2])", 'DEFAULT')
		  : ('FOR VALUES FROM (MINVALUE) TO (4)', 'FOR VALUES FROM (4) TO (8)', 'DEFAULT');
		foreach my $p (0 .. 2)
		{
			my $part = "${name}_p$p";

			push @{ $table->{parts} }, $part;
			if ($list && $p == 1 && chance(0.4) && $id->{ty} eq 'num')
			{
				push @setup, "CREATE TABLE $part PARTITION OF $name $bounds[$p] PARTITION BY RANGE (id)",
				  "CREATE TABLE ${part}_a PARTITION OF $part FOR VALUES FROM (MINVALUE) TO (5)",
				  "CREATE TABLE ${part}_b PARTITION OF $part FOR VALUES FROM (5) TO (MAXVALUE)";
				push @{ $table->{parts} }, "${part}_a", "${part}_b";
			}
			else
			{
				push @setup, "CREATE TABLE $part PARTITION OF $name $bounds[$p]";
			}
		}
		$table->{list} = $list;
		$table->{bounds} = \@bounds;
	}
	else
	{
		my $unique = weighted(74 => 'pk', 8 => 'unique', 3 => 'partial', 4 => 'deferrable', 11 => 'none');

		$sql .= ', PRIMARY KEY (id)' if $unique eq 'pk';
		$sql .= ', UNIQUE (id)' if $unique eq 'unique';
		$sql .= ', UNIQUE (id) DEFERRABLE INITIALLY DEFERRED' if $unique eq 'deferrable';
		push @setup, "CREATE TABLE $name ($sql)";
		push @setup, "CREATE UNIQUE INDEX ON $name (id) WHERE id IS NOT NULL" if $unique eq 'partial';
		$table->{unique} = 1 if $unique eq 'pk' || $unique eq 'unique';
		$table->{upsert} = $table->{unique};
		if ($kind eq 'inherited')
		{
			push @setup, "CREATE TABLE ${name}_k0 (" . (chance(0.3) ? 'extra int' : '') . ") INHERITS ($name)";
			push @setup, "CREATE TABLE ${name}_k1 () INHERITS (${name}_k0)" if chance(0.4);
			$table->{kids} = [ grep { my $k = $_; grep { /^CREATE TABLE $k / } @setup } "${name}_k0", "${name}_k1" ];
			push @setup, "CREATE UNIQUE INDEX ON $_ (id)" foreach grep { chance(0.4) } @{ $table->{kids} };
		}
	}
	$table->{upsert} = 1 if $table->{unique};
	$table->{kind} = $kind;
	$table{$name} = $table;
	push @setup, @after;
	push @setup, "CREATE INDEX ON $name ($_->{n})"
	  foreach grep { ($_->{role} eq 'fk' || $_->{n} =~ /^(t|p_.*)$/) && chance($link ? 0.9 : 0.5) } @cols;
	if ($tenant && $tenant->{n} eq 't' && chance(0.05))
	{
		push @setup,
		  "CREATE FUNCTION zz_$name() RETURNS trigger LANGUAGE plpgsql AS "
		  . "'BEGIN IF NEW.id = ''4'' THEN NEW.t := '$literals[0]'; END IF; RETURN NEW; END'";
		$setup[-1] =~ s/:= '(.*?)';/":= " . ($tclass eq 'num' ? $1 : "'$1'") . ';'/e;
		push @setup, "CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON $name FOR EACH ROW EXECUTE FUNCTION zz_$name()";
	}

	my @rows = map { my $n = $_; [ map {
		$_->{role} eq 'id' ? ($_->{ty} eq 'text' ? "'k$n'" : $n)
		  : $_ == $id ? ($literals[ $n - 1 ] // literal($tclass eq 'num' ? $n : $tclass eq 'text' ? "t$n" : sprintf('00000000-0000-0000-0000-0000000001%02d', $n)))
		  : value($_) } grep { !$_->{generated} } @cols ] } 1 .. number(5, 9);
	my $to = join ', ', map { $_->{n} } grep { !$_->{generated} } @cols;
	foreach my $row (@rows)
	{
		my $target = @{ $table->{kids} } && chance(0.5) ? pick(@{ $table->{kids} }) : $name;

		push @setup, "INSERT INTO $target ($to) VALUES (" . join(', ', @$row) . ')';
	}
	$table->{live} = { map { $_->{n} => 1 } @cols };
	return;
}

my ($q, $alias);    # of the query being made

sub make_view
{
	my ($i) = @_;

	new_query();
	my $select = select_statement(
		depth => 1, view => 1,
		mode => weighted(6 => 'rows', 2 => 'group', 1 => 'setop', 1 => 'distinct'));

	return if $select->{sql} =~ /\$[12]/;
	my $matview = chance(0.12);
	push @setup, 'CREATE ' . ($matview ? 'MATERIALIZED ' : '') . "VIEW v$i AS $select->{sql}";
	push @views, { name => "v$i", cols => $select->{cols}, matview => $matview, sql => $select->{sql} };
	return;
}

#-------------------------------------------------------------------------
# Queries
#-------------------------------------------------------------------------

sub new_query
{
	$alias = 0;
	$q = {
		style => weighted(75 => 'plain', 8 => 'cast', 8 => 'text', 9 => 'wide'),
		params => chance(0.2),
		tame => chance(0.5),
		ctes => [],
		view => 0
	};
	return;
}

sub alias { return 'a' . ++$alias; }

# $1, where its type is not given by what it is compared with
sub tenant
{
	return '$1::text::' . $type if $q->{style} eq 'text';
	return $tclass eq 'num' ? '$1::bigint' : "\$1::$type" if $q->{style} eq 'wide';
	return "\$1::$type";
}

sub bare
{
	return $q->{style} eq 'plain' ? '$1' : tenant();
}

sub from_relation
{
	my ($relation, $name) = @_;
	my $a = alias();

	return {
		sql => ($name // $relation->{name}) . " $a",
		cols => [ map { { %$_, r => "$a.$_->{n}" } } @{ $relation->{cols} } ]
	};
}

sub relations
{
	return (
		(map { $table{$_} } sort { $a cmp $b } keys %table),
		(grep { !$q->{view} || chance(0.5) } @views),
		@{ $q->{ctes} }, @{ $q->{ctes} });
}

# Pairs of columns to join by.
sub links
{
	my ($left, $right) = @_;
	my @links;

	foreach my $l (@$left)
	{
		foreach my $r (@$right)
		{
			my $sql = "$l->{r} = $r->{r}";

			if ($l->{role} eq 'ptype' || $r->{role} eq 'ptype') { next; }
			if ($l->{role} eq 'pid' && $r->{role} eq 'id' && $r->{ty} eq 'num')
			{
				my ($t) = grep { $_->{role} eq 'ptype' } @$left;
				push @links, [ 2, undef, undef, "$t->{r} = '$r->{ref}' AND $sql" ] if $t;
				next;
			}
			if ($r->{role} eq 'pid' && $l->{role} eq 'id' && $l->{ty} eq 'num')
			{
				my ($t) = grep { $_->{role} eq 'ptype' } @$right;
				push @links, [ 2, undef, undef, "$t->{r} = '$l->{ref}' AND $sql" ] if $t;
				next;
			}
			next if $l->{ty} ne $r->{ty};
			my $weight =
			    $l->{role} eq 'tenant' && $r->{role} eq 'tenant' ? 1.5
			  : ($l->{ref} // '') ne ($r->{ref} // '') ? 0
			  : $l->{role} eq 'fk' && $r->{role} eq 'id' || $l->{role} eq 'id' && $r->{role} eq 'fk' ? 4
			  : $l->{ref} ? 0.7
			  : $l->{role} eq $r->{role} && $l->{role} =~ /^(n|status)$/ ? 0.15
			  : 0;
			push @links, [ $weight, $l->{r}, $r->{r}, $sql ] if $weight;
		}
	}
	return @links;
}

sub from_item
{
	my ($depth, $to) = @_;
	my @relations = relations();
	my $relation = pick(@relations);

	# rather one that can be joined
	if ($to && chance($q->{tame} ? 1 : 0.8))
	{
		my @good = grep { grep { $_->[0] >= 1 } links($to, [ map { { %$_, r => '' } } @{ $_->{cols} } ]) } @relations;
		$relation = pick(@good) if @good;
	}
	if ($depth > 0 && chance(0.12))
	{
		my $select = select_statement(depth => $depth - 1,
			mode => weighted(5 => 'rows', 3 => 'group', 1 => 'distinct', 1 => 'setop', 1 => 'agg', 1 => 'distinct on', 1 => 'window'));
		my $a = alias();
		return { sql => "($select->{sql}) $a", cols => [ map { { %$_, r => "$a.$_->{n}" } } @{ $select->{cols} } ] };
	}
	my @parts = (@{ $relation->{parts} // [] }, @{ $relation->{kids} // [] });
	return from_relation($relation, pick(@parts)) if @parts && chance(0.1);
	return from_relation($relation, "ONLY $relation->{name}") if @{ $relation->{kids} // [] } && chance(0.15);
	return from_relation($relation);
}

sub on_condition
{
	my ($left, $right, $pure, $depth) = @_;
	my @links = links($left, $right);
	my @conditions;

	if (!@links)
	{
		return 'true' unless $pure;
		my ($l) = grep { $_->{ty} eq 'num' } @$left;
		my ($r) = grep { $_->{ty} eq 'num' } @$right;
		return $l && $r ? "$l->{r} = $r->{r}" : undef;
	}
	@links = grep { $_->[1] } @links if $pure;
	return unless @links;
	push @conditions, weighted(map { ($_->[0], $_->[3]) } @links);
	push @conditions, weighted(map { ($_->[0], $_->[3]) } @links) if chance($q->{tame} ? 0.1 : 0.25);
	if (!$pure && !($q->{tame} && chance(0.7)))
	{
		push @conditions, predicate(pick($left, $right), chance(0.1) ? $depth : 0) if chance(0.2);
		push @conditions, tenant_predicate(pick($left, $right)) // () if chance(0.15);
		return '(' . join(' OR ', @conditions) . ')' if @conditions > 1 && chance(0.03);
	}
	return join ' AND ', shuffled(@conditions);
}

# A tree of joins over the items, in their order.
sub join_tree
{
	my ($where, $depth, @items) = @_;

	return $items[0] if @items == 1;
	my $split = number(1, $#items);
	my $left = join_tree($where, $depth, @items[ 0 .. $split - 1 ]);
	my $right = join_tree($where, $depth, @items[ $split .. $#items ]);
	my $kind = $q->{tame}
	  ? weighted(6 => 'JOIN', 3 => 'LEFT JOIN')
	  : weighted(50 => 'JOIN', 24 => 'LEFT JOIN', 8 => 'RIGHT JOIN', 7 => 'FULL JOIN', 8 => 'CROSS JOIN');
	my @cols = (@{ $left->{cols} }, @{ $right->{cols} });
	my $l = $left->{sql};
	my $r = $split == $#items ? $right->{sql} : "($right->{sql})";

	if (@items == 2 && $kind =~ /^(JOIN|LEFT)/ && chance(0.08))
	{
		my %types = map { $_->{n} => $_->{ty} } @{ $left->{cols} };
		my @both = map { $_->{n} } grep { $_->{role} =~ /tenant|fk|id/ && ($types{ $_->{n} } // '') eq $_->{ty} } @{ $right->{cols} };

		return { sql => "$l $kind $r USING (" . pick(@both) . ')', cols => \@cols } if @both;
	}
	my $on = on_condition($left->{cols}, $right->{cols}, $kind eq 'FULL JOIN', $depth);
	$kind = 'CROSS JOIN' unless defined $on;
	if ($kind eq 'CROSS JOIN')
	{
		push @$where, $on if defined $on;
		return { sql => "$l CROSS JOIN $r", cols => \@cols };
	}
	return { sql => "$l $kind $r ON $on", cols => \@cols };
}

sub tenant_predicate
{
	my ($cols) = @_;

	return if $q->{view};
	my @own = grep { $_->{role} eq 'tenant' } @$cols;
	if (@own)
	{
		my $r = pick(@own)->{r};
		my $one = bare();
		my $p = tenant();
		my $other = pick(@literals);

		return "$r = $one" if $q->{tame} && chance(0.8);
		return weighted(
			60 => "$r = $one",
			8 => "$one = $r",
			5 => "$r = ANY (ARRAY[$p])",
			5 => "$r IN ($p)",
			4 => "$r = $p",
			3 => "$r\:\:text = $p\:\:text",
			$tclass eq 'num' ? (3 => "$r\:\:bigint = $p", 2 => "$r\:\:numeric = $p", 1 => "$r + 0 = $p") : (),
			$tclass eq 'text' ? (1 => "lower($r) = lower($p)", 1 => "$r || '' = $p") : (),
			1 => "NOT $r <> $p",
			1 => "($r, 1) = ($p, 1)",
			1.5 => "coalesce($r, $other) = $p",
			1.5 => "$r IN ($p, $other)",
			0.7 => "$r <> $p",
			1 => "$r <= $p",
			1 => "$r IS NOT DISTINCT FROM $p",
			1 => "($r = $p) IS TRUE",
			1 => "($r = $p) IS NOT FALSE",
			1.5 => "($r = $p OR " . predicate($cols, 0) . ')',
			1.5 => "($r = $p AND " . predicate($cols, 0) . " OR $r = $p AND " . predicate($cols, 0) . ')',
			1 => "CASE WHEN " . predicate($cols, 0) . " THEN $r = $p ELSE false END");
	}

	# by a path
	foreach my $fk (shuffled(grep { $_->{role} eq 'fk' } @$cols))
	{
		my $parent = $table{ $fk->{ref} } or next;
		my $item = from_relation($parent);
		my ($id) = grep { $_->{role} eq 'id' } @{ $item->{cols} };

		next unless $id;
		return if $q->{path}++ > 3;
		my $inner = tenant_predicate($item->{cols}) or next;
		$inner .= ' AND ' . predicate($item->{cols}, 0) if chance(0.2);
		return weighted(
			5 => "$fk->{r} IN (SELECT $id->{r} FROM $item->{sql} WHERE $inner)",
			3 => "EXISTS (SELECT 1 FROM $item->{sql} WHERE $id->{r} = $fk->{r} AND $inner)",
			1 => "$fk->{r} = ANY (SELECT $id->{r} FROM $item->{sql} WHERE $inner)");
	}
	return;
}

sub simple_predicate
{
	my ($cols) = @_;
	my $c = pick(@$cols);
	my ($r, $ty, $role) = @$c{qw(r ty role)};
	my @others = grep { $_->{ty} eq $ty && $_->{r} ne $r } @$cols;

	return "$r IS " . pick('', 'NOT ') . 'NULL' if chance(0.12);
	return "$r " . pick('=', '<>', '<', 'IS DISTINCT FROM') . ' ' . pick(@others)->{r} if @others && chance(0.06);
	return "$r IS NULL" if $role eq 'deleted' && chance(0.7);
	if ($role eq 'status')
	{
		return "$r\:\:text = coalesce(\$2->>'st', 'open')" if $q->{params} && chance(0.3);
		return "$r"
		  . pick(" = 'open'", " = 'open'", " <> 'x'", " IN ('open', 'closed')", " IS DISTINCT FROM 'open'",
			" NOT IN ('x')", "::text LIKE 'o%'", " = ANY ('{open,x}')", " > 'closed'");
	}
	return "coalesce($r, false)" if $ty eq 'bool' && chance(0.2);
	return pick('', 'NOT ') . $r if $ty eq 'bool';
	if ($ty eq 'num' && $role ne 'tenant')
	{
		return "$r >= coalesce((\$2->>'min')::int, 2)" if $q->{params} && chance(0.3);
		return "f($r\:\:int) > 3" if $have_function && chance(0.15);
		return "coalesce($r, 2) < 4" if chance(0.1);
		return "$r % 2 = 0" if chance(0.1);
		return "$r BETWEEN 1 AND 3" if chance(0.1);
		return "$r " . pick('=', '>', '<', '>=', '<>') . ' ' . number(0, 4);
	}
	return "$r >= '2024-01-03'" if $ty eq 'date' || $ty eq 'ts' && chance(0.5);
	return "date_trunc('day', $r, 'America/New_York') = '2024-01-03 05:00Z'" if $ty eq 'ts';
	return "$r = '" . pick(@names) . "'" if $role eq 'ptype';
	return "$r IN (" . pick(@literals) . ', ' . pick(@literals) . ')' if $role eq 'tenant';
	return "$r <> 'p'" if $role eq 'unread';
	return "$r IS NOT NULL";
}

sub predicate
{
	my ($cols, $depth) = @_;

	if ($depth > 0 && chance(0.45))
	{
		my $sub = subquery_predicate($cols, $depth - 1);
		return $sub if $sub;
	}
	return weighted(
		70 => sub { simple_predicate($cols) },
		10 => sub { '(' . simple_predicate($cols) . ' OR ' . predicate($cols, $depth > 0 && chance(0.3)) . ')' },
		6 => sub { '(' . simple_predicate($cols) . ' AND ' . simple_predicate($cols) . ')' },
		5 => sub { 'NOT (' . simple_predicate($cols) . ')' },
		3 => sub { 'CASE WHEN ' . simple_predicate($cols) . ' THEN ' . simple_predicate($cols) . ' ELSE ' . simple_predicate($cols) . ' END' },
		3 => sub { '(' . simple_predicate($cols) . ') IS ' . pick('NOT TRUE', 'NOT FALSE', 'TRUE', 'NOT NULL') },
	)->();
}

# What a subquery can be asked for an outer row: [item, link].
sub correlated
{
	my ($cols) = @_;

	for (1 .. 4)
	{
		my $item = from_item(0, $cols);
		my @links = links($cols, $item->{cols});

		next unless @links;
		my ($link) = weighted(map { ($_->[0], $_) } @links);
		return ($item, $link);
	}
	return;
}

sub inner_where
{
	my ($item, $depth, $tenant) = @_;
	my @where;

	push @where, tenant_predicate($item->{cols}) // () if chance($tenant);
	push @where, predicate($item->{cols}, $depth) if chance(0.4);
	return @where;
}

sub subquery_predicate
{
	my ($cols, $depth) = @_;
	my ($item, $link) = correlated($cols) or return;
	return unless $item;
	my $sql = $item->{sql};
	my @where = inner_where($item, $depth, 0.35);

	if (chance(0.15))
	{
		my ($other, $by) = correlated($item->{cols});
		if ($other)
		{
			$sql .= pick(' JOIN ', ' JOIN ', ' LEFT JOIN ') . "$other->{sql} ON $by->[3]";
			push @where, inner_where($other, 0, 0.3);
		}
	}
	if ($link->[1] && chance(0.5))
	{
		my $where = @where ? ' WHERE ' . join ' AND ', @where : '';
		return weighted(
			6 => "$link->[1] IN (SELECT $link->[2] FROM $sql$where)",
			1.5 => "$link->[1] NOT IN (SELECT $link->[2] FROM $sql$where)",
			1 => "$link->[1] = ANY (SELECT $link->[2] FROM $sql$where)",
			0.5 => "$link->[1] >= ALL (SELECT $link->[2] FROM $sql$where)");
	}
	push @where, $link->[3];
	my $where = join ' AND ', shuffled(@where);
	return weighted(
		5 => "EXISTS (SELECT 1 FROM $sql WHERE $where)",
		4 => "NOT EXISTS (SELECT 1 FROM $sql WHERE $where)",
		2 => "(SELECT count(*) FROM $sql WHERE $where) " . pick('> 1', '= 0', '>= 1', '< 2'),
		1 => "coalesce((SELECT true FROM $sql WHERE $where LIMIT 1), false)",
		1 => "(SELECT bool_and(" . predicate($item->{cols}, 0) . ") FROM $sql WHERE $where)");
}

# An expression of a kind of type.
sub expression
{
	my ($cols, $ty) = @_;
	my @fit = grep { $_->{ty} eq $ty } @$cols;

	if (@fit && chance(0.92))
	{
		my $c = pick(@fit);
		return ("coalesce($c->{r}, 0)", {}) if $ty eq 'num' && chance(0.07);
		return ($c->{r}, $c);
	}
	return ($ty eq 'num' ? ('7', {}) : ($ty eq 'text' ? "'k'\:\:text" : "NULL\:\:$ty", {}));
}

sub output
{
	my ($i, $sql, $column, $ty) = @_;

	return {
		n => "c$i", ty => $ty // $column->{ty}, role => $column->{role} // 'n',
		ref => $column->{ref}, sql => $sql
	};
}

sub aggregate
{
	my ($cols) = @_;
	my @num = grep { $_->{ty} eq 'num' } @$cols;
	my $c = pick(@num ? @num : { r => '1' })->{r};
	my $any = pick(@$cols)->{r};
	my $text = pick(@$cols);
	my $filter = chance(0.25) ? ' FILTER (WHERE ' . predicate($cols, chance(0.15)) . ')' : '';

	return weighted(
		30 => ["count(*)$filter", 'num'],
		10 => ["count($any)$filter", 'num'],
		8 => ["count(DISTINCT $any)$filter", 'num'],
		15 => ["sum($c)$filter", 'num'],
		10 => [ pick('min', 'max') . "($c)$filter", 'num' ],
		4 => ["avg($c)$filter", 'num'],
		4 => ["string_agg($any\:\:text, ',' ORDER BY $any\:\:text)$filter", 'text'],
		3 => ["array_agg($any ORDER BY $any)$filter", 'array'],
		3 => [ 'bool_or(' . simple_predicate($cols) . ')', 'bool' ],
		2 => ["sum(CASE WHEN " . simple_predicate($cols) . " THEN 1 ELSE 0 END)", 'num']);
}

# A subquery in the select list.
sub scalar_subquery
{
	my ($cols) = @_;
	my ($item, $link) = correlated($cols);

	return unless $item;
	my $where = join ' AND ', $link->[3], inner_where($item, chance(0.2), 0.25);
	my $aggregate = aggregate($item->{cols});
	return ("(SELECT $aggregate->[0] FROM $item->{sql} WHERE $where)", $aggregate->[1]);
}

sub where_sql
{
	my @where = @_;

	return @where ? ' WHERE ' . join(' AND ', shuffled(@where)) : '';
}

sub order_all
{
	my ($n) = @_;

	return ' ORDER BY ' . join ', ', map { $_ . pick('', '', ' DESC', ' NULLS FIRST') } shuffled(1 .. $n);
}

sub limit
{
	return pick(' LIMIT ', ' OFFSET 1 LIMIT ') . number(1, 4) if chance(0.85);
	return ' FETCH FIRST 2 ROWS WITH TIES';
}

# {sql, cols, ordered}
sub select_statement
{
	my (%o) = @_;
	my $depth = $o{depth};
	my $mode = $o{mode}
	  // weighted(24 => 'agg', 26 => 'rows', 20 => 'group', 6 => 'distinct', 6 => 'distinct on', 9 => 'window', 10 => 'setop');
	my $with = '';

	local $q->{view} = 1 if $o{view};
	if ($o{top} && chance(0.2))
	{
		my @with;
		foreach my $i (0 .. number(0, 1))
		{
			my $cte = select_statement(depth => 1, mode => weighted(5 => 'rows', 2 => 'group', 1 => 'setop'));

			push @with, "w$i AS " . pick('', '', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "($cte->{sql})";
			push @{ $q->{ctes} }, { name => "w$i", cols => $cte->{cols} };
		}
		$with = 'WITH ' . join(', ', @with) . ' ';
	}
	elsif ($o{top} && chance(0.03))
	{
		my ($self) = grep { $_->{live}{up} } map { $table{$_} } sort keys %table;
		if ($self)
		{
			my $item = from_relation($self);
			my $a = alias();
			my $b = alias();
			my @where = inner_where($item, 0, 0.8);
			my ($id, $up) = map { my $c = $_; (grep { $_->{n} eq $c } @{ $item->{cols} })[0]{r} } 'id', 'up';
			my ($tenant) = grep { $_->{role} eq 'tenant' } @{ $item->{cols} };
			my $second = $tenant ? $tenant->{r} : $up;
			(my $second_a = $second) =~ s/.*\./$a./;

			$with = "WITH RECURSIVE tree (c0, c1) AS (SELECT $id, $second FROM $item->{sql}"
			  . where_sql(@where)
			  . " UNION SELECT $a.id, $second_a FROM $self->{name} $a JOIN tree $b ON $a.up = $b.c0) ";
			push @{ $q->{ctes} },
			  {
				name => 'tree',
				cols => [ { %{ $self->{cols}[0] }, n => 'c0' }, { %{ (grep { "$second" =~ /\.\Q$_->{n}\E$/ } @{ $self->{cols} })[0] }, n => 'c1' } ]
			  };
		}
	}

	if ($mode eq 'setop')
	{
		my $signature = $o{signature} // [ map { weighted(6 => 'num', 2 => 'text') } 1 .. number(1, 2) ];
		my $op = weighted(5 => 'UNION ALL', 3 => 'UNION', 2 => 'EXCEPT', 2 => 'INTERSECT', 1 => 'EXCEPT ALL', 1 => 'INTERSECT ALL');
		my ($l, $r) = map {
			select_statement(
				depth => $depth, signature => $signature, view => $o{view},
				mode => weighted(6 => 'rows', 1 => 'agg', 1 => 'distinct', $depth > 0 ? (1 => 'setop') : ()))
		} 1, 2;
		my $sql = "$with($l->{sql}) $op ($r->{sql})";
		my @cols = map {
			my ($a, $b) = ($l->{cols}[$_], $r->{cols}[$_]);
			($a->{role} eq $b->{role} && ($a->{ref} // '') eq ($b->{ref} // '')) ? $a : { %$a, role => 'n', ref => undef }
		} 0 .. $#$signature;
		my $ordered = chance(0.3);

		if ($ordered)
		{
			$sql .= order_all(scalar @cols);
			$sql .= limit() if chance(0.6);
			$sql =~ s/( ORDER BY (?!.* ORDER BY )[^)]*)/$1/;
		}
		return { sql => $sql, cols => \@cols, ordered => $ordered };
	}

	# FROM
	my $n = $o{top} ? weighted(30 => 1, 36 => 2, 24 => 3, 10 => 4) : weighted(60 => 1, 30 => 2, 10 => 3);
	my (@items, @where);
	foreach (1 .. $n)
	{
		my @so_far = map { @{ $_->{cols} } } @items;
		push @items, from_item($depth, @so_far ? \@so_far : undef);
	}
	my $from = join_tree(\@where, $depth, @items);
	my $cols = $from->{cols};
	my $sql = $from->{sql};

	if ($depth > 0 && chance(0.08))
	{
		my ($item, $link) = correlated($cols);
		if ($item)
		{
			my $a = alias();
			my $where = join ' AND ', $link->[3], inner_where($item, 0, 0.3);
			if (chance(0.5))
			{
				$sql .= pick(' CROSS JOIN LATERAL ', ', LATERAL ') . "(SELECT count(*) AS c0 FROM $item->{sql} WHERE $where) $a";
				$cols = [ @$cols, { n => 'c0', r => "$a.c0", ty => 'num', role => 'n' } ];
			}
			else
			{
				my @inner = map { output($_, $item->{cols}[$_]{r}, $item->{cols}[$_]) } 0 .. $#{ $item->{cols} };
				$sql .= " LEFT JOIN LATERAL (SELECT "
				  . join(', ', map { "$_->{sql} AS $_->{n}" } @inner)
				  . " FROM $item->{sql} WHERE $where"
				  . order_all(scalar @inner)
				  . (chance(0.6) ? ' LIMIT 1' : '')
				  . ") $a ON "
				  . pick('true', 'true', "$a.c0 IS NOT NULL");
				$cols = [ @$cols, map { { %$_, r => "$a.$_->{n}" } } @inner ];
			}
		}
	}

	# WHERE
	push @where, tenant_predicate($cols) // () if chance($q->{tame} && $o{top} ? 1 : $o{top} ? 0.85 : 0.45);
	push @where, predicate($cols, $depth) if chance($q->{tame} ? 0.35 : 0.5);
	push @where, predicate($cols, $depth) if chance($q->{tame} ? 0 : 0.15);
	@where = ('(' . join(' OR ', @where) . ')') if @where > 1 && chance(0.03);
	my $where = where_sql(@where);

	# SELECT
	my @out;
	my $signature = $o{signature};
	if ($mode eq 'agg')
	{
		my @aggregates = $signature ? () : map { aggregate($cols) } 1 .. number(1, 3);

		@aggregates = map { $_ eq 'num' ? [ 'count(*)', 'num' ] : [ 'max(' . (expression($cols, $_))[0] . ')', $_ ] } @$signature
		  if $signature;
		@out = map { output($_, $aggregates[$_][0], {}, $aggregates[$_][1]) } 0 .. $#aggregates;
		my $having = chance(0.08) ? ' HAVING count(*) > 1' : '';
		return {
			sql => $with . 'SELECT ' . join(', ', map { "$_->{sql} AS $_->{n}" } @out) . " FROM $sql$where$having",
			cols => \@out, ordered => 0
		};
	}
	if ($mode eq 'group')
	{
		my @keys = map { pick(@$cols) } 1 .. number(1, 2);
		@keys = ($keys[0]) if @keys > 1 && $keys[0]{r} eq $keys[1]{r};
		@out = map { output($_, $keys[$_]{r}, $keys[$_]) } 0 .. $#keys;
		my $by = join ', ', map { $_->{r} } @keys;

		if (!$o{view} && chance(0.15))
		{
			$by = weighted(2 => "ROLLUP ($by)", 2 => "CUBE ($by)", 2 => "GROUPING SETS (($by), ())");
			$_->{role} = 'n' foreach @out;
			delete $_->{ref} foreach @out;
		}
		foreach (1 .. number(1, 2))
		{
			my $aggregate = aggregate($cols);
			push @out, output(scalar @out, $aggregate->[0], {}, $aggregate->[1]);
		}
		$sql = $with . 'SELECT ' . join(', ', map { "$_->{sql} AS $_->{n}" } @out) . " FROM $sql$where GROUP BY $by";
		$sql .= ' HAVING ' . pick('count(*) > 1', 'count(*) < 3', 'max(' . $keys[0]{r} . "\:\:text) > '1'") if chance(0.15);
	}
	else
	{
		my @wanted = $signature ? @$signature : map { undef } 1 .. number(1, 3);

		foreach my $ty (@wanted)
		{
			if (!$signature && $mode ne 'distinct on' && chance(0.1))
			{
				my ($sub, $sub_type) = scalar_subquery($cols);
				if ($sub) { push @out, output(scalar @out, $sub, {}, $sub_type); next; }
			}
			if (!$signature && !$q->{view} && chance(0.03))
			{
				push @out, output(scalar @out, tenant(), { ty => $tclass });
				next;
			}
			my ($expression, $column) = defined $ty ? expression($cols, $ty) : do { my $c = pick(@$cols); ($c->{r}, $c) };
			push @out, output(scalar @out, $expression, $column, $ty);
		}
		# a derived table is of use if it can be joined
		if (!$o{top} && !$signature)
		{
			foreach my $c (grep { $_->{role} =~ /^(tenant|id|fk)$/ } @$cols)
			{
				push @out, output(scalar @out, $c->{r}, $c) if chance(0.6) && @out < 6;
			}
		}
		my $distinct = '';
		my @plain = grep { $_->{sql} !~ /^\(SELECT/ } @out;
		if ($mode eq 'window' && @plain)
		{
			my $all = join ', ', map { $_->{sql} } @plain;
			my $partition = chance(0.6) ? 'PARTITION BY ' . pick(@$cols)->{r} : '';

			# what is ordered by all that is selected, and the partition, is certain
			$partition = 'PARTITION BY ' . pick(@plain)->{sql} if $partition && chance(0.6);
			push @out, output(
				scalar @out,
				weighted(
					4 => "count(*) OVER ()",
					2 => "rank() OVER ($partition ORDER BY $all)",
					2 => "count(*) OVER ($partition ORDER BY $all)",
					1 => "dense_rank() OVER (ORDER BY $all)",
					1 => "row_number() OVER (ORDER BY $all)"),
				{}, 'num');
		}
		$distinct = 'DISTINCT ' if $mode eq 'distinct';
		my $list = join ', ', map { "$_->{sql} AS $_->{n}" } @out;
		if ($mode eq 'distinct on')
		{
			my $order = ' ORDER BY ' . join ', ', map { $_->{sql} } @out;
			my $on = "ON ($out[0]{sql}) ";

			# a constant would be a position
			($on, $order) = ('', '') if grep { $_->{sql} =~ /^(7|NULL|'|\$|-?\d)/ } @out;
			my $sql_all = $with . "SELECT DISTINCT $on$list FROM $sql$where$order";
			return { sql => $sql_all, cols => \@out, ordered => 0 };
		}
		$sql = $with . "SELECT $distinct$list FROM $sql$where";
	}
	my $ordered = 0;
	if (chance($o{top} ? 0.4 : 0.1) && !grep { ($_->{ty} // '') eq 'json' } @out)
	{
		$sql .= order_all(scalar @out);
		$sql .= limit() if chance(0.6);
		$ordered = 1;
	}
	return { sql => $sql, cols => \@out, ordered => $ordered };
}

sub make_widget
{
	my ($name) = @_;

	new_query();
	my $select = select_statement(depth => 2, top => 1);
	my $sql = $select->{sql};
	my $ordered = $select->{ordered};

	if ($sql !~ /\$1/)
	{
		$sql = "SELECT x.*, \$1\:\:$type AS tenant FROM ($sql) x";
		$ordered = 0;
	}
	my $result = chance(0.75) ? 'rows' : undef;
	return {
		name => $name, sql => $sql, ordered => $ordered, result => $result,
		params => $sql =~ /\$2/ ? 1 : 0
	};
}

#-------------------------------------------------------------------------
# Writes
#-------------------------------------------------------------------------

sub live_columns
{
	my ($table) = @_;

	return grep { $table->{live}{ $_->{n} } } @{ $table->{cols} };
}

sub settable
{
	my ($table) = @_;

	return grep { !$_->{generated} } live_columns($table);
}

sub write_target
{
	my ($table) = @_;
	my @parts = (@{ $table->{parts} }, @{ $table->{kids} });

	return $table->{name} if !@parts || chance(0.6);
	return pick(@parts, @{ $table->{kids} } ? "ONLY $table->{name}" : ());
}

sub row_condition
{
	my ($table) = @_;
	my @cols = live_columns($table);
	my $c = chance(0.65) ? $cols[0] : pick(@cols);

	return 'true' if !$c || chance(0.03);
	return "$c->{n} IN (" . value($c, 1) . ', ' . value($c, 1) . ')' if chance(0.2);
	return "$c->{n} = " . value($c, 1);
}

sub assignments
{
	my ($table, $n) = @_;
	my @cols = settable($table);
	my %done;

	# the columns that lead to a tenant rather often
	return join ', ', map { "$_->{n} = " . value($_) }
	  grep { !$done{ $_->{n} }++ }
	  map {
		my @keys = grep { $_->{role} =~ /^(tenant|fk)$/ } @cols;
		chance(0.35) && @keys ? pick(@keys) : pick(@cols, grep { $_->{n} ne 'id' } @cols)
	  } 1 .. $n;
}

sub insert_row
{
	my ($table, %given) = @_;
	my @cols = settable($table);

	return ('(' . join(', ', map { $_->{n} } @cols) . ')',
		'(' . join(', ', map { $given{ $_->{n} } // value($_) } @cols) . ')');
}

# ({name of the written table}, SQL)
sub make_write
{
	my ($name) = @_;
	$name //= pick(sort keys %table);
	my $table = $table{$name};
	my $target = write_target($table);
	my ($columns, $row) = insert_row($table);
	my @cols = settable($table);
	(my $into = $target) =~ s/^ONLY //;

	return ($name, 'SELECT 1') unless @cols;
	my $kind = weighted(
		24 => 'insert', 34 => 'update', 14 => 'delete', 4 => 'truncate', 7 => 'upsert', 4 => 'move id',
		3 => 'merge', 3 => 'cte', 3 => 'insert select', 2 => 'update from', 2 => 'replica', 2 => 'copy back');

	if ($kind eq 'insert')
	{
		my @rows = ($row, map { (insert_row($table))[1] } 1 .. (chance(0.2) ? 2 : 0));
		return ($name, "INSERT INTO $into $columns VALUES " . join ', ', @rows);
	}
	return ($name, "UPDATE $target SET " . assignments($table, number(1, 2)) . ' WHERE ' . row_condition($table)) if $kind eq 'update';
	return ($name, "DELETE FROM $target WHERE " . row_condition($table)) if $kind eq 'delete';
	return ($name, "TRUNCATE $target" . pick('', ' CASCADE', ' CASCADE')) if $kind eq 'truncate';
	return ($name,
		"INSERT INTO $name $columns VALUES $row ON CONFLICT "
		  . ($table->{upsert} ? '(id) DO UPDATE SET ' . assignments($table, 1) : 'DO NOTHING'))
	  if $kind eq 'upsert';
	return ($name, "UPDATE $target SET $cols[0]{n} = " . value($cols[0]) . ' WHERE ' . row_condition($table)) if $kind eq 'move id';
	if ($kind eq 'merge')
	{
		return ($name,
			"MERGE INTO $name z USING (SELECT " . value($cols[0], 1) . "\:\:$cols[0]{sql} AS k) s ON z.$cols[0]{n} = s.k"
			  . ' WHEN MATCHED AND ' . pick('true', 'false') . ' THEN DELETE'
			  . ' WHEN MATCHED THEN UPDATE SET ' . assignments($table, 1)
			  . " WHEN NOT MATCHED THEN INSERT $columns VALUES $row");
	}
	if ($kind eq 'cte')
	{
		my ($other, $sql) = make_write();

		return ($name, $sql) if $sql !~ /^(INSERT|UPDATE|DELETE)/;
		return ("$name $other", "WITH d AS (DELETE FROM $target WHERE " . row_condition($table) . " RETURNING *) $sql")
		  if $other ne $name;
		return ($name, $sql);
	}
	return ($name, "INSERT INTO $into $columns SELECT " . join(', ', map {
			$_->{role} eq 'id' ? ($_->{ty} eq 'text' ? "'k1' || id" : 'id + ' . number(1, 9)) : $_->{n} } @cols)
		  . " FROM $name WHERE " . row_condition($table))
	  if $kind eq 'insert select';
	if ($kind eq 'update from')
	{
		my $other = pick(sort keys %table);
		return ($name, "UPDATE $target z SET " . assignments($table, 1) . " FROM $other o WHERE z.$cols[0]{n}\:\:text = o.id\:\:text");
	}
	return ($name, "WITH w AS (UPDATE $target SET $cols[0]{n} = $cols[0]{n} WHERE " . row_condition($table) . ' RETURNING 1) SELECT count(*) FROM w')
	  if $kind eq 'copy back';

	# as logical replication applies
	my (undef, $sql) = make_write($name);
	return ($name, "SET session_replication_role = replica; $sql; SET session_replication_role = origin");
}

# Two writes of the kind that must be seen together: a child and its parent.
sub make_race
{
	my @pairs;

	foreach my $name (sort keys %table)
	{
		foreach my $c (grep { $_->{role} eq 'fk' } settable($table{$name}))
		{
			my $parent = $table{ $c->{ref} } or next;
			my $paths = grep { my $kind = $_->{$name}; $kind && grep { $_ eq 'path' } values %$kind } values %kinds;

			my $links = grep { my $kind = $_->{ $parent->{name} }; $kind && grep { $_ eq 'links' } values %$kind } values %kinds;

			# rather where a path leads from the one to the other, or back
			push @pairs, ([ $table{$name}, $c, $parent, 0 ]) x (1 + 8 * $paths);
			push @pairs, ([ $table{$name}, $c, $parent, 1 ]) x (50 * $links);
		}
	}
	return unless @pairs;
	my ($child, $fk, $parent, $back) = @{ pick(@pairs) };
	my $k = $fk->{ty} eq 'text' ? "'k" . number(1, 5) . "'" : number(1, 5);
	my ($columns, $row) = insert_row($child, $fk->{n} => $k);
	return make_link_race($child, $fk, $parent, $k) if $back;
	my @lead = grep { $_->{role} =~ /^(tenant|fk)$/ } settable($parent);
	my $lead = @lead ? pick(@lead) : undef;
	my ($pcolumns, $prow) = insert_row($parent, id => $k);
	my $first = weighted(
		8 => "INSERT INTO $child->{name} $columns VALUES $row",
		3 => "UPDATE $child->{name} SET $fk->{n} = $k WHERE " . row_condition($child),
		1 => "UPDATE $child->{name} SET " . assignments($child, 1) . " WHERE $fk->{n} = $k",
		1 => "DELETE FROM $child->{name} WHERE $fk->{n} = $k");
	my $second = weighted(
		$lead ? (12 => "UPDATE $parent->{name} SET $lead->{n} = " . value($lead, 1) . " WHERE id = $k") : (),
		2 => "INSERT INTO $parent->{name} $pcolumns VALUES $prow",
		1 => "DELETE FROM $parent->{name} WHERE id = $k",
		1 => "UPDATE $parent->{name} SET id = $k WHERE " . row_condition($parent));
	return ([ $child->{name}, $first ], [ $parent->{name}, $second ]);
}

# The same where the path leads from the parent to those that refer to it.
sub make_link_race
{
	my ($link, $fk, $parent, $k) = @_;
	my ($columns, $row) = insert_row($link, $fk->{n} => $k);
	my ($pcolumns, $prow) = insert_row($parent, id => $k);
	my @lead = grep { $_->{role} =~ /^(tenant|fk)$/ && $_->{n} ne $fk->{n} } settable($link);
	my $lead = @lead ? pick(@lead) : undef;
	my $first = weighted(
		8 => "INSERT INTO $link->{name} $columns VALUES $row",
		4 => "UPDATE $link->{name} SET $fk->{n} = $k WHERE " . row_condition($link),
		$lead ? (8 => "UPDATE $link->{name} SET $lead->{n} = " . value($lead, 1) . " WHERE $fk->{n} = $k") : (),
		3 => "DELETE FROM $link->{name} WHERE $fk->{n} = $k");
	my $second = weighted(
		16 => "UPDATE $parent->{name} SET " . assignments($parent, number(2, 4)) . " WHERE id = $k",
		3 => "INSERT INTO $parent->{name} $pcolumns VALUES $prow",
		2 => "DELETE FROM $parent->{name} WHERE id = $k",
		2 => "UPDATE $parent->{name} SET id = $k WHERE " . row_condition($parent));
	return shuffled([ $link->{name}, $first ], [ $parent->{name}, $second ]);
}

#-------------------------------------------------------------------------
# DDL: ([statements], [what takes it back, later])
#-------------------------------------------------------------------------

sub make_ddl
{
	my $name = pick(sort keys %table);
	my $table = $table{$name};
	my @cols = live_columns($table);
	my $c = pick(@cols) or return ([], []);
	my ($col, $sql) = ($c->{n}, $c->{sql});
	my $view = @views ? pick(@views) : undef;
	my @parts = @{ $table->{parts} };
	my @kids = @{ $table->{kids} };
	my @fks = grep { $_->{role} eq 'fk' } @cols;
	my @kinds = (
		4 => sub { my $x = 'z' . number(1, 99); ([ "ALTER TABLE $name ADD COLUMN $x int" . pick('', ' DEFAULT 5') ], [ "ALTER TABLE $name DROP COLUMN IF EXISTS $x" ]) },
		5 => sub { ([ "ALTER TABLE $name DROP COLUMN $col" . pick('', ' CASCADE') ], [ "ALTER TABLE $name ADD COLUMN $col $sql" ]) },
		4 => sub { ([ "ALTER TABLE $name RENAME COLUMN $col TO renamed" ], [ "ALTER TABLE $name RENAME COLUMN renamed TO $col" ]) },
		4 => sub { ([ "ALTER TABLE $name RENAME TO ${name}_away" ], [ "ALTER TABLE ${name}_away RENAME TO $name" ]) },
		3 => sub { ([ "ALTER TABLE $name SET SCHEMA fuzz_other" ], [ "ALTER TABLE fuzz_other.$name SET SCHEMA fuzz" ]) },
		3 => sub {
			([
				"ALTER TABLE $name ALTER COLUMN $col TYPE " . ($c->{ty} eq 'num' ? pick('bigint', 'numeric', 'int') : $c->{ty} eq 'text' ? 'varchar(50)' : 'text')
			], [ "ALTER TABLE $name ALTER COLUMN $col TYPE $sql USING $col\:\:$sql" ]) },
		2 => sub { ([ "ALTER TABLE $name ALTER COLUMN $col " . pick('SET', 'DROP') . ' NOT NULL' ], []) },
		3 => sub { ([ "ALTER TABLE $name DISABLE TRIGGER " . pick('ALL', 'USER', 'dashcache_row', 'dashcache_statement') ], [ "ALTER TABLE $name ENABLE TRIGGER ALL" ]) },
		1 => sub { ([ "DROP TRIGGER dashcache_row ON $name" ], []) },
		4 => sub { my $p = pick(@names); ([ "DROP INDEX IF EXISTS ${name}_p_${p}_idx" ], [ "CREATE INDEX IF NOT EXISTS ${name}_p_${p}_idx ON $name (p_$p)" ]) },
		3 => sub { ([ "CREATE UNIQUE INDEX ix_$name ON $name (id)" ], [ "DROP INDEX IF EXISTS ix_$name" ]) },
		3 => sub { ([ "ALTER TABLE $name DROP CONSTRAINT ${name}_pkey CASCADE" ], [ "ALTER TABLE $name ADD PRIMARY KEY (id)" ]) },
		1 => sub { ([ "DELETE FROM $name WHERE id = " . value($table->{cols}[0], 1), "ALTER TABLE $name REPLICA IDENTITY FULL" ], []) },
		2 => sub { ([ pick("ANALYZE $name", "COMMENT ON TABLE $name IS 'x'", "CREATE INDEX IF NOT EXISTS ii_$name ON $name ($col)", "REINDEX TABLE $name", "GRANT SELECT ON $name TO PUBLIC") ], []) },
		2 => sub { ([ pick("VACUUM FULL $name", "VACUUM $name") ], [], 'alone') },
		3 => sub { ([ "CREATE TABLE fuzz_first.$name (LIKE fuzz.$name)" ], [ "DROP TABLE IF EXISTS fuzz_first.$name CASCADE" ]) },
		3 => sub { ([ "CREATE TABLE fuzz_first.$name AS SELECT * FROM fuzz.$name LIMIT 3" ], [ "DROP TABLE IF EXISTS fuzz_first.$name CASCADE" ]) },
		2 => sub {
			my $x = $name . '_k' . number(5, 9);
			$table->{kind} eq 'partitioned' ? ([], []) : ([ "CREATE TABLE $x () INHERITS ($name)", "INSERT INTO $x SELECT * FROM ONLY $name WHERE " . row_condition($table) ], [ "DROP TABLE IF EXISTS $x" ]) },
		2 => sub {
			my $x = $name . '_like';
			$table->{kind} eq 'partitioned' ? ([], [])
			  : ([ "CREATE TABLE IF NOT EXISTS $x AS SELECT * FROM ONLY $name WHERE " . row_condition($table), "ALTER TABLE $x INHERIT $name" ], [ "ALTER TABLE $x NO INHERIT $name" ]) },
		@kids ? (5 => sub { my $k = pick(@kids); ([ pick("ALTER TABLE $k NO INHERIT $name", "DROP TABLE $k CASCADE") ], [ "ALTER TABLE $k INHERIT $name" ]) }) : (),
		3 => sub {
			my @all = @cols;
			([
				"CREATE TABLE made_again AS SELECT * FROM $name", "DROP TABLE $name CASCADE", "ALTER TABLE made_again RENAME TO $name",
				chance(0.7) ? "ALTER TABLE $name ADD PRIMARY KEY (id)" : ()
			], []) },
	);

	if (@parts)
	{
		my $i = number(0, 2);
		my $part = "${name}_p$i";

		push @kinds,
		  8 => sub { ([ "ALTER TABLE $name DETACH PARTITION $part" ], [ "ALTER TABLE $name ATTACH PARTITION $part $table->{bounds}[$i]" ]) },
		  2 => sub { ([ "ALTER TABLE $name DETACH PARTITION $part CONCURRENTLY" ], [ "ALTER TABLE $name ATTACH PARTITION $part $table->{bounds}[$i]" ], 'alone') },
		  4 => sub { ([ "DROP TABLE $part CASCADE" ], [ "CREATE TABLE $part PARTITION OF $name $table->{bounds}[$i]" ]) },
		  3 => sub { ([ "CREATE TABLE fresh AS SELECT * FROM $name WHERE false", "INSERT INTO fresh SELECT * FROM $part", "DROP TABLE $part CASCADE", "ALTER TABLE fresh RENAME TO $part", "ALTER TABLE $name ATTACH PARTITION $part $table->{bounds}[$i]" ], []) };
	}
	if (@fks)
	{
		my $fk = pick(@fks);

		push @kinds,
		  4 => sub {
			([
				"ALTER TABLE $name ADD CONSTRAINT later FOREIGN KEY ($fk->{n}) REFERENCES $fk->{ref} (id) ON DELETE CASCADE"
				  . pick(' NOT VALID', '')
			], [ "ALTER TABLE $name DROP CONSTRAINT IF EXISTS later" ]) },
		  3 => sub { ([ "ALTER TABLE $name DROP CONSTRAINT IF EXISTS fk_$fk->{ref}" ], []) };
	}
	if ($view)
	{
		my $v = $view->{name};

		if ($view->{matview})
		{
			push @kinds, 15 => sub { ([ "REFRESH MATERIALIZED VIEW $v" ], []) };
		}
		else
		{
			push @kinds,
			  8 => sub { ([ "CREATE OR REPLACE VIEW $v AS SELECT * FROM ($view->{sql}) y " . pick('LIMIT 2', 'WHERE false', 'OFFSET 0') ], [ "CREATE OR REPLACE VIEW $v AS $view->{sql}" ]) },
			  3 => sub { ([ "DROP VIEW $v CASCADE" ], [ "CREATE VIEW $v AS $view->{sql}" ]) },
			  3 => sub { ([ "ALTER VIEW $v RENAME TO ${v}_away" ], [ "ALTER VIEW ${v}_away RENAME TO $v" ]) };
		}
	}
	push @kinds,
	  6 => sub { ([ "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT \$1 + " . number(1, 3) . "'" ], []) },
	  1 => sub { ([ 'ALTER FUNCTION f(int) RENAME TO f_away' ], [ 'ALTER FUNCTION f_away(int) RENAME TO f' ]) },
	  1 => sub { ([ "CREATE FUNCTION fuzz_first.f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3'" ], [ 'DROP FUNCTION IF EXISTS fuzz_first.f(int)' ]) }
	  if $have_function;
	return weighted(@kinds)->();
}

#-------------------------------------------------------------------------
# The oracle
#-------------------------------------------------------------------------

# One statement computes both; only if it fails they are computed apart.
sub setup_oracle
{
	my ($session) = @_;
	my $sql = <<'END_SQL';
CREATE EXTENSION IF NOT EXISTS dashcache;
DROP SCHEMA IF EXISTS fuzz_oracle CASCADE;
CREATE SCHEMA fuzz_oracle;
CREATE TABLE fuzz_oracle.widget (i int, name text, query text, result text, ordered boolean, params boolean);
CREATE FUNCTION fuzz_oracle.sorted(jsonb) RETURNS jsonb LANGUAGE sql AS
$$SELECT CASE WHEN jsonb_typeof($1) = 'array' THEN (SELECT coalesce(jsonb_agg(e ORDER BY e), '[]') FROM jsonb_array_elements($1) e) ELSE $1 END$$;
CREATE FUNCTION fuzz_oracle.check_sets(tenants text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	w record;
	p jsonb;
	served record;
	direct text;
	n int;
BEGIN
	FOR w IN SELECT * FROM fuzz_oracle.widget ORDER BY i LOOP
		FOREACH p IN ARRAY CASE WHEN w.params THEN ARRAY['{}', '{"st": "closed", "min": 1}'] ELSE ARRAY['{}'] END::jsonb[] LOOP
			BEGIN
				CONTINUE WHEN dashcache.setwise(w.name, 'fuzz') IS NOT NULL;
				PERFORM dashcache.warm_set(w.name, 'fuzz', tenants, p);
			EXCEPTION WHEN OTHERS THEN
				RETURN NEXT concat_ws('|', w.name, 0, p, 'failed', SQLERRM);
				CONTINUE;
			END;
			FOR n IN 1 .. cardinality(tenants) LOOP
				SELECT f.data::text, f.source INTO served FROM dashcache_fetch(tenants[n], 'fuzz', w.name, p) f;
				SELECT f.data::text INTO direct FROM dashcache_fetch(tenants[n], 'fuzz', w.name, p, refresh => true) f;
				RETURN NEXT concat_ws('|', w.name, n, p, CASE WHEN served.data = direct THEN 'equal' ELSE 'DIFFERENT' END,
					served.source, format('warmed %s, direct %s', served.data, direct));
			END LOOP;
		END LOOP;
	END LOOP;
END
$$;
END_SQL
	foreach my $t (qw(int bigint text uuid))
	{
		my $given = $t eq 'int' ? '$1::bigint' : '$1';
		$sql .= <<"END_SQL";
CREATE FUNCTION fuzz_oracle.check_$t(wanted text, tenants ${t}[]) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
	w record;
	t $t;
	p jsonb;
	cached jsonb;
	direct jsonb;
	n int;
	m int;
	said_by text;
	reason text;
	cached_error text;
	direct_error text;
	status text;
	call text;
	compute text;
	as_is text;
	meant text;
	get text;
BEGIN
	FOR w IN SELECT * FROM fuzz_oracle.widget WHERE wanted IS NULL OR name = wanted ORDER BY i LOOP
		get := format('dashcache_fetch($given, ''fuzz'', %L, \$2)', w.name);
		compute := format('(SELECT coalesce(jsonb_agg(to_jsonb(x)), ''[]'') FROM (%s) x)', w.query);
		n := 0;
		FOREACH t IN ARRAY tenants LOOP
			n := n + 1;
			m := 0;
			FOREACH p IN ARRAY CASE WHEN w.params THEN ARRAY['{}', '{"st": "closed", "min": 1}'] ELSE ARRAY['{}'] END::jsonb[] LOOP
				m := m + 1;
				-- queries follow what is renamed: as it was, or as it is
				as_is := replace(compute, w.query, (SELECT query FROM dashcache.widget WHERE dashboard = 'fuzz' AND name = w.name));
				FOREACH meant IN ARRAY CASE WHEN as_is <> compute THEN ARRAY[compute, as_is] ELSE ARRAY[compute] END LOOP
					cached_error := NULL;
					direct_error := NULL;
					BEGIN
						EXECUTE format('SELECT f.data::jsonb, f.source, f.reason, %s FROM %s f', meant, get)
						INTO cached, said_by, reason, direct USING t, p;
					EXCEPTION WHEN OTHERS THEN
						cached := NULL;
						direct := NULL;
						reason := NULL;
						BEGIN
							EXECUTE format('SELECT f.data::jsonb, f.source, f.reason FROM %s f', get)
							INTO cached, said_by, reason USING t, p;
						EXCEPTION WHEN OTHERS THEN
							cached_error := SQLSTATE || ' ' || SQLERRM;
						END;
						BEGIN
							EXECUTE format('SELECT %s', meant) INTO direct USING t, p;
						EXCEPTION WHEN OTHERS THEN
							direct_error := SQLSTATE || ' ' || SQLERRM;
						END;
					END;
					IF w.result = 'row' AND direct_error IS NULL THEN
						IF jsonb_array_length(direct) > 1 THEN
							direct_error := 'more than one row';
						END IF;
						direct := coalesce(direct->0, 'null');
					ELSIF NOT w.ordered THEN
						cached := fuzz_oracle.sorted(cached);
						direct := fuzz_oracle.sorted(direct);
					END IF;
					status := CASE
						WHEN cached_error ~ '^(55P03|57014|40)' OR direct_error ~ '^(55P03|57014|40)' THEN 'skipped'
						WHEN cached_error IS NOT NULL AND direct_error IS NOT NULL THEN 'failed'
						WHEN cached_error IS NOT NULL OR direct_error IS NOT NULL OR cached IS DISTINCT FROM direct THEN 'DIFFERENT'
						ELSE 'equal' END;
					EXIT WHEN status IN ('equal', 'skipped');
				END LOOP;
				RETURN NEXT concat_ws('|', w.name, n, m, status, CASE WHEN said_by = 'cache' THEN 'hit' ELSE coalesce(reason, 'error') END,
					coalesce(md5(direct::text), '') || CASE WHEN direct::text ~ '[1-9a-z]' AND direct::text <> 'null' THEN '' ELSE ' empty' END, CASE WHEN status IN ('DIFFERENT', 'failed') THEN
						format('cached %s, direct %s', coalesce(cached_error, cached::text), coalesce(direct_error, direct::text)) END);
			END LOOP;
		END LOOP;
	END LOOP;
END
\$\$;
END_SQL
	}
	$session->must($sql);
	return;
}

#-------------------------------------------------------------------------
# Running
#-------------------------------------------------------------------------

my %session;
my @log;               # [session, SQL or undef for a comparison]
my %seen;              # the last answer for a key
my ($different, $last_write);
my %count = map { $_ => 0 } qw(rounds steps writes failed_writes ddl failed_ddl widgets refused comparisons empty hits differences skipped failures sets sets_served set_failures);
my (%precision, %reasons, %both_failed, %refusals, %write_errors);

sub connect_all
{
	foreach my $name (qw(a b c d))
	{
		delete $session{$name};
		$session{$name} = Dashcache::Client->new(
			application_name => "fuzz $name",
			options => '-c client_min_messages=error -c lock_timeout=' . ($name =~ /[ab]/ ? 60 : 5) . 'ms -c statement_timeout=10s -c jit=off'
			  . ' -c search_path=fuzz_first,fuzz,public -c timezone=UTC');
	}
	return;
}

# $_[0]: session; fails quietly; true if it succeeded
sub run
{
	my ($name, $sql) = @_;

	push @log, [ $name, $sql ];
	return $session{$name}->query($sql) ? 1 : 0;
}

# An error that the cache, and not the statement, is to blame for.
sub note_error
{
	my ($name, $sql) = @_;
	my $error = $session{$name}{error} or return;
	my $text = join ' ', @{$error}{qw(C M)}, $error->{W} // '';

	return if defined $known && $text =~ /$known/;
	if ($error->{C} =~ /^(XX|58|53)/ || $error->{M} =~ /has been dropped/ || $text =~ /dashcache/ && $error->{C} !~ /^(55P03|57014|40|23|22)/)
	{
		$different //= { widget => 'none', odd => "$error->{C} " . ($error->{M} =~ s/\d+/#/gr), text => "$sql\n$text" };
	}
	$write_errors{"$error->{C} " . ($error->{C} =~ /^42/ ? $error->{M} : '')}++;
	return;
}

sub write_sql
{
	my ($name, $sql) = @_;
	my $ok = run($name, $sql);

	$count{writes}++;
	return 1 if $ok;
	$count{failed_writes}++;
	note_error($name, $sql);
	$session{$name}->query('SET session_replication_role = origin') if $sql =~ /replication_role/;
	return 0;
}

sub kind_of_write
{
	my ($widget, $written) = @_;
	my %found;

	return 'ddl' if $written eq 'ddl';
	foreach my $name (split ' ', $written)
	{
		$found{$_} = 1 foreach values %{ $kinds{$widget}{$name} // {} };
	}
	return $found{any} ? 'every tenant' : $found{links} ? 'links' : $found{path} ? 'path' : $found{expression} ? 'expression' : $found{column} ? 'column' : 'cascades, others';
}

# Compare; $written: the tables written since the last time, for the precision
sub check
{
	my ($name, $written, $only) = @_;
	my $tenants = 'ARRAY[' . join(', ', @literals) . "]\:\:${type}[]";
	my $rows = $session{$name}->query("SELECT * FROM fuzz_oracle.check_$type(" . (defined $only ? "'$only'" : 'NULL') . ", $tenants)");

	push @log, [ $name, undef ];
	if (!$rows)
	{
		$count{skipped}++;
		note_error($name, 'comparison');
		return;
	}
	foreach my $row (@$rows)
	{
		my ($widget, $t, $p, $status, $reason, $md5, $text) = split /\|/, $row->[0], 7;

		$count{comparisons}++;
		if ($status eq 'DIFFERENT')
		{
			$different //= { widget => $widget, tenant => $tenants[ $t - 1 ], params => $p, session => $name, reason => $reason, text => $text };
			next;
		}
		if ($status ne "equal")
		{
			$count{ $status eq "failed" ? "failures" : "skipped" }++;
			$both_failed{ $text =~ m{, direct (.*)} ? $1 =~ s{"[^"]*"}{"..."}gr : "" }++ if $status eq "failed";
			next;
		}
		$reasons{$reason}++;
		$count{empty}++ if $md5 =~ / empty/;
		$count{hits}++ if $reason eq 'hit';
		next unless defined $written;
		my $key = "$widget|$t|$p";
		if (defined $seen{$key} && ($reason eq 'changed' || $reason eq 'cold'))
		{
			my $kind = kind_of_write($widget, $written);

			$precision{$kind}[0]++;
			$precision{$kind}[1]++ if $seen{$key} ne $md5;
			print "needless ($kind, $reason): $key: $last_write\n   $session{queries}{$widget}\n"
			  if $verbose > 1 && $seen{$key} eq $md5 && $kind ne 'ddl';
		}
		elsif (defined $seen{$key} && $reason eq 'hit' && $written ne 'ddl')
		{
			$precision{kept}[0]++;
		}
		$seen{$key} = $md5 if $reason =~ /^(hit|changed|cold)$/;
	}
	return;
}

# Compare what is computed for all tenants at once.
sub check_sets
{
	my ($name) = @_;
	my $sql = 'SELECT * FROM fuzz_oracle.check_sets(ARRAY[' . join(', ', map { "'$_'" } @tenants) . '])';
	my $rows = $session{$name}->query($sql);

	push @log, [ $name, $sql ];
	if (!$rows)
	{
		note_error($name, 'comparison of sets');
		return;
	}
	foreach my $row (@$rows)
	{
		my ($widget, $t, $p, $status, $source, $text) = split /\|/, $row->[0], 6;

		$count{ $status eq 'failed' ? 'set_failures' : 'sets' }++;
		$both_failed{ 'set: ' . $source =~ s{"[^"]*"}{"..."}gr }++ if $status eq 'failed';
		$count{sets_served}++ if $status ne 'failed' && $source eq 'cache';
		$different //= { widget => $widget, tenant => $tenants[ $t - 1 ], params => $p, session => $name, reason => "of a set, from the $source", text => $text }
		  if $status eq 'DIFFERENT';
	}
	return;
}

# What became of the tables; not logged, changes nothing.
sub refresh_model
{
	my $rows = $session{c}->query(
		"SELECT c.relname, string_agg(a.attname, ' ') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
		  . "WHERE c.relnamespace = 'fuzz'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1");
	my %live = map { $_->[0] => { map { $_ => 1 } split ' ', $_->[1] } } @{ $rows // [] };

	foreach my $table (values %table)
	{
		$table->{live} = $live{ $table->{name} } // $table->{live};
		$table->{parts} = [ grep { $live{$_} } @{ $table->{parts} } ] if @{ $table->{parts} };
		$table->{kids} = [ grep { $live{$_} } @{ $table->{kids} } ] if @{ $table->{kids} };
	}
	refresh_kinds();
	return;
}

sub refresh_kinds
{
	my $rows = $session{c}->query(
		"SELECT w.name, c.relname, s.invalidation, s.key IS NOT NULL, cardinality(s.hop_relations), s.number, h.tables, true = ANY (s.hop_many) FROM dashcache.source s "
		  . "JOIN dashcache.widget w ON w.id = s.widget JOIN pg_class c ON c.oid = s.source "
		  . "CROSS JOIN LATERAL (SELECT string_agg(r::regclass::text, ' ') AS tables FROM unnest(s.hop_relations) r) h "
		  . "WHERE w.dashboard = 'fuzz'") // [];

	%kinds = ();
	foreach my $row (@$rows)
	{
		my ($widget, $source, $invalidation, $key, $hops, $number, $tables, $many) = @$row;

		$source =~ s/_[pk]\d.*$//;
		$kinds{$widget}{$source}{$number} = $invalidation ne 'r' ? 'any' : ($many // '') eq 't' ? 'links' : $hops ? 'path' : $key eq 't' ? 'column' : 'expression';
		next unless $tables;
		foreach my $hop (split ' ', $tables)
		{
			$hop =~ s/.*\.//;
			$kinds{$widget}{$hop}{"hop $number"} = 'path';
		}
	}
	return;
}

sub define_widget
{
	my ($session_name, $widget, $i) = @_;
	my $result = $widget->{result} ? "'$widget->{result}'" : 'NULL';
	my $q = '$q$';

	if (!run($session_name, "SELECT dashcache_define('$widget->{name}', $q$widget->{sql}$q, 'fuzz', ttl => NULL, result => $result)"))
	{
		my $error = $session{$session_name}{error};
		$count{refused}++;
		push @{ $refusals{"$error->{C} " . ($error->{M} =~ s/"[^"]*"/"..."/gr)} }, $widget->{sql};
		return 0;
	}
	$count{widgets}++;
	my ($o, $p) = map { $_ ? 'true' : 'false' } @$widget{qw(ordered params)};
	run($session_name,
		"DELETE FROM fuzz_oracle.widget WHERE name = '$widget->{name}'; "
		  . "INSERT INTO fuzz_oracle.widget SELECT $i, '$widget->{name}', $q$widget->{sql}$q, result, $o, $p FROM dashcache.widget WHERE dashboard = 'fuzz' AND name = '$widget->{name}'");
	$session{queries}{ $widget->{name} } = $widget->{sql};
	return 1;
}

sub clean
{
	connect_all();
	my $c = $session{c};
	$c->must('SET lock_timeout = 0');
	$c->must("ROLLBACK PREPARED '$_->[0]'") foreach @{ $c->must("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'fuzz%'") };
	$c->must(<<'END_SQL');
SELECT dashcache_drop(dashboard => 'fuzz') FROM dashcache.dashboard WHERE name = 'fuzz';
DROP SCHEMA IF EXISTS fuzz CASCADE;
DROP SCHEMA IF EXISTS fuzz_first CASCADE;
DROP SCHEMA IF EXISTS fuzz_other CASCADE;
CREATE SCHEMA fuzz;
CREATE SCHEMA fuzz_first;
CREATE SCHEMA fuzz_other;
TRUNCATE fuzz_oracle.widget;
SET lock_timeout = '5ms'
END_SQL
	return;
}

sub settle
{
	my ($written) = @_;

	check('c', $written);
	return if $different;
	# nothing has happened since
	check('c', undef) if chance(0.1);
	check_sets('c') if chance(0.5) && !$different;
	return;
}

sub fill_table
{
	my ($name) = @_;
	my ($columns) = insert_row($table{$name});

	return unless settable($table{$name});
	run('a', "INSERT INTO $name $columns VALUES " . join ', ', map { (insert_row($table{$name}))[1] } 1)
	  foreach 1 .. 6;
	return;
}

sub step_write
{
	my ($name, $sql) = make_write();

	$last_write = $sql;
	write_sql('a', $sql);
	return $name;
}

sub step_transaction
{
	my @written;
	my $open = 0;

	run('a', 'BEGIN' . pick('', '', ' ISOLATION LEVEL REPEATABLE READ', ' ISOLATION LEVEL SERIALIZABLE'));
	foreach my $i (1 .. number(1, 4))
	{
		my ($name, $sql) = make_write();

		push @written, $name;
		$last_write = $sql;
		run('a', "SAVEPOINT s");
		if (!write_sql('a', $sql)) { run('a', 'ROLLBACK TO s'); next; }
		run('a', 'ROLLBACK TO s') if chance(0.2);
		check('a', undef) if chance(0.15);
		check('c', undef) if chance(0.15);
		return join ' ', @written if $different;
	}
	if (chance(0.15))
	{
		if (run('a', "PREPARE TRANSACTION 'fuzz'"))
		{
			check('c', join ' ', @written) if chance(0.7);
			return join ' ', @written if $different;
			run('b', weighted(3 => "COMMIT PREPARED 'fuzz'", 1 => "ROLLBACK PREPARED 'fuzz'"));
			return join ' ', @written;
		}
	}
	run('a', weighted(3 => 'COMMIT', 1 => 'ROLLBACK'));
	return join ' ', @written;
}

# Is there a path by a column that is not unique?
sub have_links
{
	return grep { grep { $_ eq 'links' } map { values %$_ } values %$_ } values %kinds;
}

sub step_two
{
	my @race = chance(0.7) ? make_race() : ();
	my @written;
	my @todo = shuffled('a', 'b');

	run($_, 'BEGIN' . pick('', '', ' ISOLATION LEVEL REPEATABLE READ')) foreach @todo;
	# take the snapshots
	foreach (@todo) { run($_, 'SELECT 1') if chance(0.5); }
	foreach my $i (0 .. weighted(6 => 1, 2 => 2, 2 => 3))
	{
		my $who = $todo[ $i % 2 ];
		my ($name, $sql) = $i < 2 && @race ? @{ $race[$i] } : make_write();

		push @written, $name;
		run($who, 'SAVEPOINT s');
		$last_write = $sql;
		run($who, 'ROLLBACK TO s') unless write_sql($who, $sql);
		check('c', undef) if chance(0.15);
		return join ' ', @written if $different;
	}
	@todo = reverse @todo if chance(@race ? 0.65 : 0.5);
	foreach my $who (@todo)
	{
		run($who, weighted(5 => 'COMMIT', 1 => 'ROLLBACK'));
		check('c', join ' ', @written) if $who ne $todo[-1] && chance(0.8);
		return join ' ', @written if $different;
	}
	return join ' ', @written;
}

sub step_old_snapshot
{
	my @written;

	run('d', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
	check('d', undef);
	foreach (1 .. number(1, 3))
	{
		push @written, step_write();
		check('d', undef) if chance(0.5) && !$different;
		check('c', join ' ', @written) if chance(0.5) && !$different;
		return join ' ', @written if $different;
	}
	check('d', undef);
	run('d', 'COMMIT');
	return join ' ', @written;
}

my @undo;

sub step_ddl
{
	my ($statements, $undo, $alone) = make_ddl();
	my $rolled_back = !$alone && chance(0.15);
	my $ok = 1;

	return 'ddl' unless @$statements;
	$last_write = join '; ', @$statements;
	run('a', 'BEGIN') unless $alone;
	foreach my $sql (@$statements)
	{
		$count{ddl}++;
		$ok &&= run('a', $sql);
		next if $ok;
		$count{failed_ddl}++;
		note_error('a', $sql);
		last;
	}
	if ($ok && !$alone && chance(0.2))
	{
		check('a', undef);
		return 'ddl' if $different;
	}
	if ($ok && !$alone && chance(0.3))
	{
		# others do not see it yet; what it locks they cannot read
		check('c', undef, pick(sort keys %{ $session{queries} }));
		return 'ddl' if $different;
	}
	run('a', $ok && !$rolled_back ? 'COMMIT' : 'ROLLBACK') unless $alone;
	push @undo, [ number(0, 3), $undo ] if $ok && !$rolled_back && @$undo;
	return 'ddl';
}

sub undo_ddl
{
	my $done = 0;

	foreach my $entry (@undo)
	{
		next if $entry->[0]-- > 0;
		foreach my $sql (@{ $entry->[1] })
		{
			$last_write = $sql;
			run('a', $sql) or note_error('a', $sql);
		}
		$done = 1;
	}
	@undo = grep { $_->[0] >= 0 } @undo;
	return $done;
}

sub run_round
{
	my ($round) = @_;

	srand($seed * 100003 + $round);
	$different = undef;
	@log = @undo = ();
	%seen = ();
	$session{queries} = {};
	clean();
	make_schema();
	foreach my $sql (@setup)
	{
		next if run('a', $sql);
		note_error('a', $sql);
		my $error = $session{a}{error};
		push @{ $refusals{"schema: $error->{C} $error->{M}"} }, $sql if $error->{C} !~ /^23/;
	}
	# a view that could not be made
	my %made = map { $_->[0] => 1 } @{ $session{a}->must("SELECT relname FROM pg_class WHERE relnamespace = 'fuzz'::regnamespace") };
	@views = grep { $made{ $_->{name} } } @views;

	my $n = 0;
	$session{a}->must("SET lock_timeout = '3s'");
	for (1 .. 20)
	{
		$n++ if define_widget('a', make_widget("w$n"), $n);
		last if $n == 12;
	}
	$session{a}->must("SET lock_timeout = '60ms'");
	refresh_kinds();
	check('c', undef);
	check('c', '');
	foreach my $step (1 .. $steps)
	{
		last if $different;
		$count{steps}++;
		my $written =
		  weighted(54 => \&step_write, 9 => \&step_transaction, (have_links() ? 54 : 18) => \&step_two, 7 => \&step_old_snapshot, 12 => \&step_ddl)->();

		refresh_model() if $written eq 'ddl';
		settle($written) unless $different;
		if (!$different && chance(0.35))
		{
			# not for nothing: a table that has become empty
			my @empty = map { $_->[0] } @{
				$session{c}->query(join ' UNION ALL ',
					map { "SELECT '$_' WHERE (SELECT count(*) FROM fuzz.$_) < 3" } grep { %{ $table{$_}{live} } } sort keys %table) // []
			};
			fill_table($_) foreach @empty;
			settle(join ' ', @empty) if @empty;
		}
		if (!$different && @undo && undo_ddl())
		{
			refresh_model();
			settle('ddl');
		}
		if (!$different && chance(0.01))
		{
			$n++ if define_widget('b', make_widget("w$n"), $n);
			refresh_kinds();
			settle('ddl');
		}
	}
	run($_, 'ROLLBACK') foreach qw(a b d);
	$count{rounds}++;
	report($round) if $different;
	return;
}

#-------------------------------------------------------------------------
# A difference
#-------------------------------------------------------------------------

# Does the difference come about with these entries of the log?
sub replay
{
	my ($widget, $odd, @entries) = @_;
	my $found;
	my $tenants = 'ARRAY[' . join(', ', @literals) . "]\:\:${type}[]";

	clean();
	foreach my $entry (@entries)
	{
		my ($name, $sql) = @$entry;

		if (defined $sql)
		{
			my $done = $session{$name}->query($sql);
			if ($done && $sql =~ /check_sets/)
			{
				($found) = grep { /\|DIFFERENT\|/ } map { $_->[0] } @$done;
				return $found if $found && !$odd;
			}
			next if $done || !$odd;
			my $error = $session{$name}{error};
			return "fails: $error->{M}" if $odd eq "$error->{C} " . ($error->{M} =~ s/\d+/#/gr);
			next;
		}
		next if $odd;
		my $rows = $session{$name}->query("SELECT * FROM fuzz_oracle.check_$type('$widget', $tenants)") or next;
		($found) = grep { /\|DIFFERENT\|/ } map { $_->[0] } @$rows;
		return $found if $found;
	}
	return;
}

sub shrink
{
	my ($widget, $odd, @entries) = @_;
	my $until = time + $shrink_time;
	my $size = @entries;

	# not the other widgets, at once
	my @fewer = grep { !defined $_->[1] || $_->[1] !~ /dashcache_define\('(w\d+)'|fuzz_oracle.widget WHERE name = '(w\d+)'/ || ($1 // $2) eq $widget } @entries;
	return unless replay($widget, $odd, @entries);
	@entries = @fewer if !$odd && replay($widget, $odd, @fewer);
	while ($size >= 1)
	{
		my $changed = 0;
		for (my $at = $#entries - $size + 1; $at > -$size; $at -= $size)
		{
			return @entries if time > $until;
			my $from = $at < 0 ? 0 : $at;
			my $to = $at + $size - 1;
			my @try = (@entries[ 0 .. $from - 1 ], @entries[ $to + 1 .. $#entries ]);

			next unless replay($widget, $odd, @try);
			@entries = @try;
			$changed = 1;
		}
		next if $size == 1 && $changed;
		$size = int($size / 2);
	}
	return @entries;
}

sub report
{
	my ($round) = @_;
	my %d = %$different;

	$count{differences}++;
	print "\nDIFFERENCE: seed $seed, round $round (SEED=$seed ROUND=$round repeats it)\n",
	  $d{odd} ? "a statement fails that should not: $d{text}\n" :
	  "widget $d{widget}, tenant $d{tenant}, params $d{params}, session $d{session}, answer: $d{reason}\n"
	  . "after: " . ($last_write // 'nothing') . "\nquery: $session{queries}{$d{widget}}\n$d{text}\n";
	return unless $shrink_time;
	my @entries = shrink($d{widget}, $d{odd}, @log);
	if (!@entries)
	{
		print "(it does not come back when replayed)\nschema:\n", map { "  $_;\n" } @setup;
		return;
	}
	print "Shrunk to this (session: statement; \"compare\" computes the widget for the tenants @tenants both ways):\n";
	foreach my $entry (@entries)
	{
		print "  $entry->[0]: ", $entry->[1] // 'compare', "\n";
	}
	print '  ', replay($d{widget}, $d{odd}, @entries) // '', "\n\n";
	return;
}

#-------------------------------------------------------------------------

$| = 1;
$SIG{PIPE} = 'IGNORE';
print "fuzz: seed $seed, ", $ENV{ROUND} ? "round $ENV{ROUND}" : $ENV{ROUNDS} ? "$ENV{ROUNDS} rounds" : "$duration s", "\n";
my $started = time;
connect_all();
setup_oracle($session{c});

my $round = $ENV{ROUND} || 1;
while (1)
{
	last if $ENV{ROUNDS} && !$ENV{ROUND} ? $round > $ENV{ROUNDS} : time - $started > $duration && $round > 1;
	if (!eval { run_round($round); 1 })
	{
		print "round $round failed: $@";
		$count{differences}++;
		last unless eval { connect_all(); 1 };
	}
	last if $count{differences} >= $max_differences || $ENV{ROUND};
	$round++;
}
eval { clean(); $session{c}->must('DROP SCHEMA fuzz, fuzz_first, fuzz_other, fuzz_oracle CASCADE') };

print "refused: ", scalar @{ $refusals{$_} }, " $_\n", ($verbose ? map { "   $_\n" } $refusals{$_}[0] : ()) foreach sort keys %refusals;
print "errors of writes: ", join(', ', map { "$_ $write_errors{$_}" } sort keys %write_errors), "\n" if $verbose;
print "both failed: ", join(", ", map { "$_ $both_failed{$_}" } sort keys %both_failed), "\n" if $verbose;
print "answers: ", join(', ', map { "$_ $reasons{$_}" } sort { $reasons{$b} <=> $reasons{$a} || $a cmp $b } keys %reasons), "\n";
my ($found, $really) = (0, 0);
foreach my $kind (sort grep { $_ ne 'kept' } keys %precision)
{
	my ($n, $m) = ($precision{$kind}[0], $precision{$kind}[1] // 0);

	printf "precision, %s: %d found changed, %d really (%.0f%%)\n", $kind, $n, $m, 100 * $m / $n;
	next if $kind eq 'ddl';
	$found += $n;
	$really += $m;
}
printf "precision, all but DDL: %d found changed, %d really (%.0f%%), %d kept\n", $found, $really, $found ? 100 * $really / $found : 100, $precision{kept}[0] // 0;
print join(', ', map { "$_=$count{$_}" } qw(steps writes failed_writes ddl failed_ddl widgets refused hits empty failures skipped sets sets_served set_failures)), "\n";
printf "rounds=%d, comparisons=%d, differences=%d, %.0f s\n", @count{qw(rounds comparisons differences)}, time - $started;

exit($count{differences} == 0 && $count{comparisons} > 0 ? 0 : 1);
