#!/usr/bin/perl
#
# test/stress.pl: many sessions write and read at once, and every answer from
# the cache is compared with the same query's answer, computed beside it in the
# same snapshot. A difference is a bug, whatever the timing.
#
#   DURATION   seconds (60)
#   SESSIONS   sessions that read and write (8); there are five more,
#              two that only read, and three for two-phase commit
#   SEED       of the random numbers, to choose the same statements again
#   RESTARTS   of the server, in between (0)
#
# Connects as libpq's environment says, as a superuser, to a database that has
# dashcache; "make stress" sees to that. Everything is made in schema "stress".
#
# pgbench drives it. Every script of %scripts is a kind of transaction, picked at
# random by its weight; the work is done by PL/pgSQL functions, so that a session
# takes many snapshots for each round trip. All sessions do everything, so the
# share of reads, and with it that of hits, does not depend on the machine.
#
# Workers are in the mix: they warm the dashboard on change, refresh what is near
# its end or was served stale, and do the runs that sessions ask for now and then.
#
# Widgets with max_stale may give an older answer. Their table names a version in
# each row, a tenant's next one with each transaction that writes to it, so that an
# answer tells its state, and a history tells when that state was replaced. What
# has the source "stale" must be of one version; not from after the reader's
# snapshot; not older than what the session itself has committed; and it must have
# been right within max_stale. Any other answer must be the right one.
#
# With RESTARTS the server is stopped and started again (PGDATA, SERVER_LOG): by
# turns in the middle of it all, which leaves transactions prepared; and when all
# sessions have come to their end. After each start all answers are compared, before
# anybody writes.
#
# The last line sums up. Fails if
# - there was a difference, or such an answer that must not be,
# - no such answer was given,
# - fewer than half of the reads were hits, or a quarter with restarts (without those in SERIALIZABLE, which
#   are not allowed to be),
# - a kind of transaction never ran, or a session failed,
# - the workers have done nothing, or a run did not end,
# - memory was still taken at the end, after all dashboards were dropped,
# - there were restarts, and no answer was served from before one of them.

use strict;
use warnings;

use File::Temp;
use IPC::Run;

my $duration = $ENV{DURATION} || 60;
my $sessions = $ENV{SESSIONS} || 8;
my $restarts = $ENV{RESTARTS} || 0;
my $round = $duration / ($restarts + 1);
my $seed = $ENV{SEED} || int(rand(1_000_000_000));
my $tenants = 12;

# name => [result, query, params, ttl]
my @widgets = (
	# one table; does not read the column "note"
	[
		'conversations',
		'row',
		q{SELECT count(*) AS n, sum(score) AS score, count(agent) AS assigned,
			count(*) FILTER (WHERE status = 'open') AS open
		FROM stress.conversation WHERE tenant = $1}
	],
	# two sources joined by tenant
	[
		'recent',
		'rows',
		q{SELECT c.id, c.status, a.name FROM stress.conversation c
		JOIN stress.agent a ON a.tenant = c.tenant AND a.id = c.agent
		WHERE c.tenant = $1 ORDER BY c.id DESC LIMIT 5},
		undef,
		# refreshed ahead of its end, while it is read
		"'500 ms'"
	],
	# a source without a tenant: any change touches every tenant
	[
		'messages',
		'row',
		q{SELECT count(*) AS n, count(*) FILTER (WHERE m.unread) AS unread
		FROM stress.message m JOIN stress.conversation c ON c.id = m.conversation
		WHERE c.tenant = $1}
	],
	# params
	[
		'status',
		'value',
		q{SELECT count(*) AS n FROM stress.conversation
		WHERE tenant = $1 AND status = $2->>'status'},
		q{'{"status": "open"}'}
	],
	# what is redefined now and then: "k" changes, and is not compared
	[
		'tags',
		'rows',
		q{SELECT tag, n FROM stress.tag WHERE tenant = $1 ORDER BY tag}
	],
	# what is truncated now and then
	[
		'small',
		'row',
		q{SELECT count(*) AS n, sum(v) AS v FROM stress.small WHERE tenant = $1}
	],
	# no key at all
	[
		'settings',
		'row',
		q{SELECT $1::int AS tenant, sum(v) AS v FROM stress.setting}
	],
	# a source that finds its tenants by those that refer to it
	[
		'tickets',
		'row',
		q{SELECT count(*) AS n, sum(k.n) AS sum FROM stress.ticket k JOIN stress.link x ON x.ticket = k.id
		JOIN stress.label l ON l.id = x.label WHERE l.tenant = $1}
	],);

# name => [bound, ttl]: widgets with max_stale, for few tenants, so that their
# versions are soon replaced
my $stale_tenants = 4;
my %stale = (
	brief => [ '50 ms', 'NULL' ],
	long => [ '500 ms', 'NULL' ],
	expiring => [ '200 ms', "'50 ms'" ],);

sub psql
{
	my ($sql) = @_;
	my ($out, $err);

	IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1' ],
		'<', \$sql, '>', \$out, '2>', \$err)
	  or die "psql failed: $err\n";
	chomp $out;
	return $out;
}

# An expression that computes a widget for tenant "t" outside the cache.
sub direct
{
	my ($widget) = @_;
	my ($name, $result, $query, $params) = @$widget;

	$query =~ s/\$1/t/g;
	$query =~ s/\$2/$params\:\:jsonb/g if $params;
	return "(SELECT to_jsonb(x) FROM ($query) x)" if $result eq 'row';
	return "(SELECT to_jsonb(x.n) FROM ($query) x)" if $result eq 'value';
	return "(SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]') FROM ($query) x)";
}

sub fetch
{
	my ($widget) = @_;
	my ($name, $result, $query, $params) = @$widget;

	return "dashcache_fetch(t, 'stress', '$name'"
	  . ($params ? ", $params)" : ')');
}

