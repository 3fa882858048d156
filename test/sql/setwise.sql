-- Warming many tenants with one query: the bytes are those of one query each, and where that is not certain it is refused
CREATE EXTENSION dashcache;
-- the functions that change things are not PUBLIC's
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
CREATE EXTENSION citext;
CREATE SCHEMA setwise;
SET search_path = setwise, public;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE level AS ENUM ('low', 'high');
CREATE TABLE agents (id int PRIMARY KEY, company_id int NOT NULL, name text NOT NULL);
CREATE TABLE conversations (id int PRIMARY KEY, company_id int, slug text, uid uuid, ci citext, nc text COLLATE nocase,
	status text, lvl level, rating smallint, amount numeric, score float8, took interval, agent_id int, at timestamptz, day date, tags text[]);
CREATE TABLE messages (id int PRIMARY KEY, conversation_id int, role text, ms int);
INSERT INTO agents SELECT i, 1 + i % 5, 'agent ' || i % 7 FROM generate_series(1, 30) i;
INSERT INTO conversations
	SELECT i, 1 + i % 5, 'co-' || i % 5, md5((i % 5)::text)::uuid, (ARRAY['a', 'A', 'b', 'c', 'C'])[1 + i % 5], (ARRAY['x', 'X', 'y', 'z', 'Z'])[1 + i % 5],
		(ARRAY['open', 'closed', NULL])[1 + i % 3], (ARRAY['low', 'high']::level[])[1 + i % 2], nullif(i % 6, 0),
		(ARRAY[1.0, 1.00, 2.5, 3, NULL, 'NaN', 0.000])[1 + i % 7], (ARRAY[0.1, -0.0, 0.0, 1e20, 3])[1 + i % 5],
		i * '10:00'::interval, nullif(1 + i * 7 % 33, 31), '2024-01-01 00:00Z'::timestamptz + i * '5:00'::interval, '2024-01-01'::date + i % 4, ARRAY['t' || i % 3, 'u']
	FROM generate_series(1, 200) i;
DELETE FROM conversations WHERE company_id = 4;
INSERT INTO messages SELECT i, 1 + i % 210, (ARRAY['bot', 'agent', 'user'])[1 + i % 3], i * 37 % 1000 FROM generate_series(1, 1000) i;
INSERT INTO conversations (id, company_id) VALUES (1000, NULL), (1001, 9);
ANALYZE;
SET client_min_messages = warning;