sub setup
{
	my $sql = <<'END_SQL';
CREATE EXTENSION IF NOT EXISTS dashcache;
DROP SCHEMA IF EXISTS stress CASCADE;
CREATE SCHEMA stress;

CREATE TABLE stress.agent (id int PRIMARY KEY, tenant int, name text);
CREATE TABLE stress.conversation (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tenant int,
	agent int REFERENCES stress.agent ON DELETE SET NULL,
	status text NOT NULL,
	score int NOT NULL,
	note text
);
CREATE INDEX ON stress.conversation (tenant);
CREATE INDEX ON stress.conversation (agent);
CREATE TABLE stress.message (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	conversation bigint NOT NULL REFERENCES stress.conversation ON DELETE CASCADE,
	unread boolean NOT NULL DEFAULT true
);
CREATE INDEX ON stress.message (conversation);
CREATE TABLE stress.tag (tenant int, tag text, n int, PRIMARY KEY (tenant, tag));
CREATE TABLE stress.small (tenant int, v int);
CREATE TABLE stress.setting (k int PRIMARY KEY, v int);
CREATE TABLE stress.label (id int PRIMARY KEY, tenant int);
CREATE TABLE stress.ticket (id int PRIMARY KEY, n int);
CREATE TABLE stress.link (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ticket int, label int);
CREATE INDEX ON stress.link (ticket);
CREATE INDEX ON stress.link (label);
CREATE TABLE stress.counter (tenant int PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE stress.part (tenant int, version bigint NOT NULL);
CREATE TABLE stress.history (tenant int, version bigint, at timestamptz NOT NULL, PRIMARY KEY (tenant, version));

INSERT INTO stress.agent SELECT i, 1 + i % :tenants, 'agent ' || i FROM generate_series(1, 5 * :tenants) i;
INSERT INTO stress.conversation (tenant, agent, status, score)
SELECT 1 + i % :tenants, 1 + i % (5 * :tenants), CASE WHEN i % 3 = 0 THEN 'open' ELSE 'closed' END, i % 7
FROM generate_series(1, 20 * :tenants) i;
INSERT INTO stress.message (conversation) SELECT id FROM stress.conversation, generate_series(1, 3);
INSERT INTO stress.tag SELECT t, 'tag ' || i, i FROM generate_series(1, :tenants) t, generate_series(1, 5) i;
INSERT INTO stress.small SELECT t, i FROM generate_series(1, :tenants) t, generate_series(1, 5) i;
INSERT INTO stress.label SELECT i, 1 + i % :tenants FROM generate_series(1, 3 * :tenants) i;
INSERT INTO stress.ticket SELECT i, i FROM generate_series(1, :tenants) i;
INSERT INTO stress.link (ticket, label) SELECT 1 + i % :tenants, 1 + i % (3 * :tenants) FROM generate_series(1, 3 * :tenants) i;
INSERT INTO stress.counter SELECT t, 0 FROM generate_series(1, :tenants) t;
INSERT INTO stress.part SELECT t, 0 FROM generate_series(1, :tenants) t, generate_series(1, 3) i;
INSERT INTO stress.setting SELECT i, i FROM generate_series(1, 5) i;
ANALYZE;

-- what COPY reads, in the data directory
DO $$
BEGIN
	FOR t IN 1 .. :tenants LOOP
		EXECUTE format('COPY (SELECT %s, ''new'', i, ''copied'' FROM generate_series(1, 2) i) TO %L',
			t, current_setting('data_directory') || '/stress.' || t);
	END LOOP;
END
$$;

CREATE UNLOGGED TABLE stress.tally (
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	mode text NOT NULL,
	reads int NOT NULL,
	hits int NOT NULL,
	reasons text[] NOT NULL
);
CREATE TABLE stress.difference (
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	pid int NOT NULL DEFAULT pg_backend_pid(),
	mode text,
	widget text,
	tenant int,
	cached jsonb,
	direct jsonb,
	source text,
	reason text,
	snapshot text
);

CREATE FUNCTION stress.differ(mode text, widget text, t int, cached jsonb, direct jsonb,
	source text, reason text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE LOG 'stress: difference in % of widget %, tenant %: cached % (from %, %), direct %, snapshot %',
		mode, widget, t, cached, source, reason, direct, pg_current_snapshot();
	INSERT INTO stress.difference (mode, widget, tenant, cached, direct, source, reason, snapshot)
	VALUES (mode, widget, t, cached, direct, source, reason, pg_current_snapshot()::text);
END
$$;

CREATE FUNCTION stress.count(mode text, reads int, hits int, reasons text[])
RETURNS void LANGUAGE sql
BEGIN ATOMIC
	INSERT INTO stress.tally (mode, reads, hits, reasons) VALUES (mode, reads, hits, reasons);
END;

CREATE FUNCTION stress.work(n int) RETURNS bigint LANGUAGE sql
RETURN (SELECT sum(i) FROM generate_series(1, n) i);

END_SQL
	$sql =~ s/:tenants/$tenants/g;

	foreach my $widget (@widgets)
	{
		my ($name, $result, $query, $params, $ttl) = @$widget;
		my $tag = $name eq 'tags' ? ", tags => '{redefined}'" : '';

		$sql .= "SELECT dashcache_define('$name', \$q\$$query\$q\$, 'stress', "
		  . "result => '$result', ttl => " . ($ttl // 'NULL') . "$tag);\n";
	}
	$sql .= "SELECT dashcache_configure('stress', tenants => 'SELECT generate_series(1, $tenants)', "
	  . "variants => '[{\"status\": \"open\"}]', warm_on_change => true);\n";

	foreach my $name (sort keys %stale)
	{
		my ($bound, $ttl) = @{ $stale{$name} };

		$sql .= "SELECT dashcache_define('$name', 'SELECT min(version) AS lowest, max(version) AS version "
		  . "FROM stress.part WHERE tenant = \$1', 'stress_stale', ttl => $ttl, max_stale => '$bound');\n";
	}
	my $bounds = join ', ', map { "('$_', '$stale{$_}[0]'::interval)" } sort keys %stale;

	$sql .= <<"END_SQL";
-- The next version of a tenant. "at" is after the version before was committed,
-- which has held the lock until then. The setting goes with a rollback.
CREATE FUNCTION stress.write_version(t int)
RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	v bigint;
BEGIN
	UPDATE stress.counter SET version = version + 1 WHERE tenant = t RETURNING version INTO v;
	UPDATE stress.part SET version = v WHERE tenant = t;
	INSERT INTO stress.history VALUES (t, v, clock_timestamp());
	PERFORM set_config('stress.own_' || t, v::text, false);
END
\$\$;

CREATE FUNCTION stress.read_stale(u int, n int)
RETURNS void LANGUAGE plpgsql AS \$\$
#variable_conflict use_column
DECLARE
	r record;
	t int;
	started timestamptz;
	own bigint;
	wrong text;
	stale int := 0;
	reasons text[] := '{}';
BEGIN
	FOR i IN 1 .. n LOOP
		t := CASE WHEN random() < 0.7 THEN u ELSE 1 + floor(random() * $stale_tenants) END;
		started := clock_timestamp();
		SELECT w.name, w.bound, c.data::jsonb AS data, c.source, c.reason,
			(c.data->>'lowest')::bigint AS lowest, (c.data->>'version')::bigint AS version,
			(SELECT max(version) FROM stress.part WHERE tenant = t) AS direct
		INTO r
		FROM (SELECT * FROM (VALUES $bounds) w(name, bound) ORDER BY random() LIMIT 1) w,
			dashcache_fetch(t, 'stress_stale', w.name) c;
		own := coalesce(nullif(current_setting('stress.own_' || t, true), '')::bigint, 0);
		wrong := CASE
			WHEN r.lowest <> r.version THEN 'is of several versions'
			WHEN r.source <> 'stale' AND r.version <> r.direct THEN 'is not the right one'
			WHEN r.version > r.direct THEN 'is from after the snapshot'
			WHEN r.version < own THEN 'is without own version ' || own
			-- the version after the next was begun when the next was there
			WHEN EXISTS (SELECT FROM stress.history h WHERE h.tenant = t
				AND h.version = r.version + 2 AND h.at < started - r.bound) THEN 'is too old'
			END;
		IF wrong IS NOT NULL THEN
			PERFORM stress.differ('max_stale: ' || wrong, r.name, t, r.data, to_jsonb(r.direct), r.source, r.reason);
		END IF;
		IF r.source = 'stale' THEN
			stale := stale + 1;
			reasons := reasons || ('stale: ' || r.reason);
		END IF;
	END LOOP;
	INSERT INTO stress.tally (mode, reads, hits, reasons) VALUES ('max_stale', n, stale, reasons);
END
\$\$;
END_SQL

	# The same for single statements, each with a snapshot of its own where the
	# transaction is READ COMMITTED.
	my ($cases, $cached, $direct) = ('', '', '');
	foreach my $i (0 .. $#widgets)
	{
		my $widget = $widgets[$i];

		$cases .= "WHEN $i THEN SELECT '$widget->[0]' AS widget, c.data::jsonb AS cached, "
		  . direct($widget)
		  . " AS direct, c.source, c.reason INTO r FROM "
		  . fetch($widget) . " c;\n";
		$cached .= "WHEN $i THEN SELECT c.data, c.source, c.reason INTO c FROM "
		  . fetch($widget) . " c;\n";
		$direct .= "WHEN $i THEN d := " . direct($widget) . ";\n";
	}

	my $last = $#widgets;
	my $all = 'jsonb_build_object('
	  . join(', ',
		map { "'$_->[0]', " . direct($_) } grep { !$_->[3] } @widgets)
	  . ')';

	$sql .= <<"END_SQL";
CREATE FUNCTION stress.read(mode text, u int, n int)
RETURNS void LANGUAGE plpgsql AS \$\$
#variable_conflict use_column
DECLARE
	r record;
	t int;
	hits int := 0;
	reasons text[] := '{}';
BEGIN
	FOR i IN 1 .. n LOOP
		-- mostly the tenant that was asked for, which is the one just written
		t := CASE WHEN random() < 0.5 THEN u ELSE 1 + floor(random() * $tenants) END;
		CASE floor(random() * ($last + 1))::int
		$cases
		END CASE;
		IF r.cached IS DISTINCT FROM r.direct THEN
			PERFORM stress.differ(mode, r.widget, t, r.cached, r.direct, r.source, r.reason);
		END IF;
		IF r.source = 'cache' THEN
			hits := hits + 1;
		ELSE
			reasons := reasons || r.reason;
		END IF;
	END LOOP;
	INSERT INTO stress.tally (mode, reads, hits, reasons) VALUES (mode, n, hits, reasons);
END
\$\$;

-- All widgets at once are of one snapshot.
CREATE FUNCTION stress.read_all(t int)
RETURNS void LANGUAGE plpgsql AS \$\$
#variable_conflict use_column
DECLARE
	r record;
BEGIN
	SELECT g.g::jsonb - 'status' AS cached, $all AS direct,
		(g.g->'_meta'->>'cached')::boolean AS hit
	INTO r FROM dashcache_get(t, 'stress', with_meta => true) g;
	IF r.cached - '_meta' IS DISTINCT FROM r.direct THEN
		PERFORM stress.differ('all', 'all', t, r.cached, r.direct, NULL, NULL);
	END IF;
	INSERT INTO stress.tally (mode, reads, hits, reasons)
	VALUES ('all', 1, r.hit::int, CASE WHEN r.hit THEN '{}' ELSE '{some}' END::text[]);
END
\$\$;

CREATE FUNCTION stress.cached(i int, t int, OUT data json, OUT source text, OUT reason text)
LANGUAGE plpgsql STABLE AS \$\$
#variable_conflict use_column
DECLARE
	c record;
BEGIN
	CASE i
	$cached
	END CASE;
	data := c.data;
	source := c.source;
	reason := c.reason;
END
\$\$;

CREATE FUNCTION stress.direct(i int, t int, OUT d jsonb)
LANGUAGE plpgsql STABLE AS \$\$
#variable_conflict use_column
BEGIN
	CASE i
	$direct
	END CASE;
END
\$\$;

-- For a cursor: STABLE, so all is of the cursor's snapshot.
CREATE FUNCTION stress.compare_all(t int)
RETURNS void LANGUAGE plpgsql STABLE AS \$\$
#variable_conflict use_column
DECLARE
	c record;
	d jsonb;
	hits int := 0;
	reasons text[] := '{}';
BEGIN
	FOR i IN 0 .. $last LOOP
		c := stress.cached(i, t);
		d := stress.direct(i, t);
		IF c.data::jsonb IS DISTINCT FROM d THEN
			PERFORM stress.differ('cursor', i::text, t, c.data::jsonb, d, c.source, c.reason);
		END IF;
		IF c.source = 'cache' THEN
			hits := hits + 1;
		ELSE
			reasons := reasons || c.reason;
		END IF;
	END LOOP;
	PERFORM stress.count('cursor', $last + 1, hits, reasons);
END
\$\$;

-- REPEATABLE READ, one of the two answers early and kept in a setting ...
CREATE FUNCTION stress.rr_begin(t int, cached_first boolean)
RETURNS void LANGUAGE plpgsql AS \$\$
#variable_conflict use_column
DECLARE
	c record;
	hits int := 0;
	reasons text[] := '{}';
BEGIN
	FOR i IN 0 .. $last LOOP
		IF cached_first THEN
			c := stress.cached(i, t);
			IF c.source = 'cache' THEN
				hits := hits + 1;
			ELSE
				reasons := reasons || c.reason;
			END IF;
			PERFORM set_config('stress.kept_' || i, c.data::text, true),
				set_config('stress.source_' || i, c.source || ', ' || coalesce(c.reason, ''), true);
		ELSE
			PERFORM set_config('stress.kept_' || i, stress.direct(i, t)::text, true);
		END IF;
	END LOOP;
	IF cached_first THEN
		INSERT INTO stress.tally (mode, reads, hits, reasons) VALUES ('rr early', $last + 1, hits, reasons);
	END IF;
END
\$\$;

-- ... and both again later.
CREATE FUNCTION stress.rr_end(t int, cached_first boolean)
RETURNS void LANGUAGE plpgsql AS \$\$
#variable_conflict use_column
DECLARE
	c record;
	d jsonb;
	hits int := 0;
	reasons text[] := '{}';
BEGIN
	FOR i IN REVERSE $last .. 0 LOOP
		c := stress.cached(i, t);
		d := stress.direct(i, t);
		IF c.data::jsonb IS DISTINCT FROM d THEN
			PERFORM stress.differ('rr late', i::text, t, c.data::jsonb, d, c.source, c.reason);
		END IF;
		IF d IS DISTINCT FROM current_setting('stress.kept_' || i)::jsonb THEN
			PERFORM stress.differ('rr early', i::text, t,
				current_setting('stress.kept_' || i)::jsonb, d,
				CASE WHEN cached_first THEN current_setting('stress.source_' || i) ELSE 'direct' END, NULL);
		END IF;
		IF c.source = 'cache' THEN
			hits := hits + 1;
		ELSE
			reasons := reasons || c.reason;
		END IF;
	END LOOP;
	INSERT INTO stress.tally (mode, reads, hits, reasons) VALUES ('rr late', $last + 1, hits, reasons);
END
\$\$;
END_SQL

	# The writers: tenant t, and another tenant u.
	my %writers = (
		insert => q{
			INSERT INTO stress.conversation (tenant, agent, status, score)
			SELECT t, (SELECT id FROM stress.agent ORDER BY random() LIMIT 1 FOR KEY SHARE SKIP LOCKED), 'open', 3},
		update => q{
			UPDATE stress.conversation SET score = score + 1,
				status = CASE status WHEN 'open' THEN 'closed' ELSE 'open' END
			WHERE id = stress.one(t)},
		update_unread => q{
			UPDATE stress.conversation SET note = coalesce(note, '') || '.' WHERE tenant = t},
		delete => q{
			DELETE FROM stress.conversation c
			WHERE id = (SELECT id FROM stress.conversation WHERE tenant = t
				AND (SELECT count(*) FROM stress.conversation WHERE tenant = t) > 20 LIMIT 1)},
		cascade => q{
			DELETE FROM stress.conversation WHERE id = stress.one(t);
			INSERT INTO stress.conversation (tenant, status, score) VALUES (t, 'open', 1)},
		set_null => q{
			DELETE FROM stress.agent WHERE id = (SELECT id FROM stress.agent WHERE tenant = t LIMIT 1);
			INSERT INTO stress.agent VALUES (nextval('stress.agent_id'), t, 'new')},
		rename_agent => q{
			UPDATE stress.agent SET name = md5(random()::text)
			WHERE id = (SELECT id FROM stress.agent WHERE tenant = t LIMIT 1)},
		copy => q{
			EXECUTE format('COPY stress.conversation (tenant, status, score, note) FROM %L',
				current_setting('data_directory') || '/stress.' || t);
			DELETE FROM stress.conversation WHERE tenant = t AND note LIKE 'copied%'
				AND (SELECT count(*) FROM stress.conversation WHERE tenant = t) > 25},
		upsert => q{
			INSERT INTO stress.tag VALUES (t, 'tag ' || floor(random() * 8), 1)
			ON CONFLICT (tenant, tag) DO UPDATE SET n = stress.tag.n + 1},
		delete_tag => q{
			DELETE FROM stress.tag WHERE tenant = t AND tag = 'tag ' || floor(random() * 8)},
		merge => q{
			MERGE INTO stress.small s
			USING (SELECT t AS tenant, 1 + floor(random() * 6) AS v UNION ALL SELECT u, 100) n
			ON s.tenant = n.tenant AND s.v = n.v
			WHEN MATCHED AND random() < 0.5 THEN DELETE
			WHEN MATCHED THEN UPDATE SET v = s.v + 1
			WHEN NOT MATCHED THEN INSERT VALUES (n.tenant, n.v)},
		cte => q{
			WITH gone AS (
				DELETE FROM stress.small WHERE ctid = (SELECT ctid FROM stress.small WHERE tenant = t LIMIT 1)
				RETURNING v
			), changed AS (
				UPDATE stress.conversation SET score = 0 WHERE id = stress.one(u) RETURNING id
			)
			INSERT INTO stress.small SELECT u, v FROM gone UNION ALL SELECT t, count(*) FROM changed},
		move => q{
			UPDATE stress.conversation SET tenant = u WHERE id = stress.one(t)},
		move_back => q{
			UPDATE stress.conversation SET tenant = t WHERE id = stress.one(u);
			UPDATE stress.conversation SET tenant = u WHERE id = stress.one(t)},
		to_null => q{
			UPDATE stress.conversation SET tenant = NULL WHERE id = stress.one(t)},
		from_null => q{
			UPDATE stress.conversation SET tenant = t
			WHERE id IN (SELECT id FROM stress.conversation WHERE tenant IS NULL LIMIT 2)},
		message => q{
			INSERT INTO stress.message (conversation)
			SELECT id FROM stress.conversation WHERE id = stress.one(t) FOR KEY SHARE;
			DELETE FROM stress.message WHERE id = (SELECT min(id) FROM stress.message)},
		ticket => q{
			UPDATE stress.ticket SET n = n + 1 WHERE id = (SELECT ticket FROM stress.link WHERE id = (SELECT stress.one_link(t)))},
		link => q{
			INSERT INTO stress.link (ticket, label) SELECT 1 + floor(random() * 12), id FROM stress.label WHERE tenant = t ORDER BY random() LIMIT 1;
			DELETE FROM stress.link WHERE id = (SELECT stress.one_link(u)) AND (SELECT count(*) FROM stress.link) > 36},
		link_ticket => q{
			INSERT INTO stress.link (ticket, label) SELECT (SELECT ticket FROM stress.link WHERE id = (SELECT stress.one_link(u))), id
			FROM stress.label WHERE tenant = t ORDER BY random() LIMIT 1;
			DELETE FROM stress.link WHERE id = (SELECT stress.one_link(t)) AND (SELECT count(*) FROM stress.link) > 36},
		relink => q{
			UPDATE stress.link SET label = (SELECT id FROM stress.label WHERE tenant = u ORDER BY random() LIMIT 1) WHERE id = (SELECT stress.one_link(t))},
		relink_ticket => q{
			UPDATE stress.link SET ticket = 1 + floor(random() * 12) WHERE id = (SELECT stress.one_link(t))},
		move_label => q{
			UPDATE stress.label SET tenant = u WHERE id = (SELECT id FROM stress.label WHERE tenant = t ORDER BY random() LIMIT 1)},
		setting => q{
			UPDATE stress.setting SET v = v + 1 WHERE k = 1 + t % 5},
		replica => q{
			PERFORM set_config('session_replication_role', 'replica', true);
			UPDATE stress.tag SET n = n + 1 WHERE tenant = t;
			UPDATE stress.small SET tenant = u WHERE tenant = t AND v = 3;
			PERFORM set_config('session_replication_role', 'origin', true)},
		truncate => q{
			TRUNCATE stress.small;
			INSERT INTO stress.small VALUES (t, 1), (u, 2)},
	);

	$sql .= <<'END_SQL';
CREATE SEQUENCE stress.agent_id START 1000;
CREATE SEQUENCE stress.definition;
CREATE FUNCTION stress.one_link(t int) RETURNS bigint LANGUAGE sql
BEGIN ATOMIC
	SELECT x.id FROM stress.link x JOIN stress.label l ON l.id = x.label WHERE l.tenant = t ORDER BY random() LIMIT 1;
END;
CREATE FUNCTION stress.one(t int) RETURNS bigint LANGUAGE sql
BEGIN ATOMIC
	SELECT id FROM stress.conversation WHERE tenant = t ORDER BY random() LIMIT 1;
END;
END_SQL
	foreach my $name (sort keys %writers)
	{
		$sql .= "CREATE FUNCTION stress.\"$name\"(t int, u int) RETURNS void LANGUAGE plpgsql AS \$\$\n#variable_conflict use_column\n"
		  . "BEGIN\n$writers{$name};\nEND\n\$\$;\n";
	}

	# Any of them, other than those that lock whole tables.
	my @any = grep { $_ ne 'truncate' } sort keys %writers;
	$sql .= <<"END_SQL";
CREATE FUNCTION stress.write(t int, u int) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	EXECUTE format('SELECT stress.%I(\$1, \$2)',
		('{${\ join(',', @any)}}'::text[])[1 + floor(random() * ${\ scalar @any})]) USING t, u;
END
\$\$;

-- Writes that are taken back by an error, around and between others that stay.
CREATE FUNCTION stress.write_with_errors(t int, u int) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			PERFORM stress.write(t, u);
			BEGIN
				PERFORM stress.write(u, t);
				PERFORM 1 / (random() < 0.5)::int;
			EXCEPTION WHEN division_by_zero THEN
				PERFORM stress.read('own writes', u, 2);
			END;
			PERFORM 1 / (random() < 0.5)::int;
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	END LOOP;
END
\$\$;

CREATE FUNCTION stress.redefine() RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM dashcache_define('tags', format(\$q\$$widgets[4][2] -- %s\$q\$, nextval('stress.definition')), 'stress',
		result => 'rows', ttl => NULL, tags => '{redefined}');
END
\$\$;
END_SQL
	psql("SET client_min_messages = warning;\n$sql");
	return sort keys %writers;
}

# name => [weight, script]. "t" and "u" are tenants.
my %scripts = (
	read => [ 40, "SELECT stress.read('rc', :t, 20);" ],
	read_all => [ 10, 'SELECT stress.read_all(:t);' ],
	read_rr => [
		12,
		q{BEGIN ISOLATION LEVEL REPEATABLE READ;
LOCK TABLE stress.small IN ACCESS SHARE MODE;
SELECT stress.rr_begin(:t, :b);
SELECT stress.work(:n);
SELECT stress.rr_end(:t, :b);
COMMIT;}
	],
	# a snapshot that gets old: others write while it reads
	read_rr_long => [
		3,
		q{BEGIN ISOLATION LEVEL REPEATABLE READ;
LOCK TABLE stress.small IN ACCESS SHARE MODE;
SELECT stress.rr_begin(:t, :b);
SELECT stress.work(:n * 20);
SELECT stress.read('rr long', :t, 20);
SELECT stress.work(:n * 20);
SELECT stress.rr_end(:t, :b);
COMMIT;}
	],
	read_serializable => [
		2,
		q{BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stress.read('serializable', :t, 5);
SELECT stress.setting(:t, :u);
COMMIT;}
	],
	# a cursor keeps the snapshot it was opened with, also after own writes
	read_cursor => [
		2,
		q{BEGIN;
LOCK TABLE stress.small IN ACCESS SHARE MODE;
DECLARE c CURSOR FOR SELECT stress.compare_all(:t) FROM generate_series(1, 4);
FETCH c;
SELECT stress.work(:n * 5);
FETCH c;
SELECT stress.update(:t, :u);
FETCH c;
CLOSE c;
COMMIT;}
	],
	own_writes => [
		2,
		q{BEGIN;
SELECT stress.write(:t, :u);
SELECT stress.read('own writes', :t, 4);
SELECT stress.work(:n);
COMMIT;
SELECT stress.read('rc', :t, 6);}
	],
	own_writes_rr => [
		1,
		q{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT stress.read('rr', :t, 4);
SELECT stress.write(:t, :u);
SELECT stress.read('own writes', :t, 4);
COMMIT;}
	],
	# a write to what others link to meanwhile, and a link to what others write to
	slow_ticket => [
		4,
		q{BEGIN;
SELECT stress.ticket(:t, :u);
SELECT stress.work(:n * 5);
COMMIT;
SELECT stress.read('rc', :u, 10);}
	],
	link_and_read => [ 4, "SELECT stress.link_ticket(:t, :u);\nSELECT stress.read('rc', :t, 20);" ],
	rollback => [
		3,
		q{BEGIN;
SELECT stress.write(:t, :u);
SELECT stress.work(:n);
ROLLBACK;
SELECT stress.read('rc', :t, 6);}
	],
	savepoint => [
		2,
		q{BEGIN;
SAVEPOINT a;
SELECT stress.write(:t, :u);
SELECT stress.read('own writes', :t, 2);
ROLLBACK TO a;
SELECT stress.read('own writes', :t, 2);
SELECT stress.write(:u, :t);
SAVEPOINT b;
SELECT stress.write(:t, :u);
RELEASE b;
SELECT stress.work(:n);
COMMIT;
SELECT stress.read('rc', :t, 6);}
	],
	errors => [ 2, 'SELECT stress.write_with_errors(:t, :u);' ],
	slow_commit => [
		2,
		q{BEGIN;
SELECT stress.write(:t, :u);
SELECT stress.write(:u, :t);
SELECT stress.work(:n * 10);
COMMIT;}
	],
	# what max_stale allows, and what not after own writes
	read_stale => [ 8, 'SELECT stress.read_stale(:v, 10);' ],
	read_stale_rr => [
		1,
		q{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT stress.read_stale(:v, 5);
SELECT stress.work(:n * 10);
SELECT stress.read_stale(:v, 10);
COMMIT;}
	],
	write_version => [
		10,
		q{SELECT stress.write_version(:v);
SELECT stress.read_stale(:v, 6);}
	],
	write_versions => [
		2,
		q{BEGIN;
SELECT stress.write_version(least(:v, :w));
SAVEPOINT a;
SELECT stress.write_version(greatest(:v, :w));
SELECT stress.read_stale(:v, 2);
ROLLBACK TO a;
SELECT stress.read_stale(:w, 2);
COMMIT;
SELECT stress.read_stale(:v, 4), stress.read_stale(:w, 4);}
	],
	rollback_version => [
		1,
		q{BEGIN;
SELECT stress.write_version(:v);
SELECT stress.work(:n);
ROLLBACK;
SELECT stress.read_stale(:v, 4);}
	],
	purge_tenant => [ 0.6, "SELECT dashcache_purge(:t, 'stress');" ],
	purge_tag => [ 0.6, "SELECT dashcache_purge(dashboard => 'stress', tag => 'redefined');" ],
	purge_in_transaction => [
		0.5,
		q{BEGIN;
SELECT stress.write(:t, :u);
SELECT dashcache_purge(:t, 'stress');
SELECT stress.read('own writes', :t, 2);
COMMIT;}
	],
	purge_all => [ 0.3, "SELECT dashcache_purge();" ],
	# by the workers; they may be behind
	warm => [
		0.6,
		q{SELECT count(*) < 4 AS room FROM dashcache_progress \gset
\if :room
SELECT dashcache_warm('stress', wait => false);
\endif
SELECT stress.read('rc', :t, 6);}
	],
	warm_tenant => [ 0.3, "SELECT dashcache_warm('stress', :t);" ],
	redefine => [ 0.5, "SELECT stress.redefine();" ],
	redefine_rollback => [
		0.4,
		q{BEGIN;
SELECT stress.redefine();
SELECT stress.read('own writes', :t, 4);
ROLLBACK;}
	],);

# The prepared transactions that can be ended: one is listed a little before the
# session that prepares it has let go of it.
my $prepared = q{SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'stress %'
	AND NOT EXISTS (SELECT FROM pg_stat_activity
		WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%' || gid || '%')};

# For sessions of their own. The one that ends prepared transactions must not
# wait for anything that waits for those.
my %preparing = (
	prepare => [
		1,
		q{SELECT count(*) < 5 AS room FROM pg_prepared_xacts \gset
\set g random(1, 2000000000)
\if :room
BEGIN;
SELECT stress.write(:t, :u);
SELECT stress.update(:t, :u);
PREPARE TRANSACTION 'stress :client_id :g';
\endif
SELECT stress.read('rc', :t, 4);}
	],);
my %finishing = (
	commit_or_rollback_prepared => [
		1,
		qq{SELECT count(*) > :d AS any, min(gid) AS gid, random() < 0.7 AS yes
FROM (SELECT gid FROM ($prepared) p ORDER BY random() LIMIT 1) g \\gset
\\if :any
\\if :yes
COMMIT PREPARED ':gid';
\\else
ROLLBACK PREPARED ':gid';
\\endif
\\endif}
	],);

# Sessions that never write, so that nothing but max_stale keeps them from the
# oldest answer.
my %looking = (read_stale_only => [ 1, 'SELECT stress.read_stale(:v, 4);' ],);

my $work = File::Temp->newdir;
my %counts;

sub start_pgbench
{
	my ($scripts, @options) = @_;
	my %run = (out => '', err => '', names => [ sort keys %$scripts ]);
	my @files;

	foreach my $name (@{ $run{names} })
	{
		my ($weight, $text) = @{ $scripts->{$name} };
		my $file = "$work/$name";

		open my $fh, '>', $file or die "could not open $file: $!\n";
		print $fh <<"END_SQL";
\\set t random(1, $tenants)
\\set u 1 + (:t + random(0, $tenants - 2)) % $tenants
\\set n random(1, 2000)
\\set v random(1, $stale_tenants)
\\set w 1 + (:v + random(0, $stale_tenants - 2)) % $stale_tenants
\\set b random(0, 1) = 1
\\set d random(0, 1)
$text
END_SQL
		close $fh;
		# pgbench takes whole weights
		push @files, '-f', "$file\@" . int($weight * 10);
	}
	$run{run} = IPC::Run::start(
		[
			'pgbench', '-n', "--random-seed=$seed",
			'--max-tries=1000', @options, @files
		],
		'<', \undef, '>', \$run{out}, '2>', \$run{err},
		IPC::Run::timeout($round + 60, exception => "a session hangs\n"));
	return \%run;
}

sub finish_pgbench
{
	my ($run) = @_;
	my $ok = $run->{run}->finish;
	my %done;

	# "SQL script 2: .../name" and then "- 123 transactions (...)"
	while ($run->{out} =~ m{^SQL script \d+: \S*/(\w+)\n(.*?)(?=^SQL script|\z)}msg)
	{
		my ($name, $rest) = ($1, $2);
		($done{$name}) = $rest =~ /^ - (\d+) transactions/m;
	}
	# a single script is not reported apart
	($done{ $run->{names}[0] }) = $run->{out} =~ /actually processed: (\d+)/
	  if @{ $run->{names} } == 1;
	$counts{$_} += $done{$_} // 0 foreach keys %done;
	return $ok if $run->{interrupted};
	print "a session failed:\n$run->{err}\n" unless $ok;
	return $ok;
}

sub end_prepared
{
	psql(
		join ";\n",
		map { "ROLLBACK PREPARED '$_'" } split /\n/,
		psql($prepared));
	return;
}

$| = 1;
print "stress: $sessions + 5 sessions, $duration s, seed $seed\n";

my @writers = setup();
my %rare = (truncate => 0.5, message => 1, setting => 1, set_null => 0.6, copy => 0.6);
$scripts{$_} = [ $rare{$_} // 1.5, "SELECT stress.\"$_\"(:t, :u);" ] foreach @writers;

$ENV{PGOPTIONS} = join ' ', $ENV{PGOPTIONS} // (),
  '-c client_min_messages=warning', '-c deadlock_timeout=100ms';

my $started = psql('SELECT clock_timestamp()');
my $ok = 1;
my $served_from_before = 0;

# All kinds of sessions at once. Interrupted, they end with the server's stop.
sub run_sessions
{
	my ($interrupted) = @_;
	my $seconds = int($round) + ($interrupted ? 60 : 0);
	my $until = time + $round;
	my @runs = (
		start_pgbench(\%scripts, '-T', $seconds, '-c', $sessions, '-j', 2),
		start_pgbench(\%looking, '-T', $seconds, '-c', 2, '--rate=100'),
		start_pgbench(\%preparing, '-T', $seconds, '-c', 2, '--rate=60'),
		start_pgbench(\%finishing, '-T', $seconds, '-c', 1, '--rate=40'));

	while (grep { $_->{run}->pumpable } @runs)
	{
		foreach my $run (grep { $_->{run}->pumpable } @runs)
		{
			$run->{run}->pump_nb;
		}
		select undef, undef, undef, 0.1;

		# What is left prepared holds locks that the last transactions wait for.
		end_prepared() unless $interrupted || $runs[-1]{run}->pumpable;
		if ($interrupted && time >= $until && !$runs[0]{interrupted})
		{
			$_->{interrupted} = 1 foreach @runs;
			restart();
		}
	}
	end_prepared() unless $interrupted;
	foreach my $run (@runs)
	{
		$ok = 0 unless finish_pgbench($run) || $interrupted;
	}
	return;
}

# Restart the server, and compare all answers before anybody writes.
sub restart
{
	local $ENV{PGOPTIONS} = '';
	system('pg_ctl', '-s', '-w', '-m', 'fast', '-D', $ENV{PGDATA}, '-l', $ENV{SERVER_LOG}, 'restart') == 0
	  or die "the server does not restart\n";
	foreach (1 .. 300)
	{
		last if psql('SELECT restored IS NOT NULL FROM dashcache_status') eq 't';
		select undef, undef, undef, 0.1;
	}
	my $all_hits = q{SELECT sum(hits) FROM dashcache_stats};
	my $before = psql($all_hits);
	psql("SELECT stress.compare_all(t) FROM generate_series(1, $tenants) t");
	my $hits = psql($all_hits) - $before;
	my ($restored, $paused) = split /\|/, psql(q{SELECT restored, caching_paused_by FROM dashcache_status});

	print "restarted: $restored entries restored, $hits hits of ", $tenants * @widgets,
	  $paused ? ", paused by $paused" : '', "\n";
	$served_from_before += $hits;
	return;
}

foreach my $n (1 .. $restarts)
{
	my $in_the_middle = $n % 2;

	run_sessions($in_the_middle);
	restart() unless $in_the_middle;
}
run_sessions(0);

# In a short run on a busy machine chance may have left out a rare kind.
my @never = grep { !$counts{$_} } sort keys %scripts;
if ($ok && @never)
{
	print "some more for: @never\n";
	my %more = map { $_ => [ 1, $scripts{$_}[1] ] } @never;
	my $reads = $counts{read} // 0;

	$more{read} = [ scalar @never, $scripts{read}[1] ];
	$ok = 0
	  unless finish_pgbench(start_pgbench(\%more, '-c', $sessions, '-t', 20 * @never));
	$counts{read} += $reads;
}
delete $ENV{PGOPTIONS};


# All that was asked for comes to its end.
my $runs_end = 0;
foreach (1 .. 300)
{
	$runs_end = psql('SELECT count(*) = 0 FROM dashcache_progress') eq 't';
	last if $runs_end;
	select undef, undef, undef, 0.1;
}
print "a run does not end\n" unless $runs_end;
my ($runs, $warmed) = split /\|/, psql('SELECT count(*), coalesce(sum(warmed), 0) FROM dashcache_runs');
my $background = psql(q{SELECT sum(fills) - sum(misses) FROM dashcache_stats WHERE dashboard LIKE 'stress%'});
print "workers: $runs runs, $warmed entries warmed by them; fills less misses: $background\n";
print "the workers have done nothing\n" unless $warmed > 0;

print 'transactions: ',
  join(', ', map { "$_ " . ($counts{$_} // 0) } sort keys %counts), "\n";
print "reads by mode: ", psql(
	q{SELECT string_agg(format('%s %s (%s hits)', mode, reads, hits), ', ' ORDER BY mode)
	FROM (SELECT mode, sum(reads) AS reads, sum(hits) AS hits FROM stress.tally GROUP BY mode) m}),
  "\n";
print "misses: ", psql(
	q{SELECT string_agg(format('%s %s', reason, n), ', ' ORDER BY n DESC)
	FROM (SELECT reason, count(*) AS n FROM stress.tally, unnest(reasons) reason GROUP BY reason) r}),
  "\n";

my ($reads, $hits) = split /\|/, psql(
	q{SELECT coalesce(sum(reads), 0), coalesce(sum(hits), 0) FROM stress.tally WHERE mode NOT IN ('serializable', 'max_stale')});
my $stale_hits = psql("SELECT coalesce(sum(hits), 0) FROM stress.tally WHERE mode = 'max_stale'");
my ($differences, $first) = split /\|/, psql(
	"SELECT count(*), extract(epoch FROM min(at) - '$started') FROM stress.difference");

if ($differences > 0)
{
	my $before = psql(
		'SELECT coalesce(sum(reads), 0) FROM stress.tally WHERE at <= (SELECT min(at) FROM stress.difference)');
	printf "the first difference came after %.1f s and %d reads\n", $first, $before;
	print psql('SELECT row_to_json(d) FROM stress.difference d ORDER BY at LIMIT 10'), "\n";
}

@never = grep { !$counts{$_} } sort(keys %scripts, keys %looking, keys %preparing, keys %finishing);
print "never ran: @never\n" if @never;

# while prepared transactions outlive a restart nothing is served
my $enough = $restarts ? 25 : 50;
my $percent = $reads > 0 ? 100 * $hits / $reads : 0;
print "nothing was served from before a restart\n" if $restarts > 1 && !$served_from_before;
print "too few hits\n" if $percent < $enough;
print "no answer that max_stale allows\n" if $stale_hits == 0;
# Nothing is held for what is no more.
my $left = '';
psql(q{SELECT dashcache_drop(NULL, name) FROM dashcache.dashboard WHERE name LIKE 'stress%'});
foreach (1 .. 300)
{
	$left = psql('SELECT entries, taken FROM dashcache_memory');
	last if $left eq '0|0';
	select undef, undef, undef, 0.1;
}
print "left after all was dropped: entries and bytes $left\n" if $left ne '0|0';

printf "reads=%d, hits=%d (%.0f%%), differences=%d\n", $reads, $hits, $percent, $differences;

exit($ok && $left eq '0|0' && $runs_end && $warmed > 0 && $differences == 0 && $percent >= $enough && $stale_hits > 0 && !@never
	&& ($restarts < 2 || $served_from_before) ? 0 : 1);