-- Defines the query, warms the tenants, and compares what is served with what is computed. Where it is refused, says why.
CREATE PROCEDURE try(query text, tenants text[] DEFAULT '{1,2,3,4,5,9,77}', kind text DEFAULT NULL, params jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
	tenant text;
	reason text;
	stored bigint;
	served record;
	computed record;
	bytes int := 0;
BEGIN
	PERFORM dashcache_define('w', query, 'set', result => kind);
	COMMIT;
	reason := dashcache.setwise('w', 'set');
	IF reason IS NOT NULL THEN
		RAISE INFO 'refused: %', reason;
	ELSE
		stored := dashcache.warm_set('w', 'set', tenants, params);
		FOREACH tenant IN ARRAY tenants LOOP
			SELECT * INTO served FROM dashcache_fetch(tenant, 'set', 'w', params);
			SELECT * INTO computed FROM dashcache_fetch(tenant, 'set', 'w', params, refresh => true);
			bytes := bytes + octet_length(served.data::text);
			IF served.source <> 'cache' OR computed.source <> 'database' THEN
				RAISE WARNING 'tenant % was not warmed: % %', tenant, served.source, served.reason;
			END IF;
			IF served.data::text IS DISTINCT FROM computed.data::text OR served.etag <> computed.etag THEN
				RAISE WARNING E'wrong for %, tenant %:\n%\ninstead of\n%', query, tenant, served.data, computed.data;
			END IF;
		END LOOP;
		RAISE INFO '% stored, % bytes', stored, bytes;
	END IF;
	PERFORM dashcache_drop('w', 'set');
	COMMIT;
END $$;
\set VERBOSITY terse

-- Aggregates without GROUP BY: one row, also for tenants without rows
CALL try('SELECT count(*), count(*) FILTER (WHERE status = ''open'') AS open, round(avg(rating), 2) AS rating FROM conversations WHERE company_id = $1');
CALL try('SELECT count(*) FROM conversations WHERE company_id = $1', kind => 'value');
CALL try('SELECT round(100.0 * count(rating) / nullif(count(*), 0), 1) AS percent, now() > min(at) AS past, ''x'' AS constant FROM conversations WHERE $1 = company_id');
CALL try('SELECT sum(amount), avg(amount), stddev(amount), sum(took), avg(took), max(at), min(day), max(lvl), max(status), bool_or(status = ''open''), bit_or(rating) FROM conversations WHERE company_id = $1');
CALL try('SELECT count(DISTINCT amount), count(DISTINCT status), sum(DISTINCT rating), variance(rating) FROM conversations WHERE company_id = $1');
CALL try('SELECT string_agg(status, '','' ORDER BY status DESC), array_agg(day ORDER BY day, rating), json_agg(rating ORDER BY rating) FILTER (WHERE rating > 2) FROM conversations WHERE company_id = $1');
CALL try('SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY rating), percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY at), mode() WITHIN GROUP (ORDER BY status) FROM conversations WHERE company_id = $1');
CALL try('SELECT count(*), (SELECT count(*) FROM agents) AS agents FROM conversations WHERE company_id = $1');
CALL try('SELECT count(*) FROM conversations WHERE company_id = $1 AND ($2->>''status'' IS NULL OR status = $2->>''status'')', params => '{"status": "open"}');
CALL try('SELECT count(*) FROM conversations WHERE company_id = $1 LIMIT 0');
CALL try('SELECT sum(amount) FROM conversations WHERE company_id = $1 AND rating BETWEEN 2 AND 4 AND id % 10 <> $1');

-- Tenants of other types
CALL try('SELECT count(*), max(id) FROM conversations WHERE slug = $1', '{co-0,co-1,co-3,CO-0,none,""}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE slug = $1::varchar', '{co-0,co-1,co-3,CO-0,none,""}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE uid = $1', ARRAY[md5('0'), md5('1'), md5('3'), md5('7')]);
CALL try('SELECT count(*), max(id) FROM conversations WHERE company_id = $1::bigint', '{1,2,4,77,9999999999}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE company_id = $1::numeric', '{1,2.0,4,1.5}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE company_id::text = $1', '{1,2,4,x}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE ci = $1::citext', '{a,b,C,d}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE ci = $1::citext', '{a,A}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE nc = $1', '{x,Y,z,w}');
CALL try('SELECT count(*), max(id) FROM conversations WHERE lvl = $1::level', '{low,high}');

-- An "=" of one's own, for which 1 and 11 are equal: each still has its own answer
CREATE FUNCTION mod_equal(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 10 = $2 % 10';
CREATE FUNCTION mod_hash(int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 10';
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = mod_equal, COMMUTATOR = ===, HASHES);
CREATE OPERATOR CLASS mod_ops FOR TYPE int USING hash AS OPERATOR 1 ===, FUNCTION 1 mod_hash(int);
CALL try('SELECT count(*), max(id) FROM conversations WHERE id === $1', '{1,2,11,9999}');
CALL try('SELECT id / 100 AS hundred, count(*) FROM conversations WHERE id === $1 GROUP BY 1 ORDER BY 1', '{1,2,11}');
CALL try('SELECT id, count(*) FROM conversations WHERE id === $1 GROUP BY id', '{1,11}');
CREATE TABLE varchars (company varchar(9), d numeric(6,2));
INSERT INTO varchars VALUES ('a', 1.5), ('b', 2), ('a', 3.25);
CALL try('SELECT sum(d), min(company) FROM varchars WHERE company = $1', '{a,b,c}');
CALL try('SELECT company, sum(d)::numeric(5,1) AS d FROM varchars WHERE company = $1 AND company || d <> $1 GROUP BY company ORDER BY company', '{a,b,c}');

-- Joins
CALL try('SELECT count(*), sum(m.ms) FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE c.company_id = $1');
CALL try('SELECT count(*), sum(m.ms) FROM messages m JOIN conversations c ON c.id = m.conversation_id AND c.company_id = $1 LEFT JOIN agents a ON a.id = c.agent_id');
CALL try('SELECT count(*), count(c.id), count(a.id) FROM agents a LEFT JOIN conversations c ON c.agent_id = a.id AND c.status = ''open'' WHERE a.company_id = $1');
CALL try('SELECT count(*), max(a.id) FROM agents a LEFT JOIN conversations c ON c.agent_id = a.id WHERE c.company_id = $1');
CALL try('SELECT count(*) FROM conversations c JOIN agents a USING (company_id) WHERE company_id = $1 AND a.company_id = $1');
CALL try('SELECT count(*) FROM conversations c WHERE company_id = $1 AND EXISTS (SELECT FROM messages m WHERE m.conversation_id = c.id AND m.role = ''bot'') AND c.agent_id NOT IN (SELECT id FROM agents WHERE name = ''agent 3'')');
CALL try('SELECT count(*), sum(n) FROM (SELECT c.company_id, c.id, count(*) AS n FROM conversations c JOIN messages m ON m.conversation_id = c.id GROUP BY c.company_id, c.id) AS q WHERE company_id = $1');

-- GROUP BY
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY status');
CALL try('SELECT status, count(*) AS n, avg(amount) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY n DESC, status NULLS FIRST');
CALL try('SELECT lvl, day, count(*) FROM conversations WHERE company_id = $1 GROUP BY day, lvl ORDER BY 3, lvl DESC, day');
CALL try('SELECT date_trunc(''week'', at) AS week, count(*) FROM conversations WHERE company_id = $1 GROUP BY 1 ORDER BY 1');
CALL try('SELECT a.id, a.name, count(*) AS n FROM conversations c JOIN agents a ON a.id = c.agent_id WHERE c.company_id = $1 GROUP BY a.id, a.name ORDER BY n DESC, a.id LIMIT 3');
CALL try('SELECT a.name, count(*) AS n FROM conversations c JOIN agents a ON a.id = c.agent_id WHERE c.company_id = $1 GROUP BY a.id ORDER BY n DESC, a.id LIMIT 3 OFFSET 2');
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status HAVING count(*) > 12 ORDER BY status');
CALL try('SELECT company_id, status, count(*) FROM conversations WHERE company_id = $1 GROUP BY company_id, status ORDER BY status');
CALL try('SELECT company_id, count(*) FROM conversations WHERE company_id = $1 GROUP BY company_id', kind => 'row');
CALL try('SELECT status FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY status');
CALL try('SELECT tag, count(*) FROM conversations, unnest(tags) AS tag WHERE company_id = $1 GROUP BY tag ORDER BY tag');
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY status LIMIT 0');

-- A view, row security, a partitioned table
CREATE VIEW open_conversations AS SELECT * FROM conversations WHERE status = 'open';
CALL try('SELECT count(*), max(id) FROM open_conversations WHERE company_id = $1');
CREATE TABLE parted (company_id int, n numeric) PARTITION BY LIST (company_id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1, 2);
CREATE TABLE parted_x PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT company_id, amount FROM conversations;
CALL try('SELECT count(*), sum(n) FROM parted WHERE company_id = $1');

-- Refused: $1 elsewhere
CALL try('SELECT count(*), $1 + 0 AS company FROM conversations WHERE company_id = $1');
CALL try('SELECT count(*) FILTER (WHERE company_id = $1) FROM conversations');
CALL try('SELECT count(*) FROM messages m WHERE EXISTS (SELECT FROM conversations c WHERE c.id = m.conversation_id AND c.company_id = $1)');
CALL try('SELECT count(*) FROM conversations WHERE company_id > $1');
CALL try('SELECT count(*) FROM conversations WHERE company_id = $1 OR company_id = 2');
CALL try('SELECT count(*) FROM agents a LEFT JOIN conversations c ON c.agent_id = a.id AND c.company_id = $1');
CALL try('SELECT company_id = $1 AS own, count(*) FROM conversations GROUP BY 1 ORDER BY 1');

-- Refused: the shape
CALL try('SELECT id FROM conversations WHERE company_id = $1 ORDER BY id');
CALL try('SELECT count(*) FROM conversations WHERE company_id = $1 HAVING count(*) > 10');
CALL try('SELECT DISTINCT count(*) FROM conversations WHERE company_id = $1 GROUP BY status');
CALL try('SELECT count(*) FROM conversations WHERE company_id = $1 UNION ALL SELECT 1');
CALL try('WITH c AS (SELECT * FROM conversations) SELECT count(*) FROM c WHERE company_id = $1');
CALL try('SELECT status, count(*), rank() OVER (ORDER BY count(*)) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY status');
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY ROLLUP (status) ORDER BY status');
CALL try('SELECT generate_series(1, 2), count(*) FROM conversations WHERE company_id = $1');
CALL try('SELECT count(*) FROM (SELECT * FROM conversations ORDER BY id LIMIT 10) AS c WHERE company_id = $1');
CALL try('SELECT count(*) FROM (SELECT company_id, row_number() OVER () AS n FROM conversations) AS c WHERE company_id = $1 AND n < 100');
CALL try('SELECT count(*) FROM (SELECT company_id, sum(score) AS s FROM conversations GROUP BY company_id) AS c WHERE company_id = $1 AND s > 1');
CALL try('SELECT count(ARRAY(SELECT m.id FROM messages m WHERE m.conversation_id = c.id)) FROM conversations c WHERE company_id = $1');
CALL try('SELECT count(*) FROM conversations TABLESAMPLE SYSTEM (50) REPEATABLE (1) WHERE company_id = $1');

-- Refused: the order of rows shows, or may
CALL try('SELECT sum(score) FROM conversations WHERE company_id = $1');
CALL try('SELECT avg(rating::float8) FROM conversations WHERE company_id = $1');
CALL try('SELECT stddev(score) FROM conversations WHERE company_id = $1');
CALL try('SELECT corr(score, rating) FROM conversations WHERE company_id = $1');
CALL try('SELECT max(amount) FROM conversations WHERE company_id = $1');
CALL try('SELECT max(score) FROM conversations WHERE company_id = $1');
CALL try('SELECT min(took) FROM conversations WHERE company_id = $1');
CALL try('SELECT max(ci) FROM conversations WHERE company_id = $1');
CALL try('SELECT max(nc) FROM conversations WHERE company_id = $1');
CALL try('SELECT sum(DISTINCT amount) FROM conversations WHERE company_id = $1');
CALL try('SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY score) FROM conversations WHERE company_id = $1');
CALL try('SELECT string_agg(status, '','') FROM conversations WHERE company_id = $1');
CALL try('SELECT string_agg(status, '','' ORDER BY id) FROM conversations WHERE company_id = $1');
CALL try('SELECT json_agg(amount ORDER BY amount) FROM conversations WHERE company_id = $1');
CALL try('SELECT json_agg(c ORDER BY c.id) FROM conversations c WHERE company_id = $1');
CALL try('SELECT (SELECT string_agg(a.name, '','') FROM agents a) AS names, count(*) FROM conversations WHERE company_id = $1');
CREATE AGGREGATE own_sum (int) (SFUNC = int4pl, STYPE = int);
CALL try('SELECT own_sum(rating) FROM conversations WHERE company_id = $1');
CREATE FUNCTION stable_one() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 1; END';
CALL try('SELECT count(*) + stable_one() FROM conversations WHERE company_id = $1');

-- Refused: groups that are equal and not the same, or in an order of chance
CALL try('SELECT amount, count(*) FROM conversations WHERE company_id = $1 GROUP BY amount ORDER BY amount');
CALL try('SELECT score, count(*) FROM conversations WHERE company_id = $1 GROUP BY score ORDER BY score');
CALL try('SELECT took, count(*) FROM conversations WHERE company_id = $1 GROUP BY took ORDER BY took');
CALL try('SELECT ci, count(*) FROM conversations WHERE company_id = $1 GROUP BY ci ORDER BY ci');
CALL try('SELECT nc, count(*) FROM conversations WHERE company_id = $1 GROUP BY nc ORDER BY nc');
CALL try('SELECT tags, count(*) FROM conversations WHERE company_id = $1 GROUP BY tags ORDER BY tags');
CREATE DOMAIN nocase_tenant AS text COLLATE nocase;
CALL try('SELECT status, count(*) FROM conversations WHERE status = $1::nocase_tenant GROUP BY status', '{OPEN,open}');
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status');
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY count(*) DESC');
CALL try('SELECT status, lvl, count(*) FROM conversations WHERE company_id = $1 GROUP BY status, lvl ORDER BY status');
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY status LIMIT ($2->>''n'')::int');
CALL try('SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY count(*) DESC FETCH FIRST 1 ROW WITH TIES');
CALL try('SELECT a.id, a.name, count(*) FROM conversations c JOIN agents a ON a.id = c.agent_id WHERE c.company_id = $1 GROUP BY a.id, a.name ORDER BY a.name');

-- What a primary key makes certain goes with it, and does not hold for children
CREATE TABLE teams (id int PRIMARY KEY, company_id int, name text);
INSERT INTO teams SELECT i, i % 3, 'team ' || i FROM generate_series(1, 9) i;
CALL try('SELECT id, name, count(*) FROM teams WHERE company_id = $1 GROUP BY id, name ORDER BY id');
ALTER TABLE teams DROP CONSTRAINT teams_pkey;
CALL try('SELECT id, name, count(*) FROM teams WHERE company_id = $1 GROUP BY id, name ORDER BY id');
ALTER TABLE teams ADD PRIMARY KEY (id);
CREATE TABLE more_teams () INHERITS (teams);
CALL try('SELECT id, name, count(*) FROM teams WHERE company_id = $1 GROUP BY id, name ORDER BY id');
CALL try('SELECT name, count(*) FROM teams WHERE company_id = $1 GROUP BY id ORDER BY id');
CALL try('SELECT count(*) FROM teams WHERE company_id = $1');

-- Row security is that of the widget's owner
CREATE ROLE regress_setwise;
GRANT ALL ON SCHEMA setwise TO regress_setwise;
CREATE TABLE few (id int, company_id int);
INSERT INTO few SELECT i, i % 3 FROM generate_series(1, 9) i;
GRANT ALL ON few TO regress_setwise;
ALTER TABLE few ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON few TO regress_setwise USING (id < 6);
ALTER TABLE few OWNER TO regress_setwise;
ALTER TABLE few FORCE ROW LEVEL SECURITY;
SET ROLE regress_setwise;
SELECT dashcache_define('few', 'SELECT count(*), max(id) FROM few WHERE company_id = $1', 'rights');
RESET ROLE;
SELECT dashcache.warm_set('few', 'rights', '{0,1,2,3}');
SELECT tenant, f.data, f.source FROM generate_series(0, 3) AS tenant, dashcache_fetch(tenant, 'rights') AS f;
SET ROLE regress_setwise;
SELECT dashcache.warm_set('few', 'rights', '{0,1,2,3}');
RESET ROLE;

-- An error of one tenant's rows is an error of all, and leaves nothing behind
SELECT dashcache_define('error', 'SELECT sum(100 / (id - 100)) FROM conversations WHERE company_id = $1');
SELECT dashcache.warm_set('error', 'default', '{1,2,3,4,5}');
SELECT count(*) FROM dashcache_entries WHERE widget = 'error';
SELECT dashcache.warm_set('error', 'default', '{2,3,4,5}');
SELECT dashcache_define('rows', 'SELECT status, count(*) FROM conversations WHERE company_id = $1 GROUP BY status ORDER BY status', result => 'row');
SELECT dashcache.warm_set('rows', 'default', '{1,4}');
SELECT dashcache.warm_set('rows', 'default', '{4,9}');

-- Bad input, and nothing to do
SELECT dashcache.warm_set('no such', 'default', '{1}');
SELECT dashcache.warm_set('error', 'no such', '{1}');
SELECT dashcache.warm_set('error', 'default', '{1,x}');
SELECT dashcache.warm_set('error', 'default', '{1,NULL}');
SELECT dashcache.warm_set('error', 'default', '{1}', '[]');
SELECT dashcache.warm_set('error', 'default', '{}');
SELECT dashcache_define('refused', 'SELECT sum(score) FROM conversations WHERE company_id = $1');
\set VERBOSITY default
SELECT dashcache.warm_set('refused', 'default', '{1}');
\set VERBOSITY terse

-- Operators that call equal what the type tells apart
CREATE FUNCTION abs_lt(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1) < abs($2)';
CREATE FUNCTION abs_le(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1) <= abs($2)';
CREATE FUNCTION abs_eq(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1) = abs($2)';
CREATE FUNCTION abs_ge(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1) >= abs($2)';
CREATE FUNCTION abs_gt(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1) > abs($2)';
CREATE FUNCTION abs_cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp(abs($1), abs($2))';
CREATE OPERATOR <# (FUNCTION = abs_lt, LEFTARG = int, RIGHTARG = int, COMMUTATOR = ># );
CREATE OPERATOR <=# (FUNCTION = abs_le, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR =# (FUNCTION = abs_eq, LEFTARG = int, RIGHTARG = int, COMMUTATOR = =#, MERGES);
CREATE OPERATOR >=# (FUNCTION = abs_ge, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR ># (FUNCTION = abs_gt, LEFTARG = int, RIGHTARG = int, COMMUTATOR = <# );
CREATE OPERATOR CLASS abs_ops FOR TYPE int USING btree AS
	OPERATOR 1 <#, OPERATOR 2 <=#, OPERATOR 3 =#, OPERATOR 4 >=#, OPERATOR 5 >#, FUNCTION 1 abs_cmp(int, int);
CREATE TABLE signed (company_id int, x int);
INSERT INTO signed SELECT 1 + i % 5, (CASE WHEN i % 2 = 0 THEN i / 10 ELSE -i / 10 END) FROM generate_series(1, 100) i;
CALL try('SELECT array_agg(x ORDER BY x USING <#) FROM signed WHERE company_id = $1');
CALL try('SELECT sum(DISTINCT x ORDER BY x USING <#) FROM signed WHERE company_id = $1');
CALL try('SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x USING >#) FROM signed WHERE company_id = $1');
CALL try('SELECT x, count(*) FROM signed WHERE company_id = $1 GROUP BY x ORDER BY x USING <#');
CALL try('SELECT array_agg(x ORDER BY x USING <) FROM signed WHERE company_id = $1');
CALL try('SELECT x, count(*) FROM signed WHERE company_id = $1 GROUP BY x ORDER BY x USING >');

-- Changes end what was stored, and own writes store nothing
SELECT dashcache_define('changes', 'SELECT count(*) FROM conversations WHERE company_id = $1');
SELECT dashcache.warm_set('changes', 'default', '{1,2,4,77}');
UPDATE conversations SET company_id = 4 WHERE id = 1;
SELECT tenant, f.data, f.source, f.reason FROM unnest('{1,2,4,77}'::bigint[]) AS tenant, dashcache_fetch(tenant, widget => 'changes') AS f;
BEGIN;
DELETE FROM conversations WHERE company_id = 1;
SELECT dashcache.warm_set('changes', 'default', '{1,2,4,77}');
ROLLBACK;

-- The demo's dashboard
\getenv srcdir PG_ABS_SRCDIR
\set schema :srcdir '/../demo/schema.sql'
\set dashboard :srcdir '/../demo/dashboard.sql'
CREATE SCHEMA demo;
SET search_path = demo, public;
\set ECHO none
\i :schema
\o /dev/null
\i :dashboard
\o
\set ECHO all
SELECT widget, dashcache.setwise(widget, 'support') AS reason FROM dashcache_stats WHERE dashboard = 'support' ORDER BY widget COLLATE "C";

RESET search_path;
DROP SCHEMA setwise, demo CASCADE;
DROP EXTENSION dashcache, citext;
DROP OWNED BY regress_setwise;
DROP ROLE regress_setwise;
