-- Tenants of many types: those that are equal are one, whatever they look like
CREATE EXTENSION dashcache;
CREATE EXTENSION citext;
CREATE COLLATION case_insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN company AS bigint CHECK (value > 0);
CREATE DOMAIN title AS text;
CREATE TYPE plan AS ENUM ('free', 'paid');
SET client_min_messages = warning;

-- For a type: two spellings of one tenant, and another tenant. The answer for the
-- first fills an entry, the second finds it; a row written as the second changes it
-- for the first, a row of the other does not. "given" is the type of the query's $1.
CREATE PROCEDURE try(type text, one text, same text, other text, given text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	answer record;
	direct bigint;
	step text;
	tenant text;
	said text := '';
BEGIN
	given := COALESCE(given, type);
	EXECUTE format('CREATE TABLE typed (id %s, x int)', type);
	EXECUTE format('INSERT INTO typed VALUES (%L, 1), (%L, 1)', one, other);
	PERFORM dashcache_define('w', format('SELECT count(*) FROM typed WHERE id = $1::%s', given));
	COMMIT;
	FOREACH step IN ARRAY ARRAY['one', 'same', 'other', 'write same', 'one', 'other', 'write other', 'one', 'same', 'other', 'delete', 'same'] LOOP
		IF step LIKE 'write%' THEN
			EXECUTE format('INSERT INTO typed VALUES (%L, 2)', CASE step WHEN 'write same' THEN same ELSE other END);
			said := said || ', ' || step;
		ELSIF step = 'delete' THEN
			EXECUTE format('DELETE FROM typed WHERE id = %L AND x = 2', one);
			said := said || ', delete one';
		ELSE
			tenant := CASE step WHEN 'one' THEN one WHEN 'same' THEN same ELSE other END;
			SELECT * INTO answer FROM dashcache_fetch(tenant);
			EXECUTE format('SELECT count(*) FROM typed WHERE id = %L::%s', tenant, given) INTO direct;
			said := concat(said, ', ', step, ' ', COALESCE(answer.reason, 'hit'));
			IF answer.data ->> 'count' <> direct::text THEN
				said := concat(said, ' WRONG: ', answer.data ->> 'count', ' instead of ', direct);
			END IF;
		END IF;
		COMMIT;
	END LOOP;
	RAISE INFO '% = $1::%, by %; % entries', type, given,
		(SELECT concat_ws(' ', invalidation, NULLIF(tenant_key, 'id')) FROM dashcache_sources), (SELECT count(*) FROM dashcache_entries);
	RAISE INFO '    %', ltrim(said, ', ');
	PERFORM dashcache_drop();
	DROP TABLE typed;
	COMMIT;
END $$;
\set VERBOSITY terse
CALL try('smallint', '7', ' 7', '-7');
CALL try('integer', '7', '07', '8');
CALL try('bigint', '7', '+7', '9223372036854775807');
CALL try('integer', '7', '07', '8', 'bigint');
CALL try('bigint', '7', '07', '8', 'integer');
CALL try('smallint', '7', '07', '8', 'bigint');
CALL try('integer', '7', '07', '8', 'numeric');
CALL try('numeric', '7', '7.00', '7.01');
CALL try('numeric', 'NaN', 'nan', '0');
CALL try('real', '0', '-0', '1');
CALL try('double precision', 'NaN', 'nan', '1.5');
CALL try('text', 'a', 'a', 'A');
CALL try('text', '', '', ' ');
CALL try('varchar(10)', 'a', 'a', 'a ', 'text');
CALL try('varchar', 'a', 'a', 'A');
CALL try('char(10)', 'a', 'a   ', ' a');
CALL try('char(10)', 'a', 'a   ', ' a', 'bpchar');
CALL try('"char"', 'a', 'a', 'b');
CALL try('title', 'a', 'a', 'b');
CALL try('name', 'a', 'a', 'b');
CALL try('citext', 'acme', 'ACME', 'other');
CALL try('text COLLATE case_insensitive', 'acme', 'ACME', 'other', 'text');
CALL try('text COLLATE case_insensitive', 'acme', 'ACME', 'other', 'text COLLATE case_insensitive');
CALL try('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{A0EEBC999C0B4EF8BB6D6BB9BD380A11}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12');
CALL try('company', '7', '07', '8');
CALL try('company', '7', '07', '8', 'bigint');
CALL try('title', 'a', 'a', 'b', 'text');
CALL try('plan', 'free', 'free', 'paid');
CALL try('boolean', 't', 'yes', 'false');
CALL try('date', '2024-02-29', '20240229', '2024-03-01');
CALL try('timestamptz', '2024-01-01 00:00+00', '2024-01-01 01:00+01', '2024-01-02 00:00+00');
CALL try('interval', '1 day', '24 hours', '25 hours');
CALL try('inet', '10.0.0.1', '10.0.0.1/32', '10.0.0.2');
CALL try('bytea', '\x61', 'a', 'b');
CALL try('oid', '7', '07', '4294967295');
CALL try('jsonb', '{"a": 1}', '{"a":1.0}', '{"a": 2}');
CALL try('int[]', '{1,2}', '{1, 2}', '{2,1}');
\set VERBOSITY default

-- overloads against types: what fits, fits; what does not is that type's own error
CREATE TABLE t (n int, b bigint, u uuid, s text);
INSERT INTO t VALUES (1, 1, '00000000-0000-0000-0000-000000000001', '1');
SELECT dashcache_define('n', 'SELECT count(*) FROM t WHERE n = $1', 'n', result => 'value');
SELECT dashcache_define('b', 'SELECT count(*) FROM t WHERE b = $1', 'b', result => 'value');
SELECT dashcache_define('u', 'SELECT count(*) FROM t WHERE u = $1', 'u', result => 'value');
SELECT dashcache_define('s', 'SELECT count(*) FROM t WHERE s = $1', 's', result => 'value');
SELECT dashcache_get('1', 'n'), dashcache_get(1, 'n'), dashcache_get(1::bigint, 'b'), dashcache_get(1, 's'), dashcache_get('1', 's'),
	dashcache_get('00000000-0000-0000-0000-000000000001', 'u'), dashcache_get('00000000-0000-0000-0000-000000000001'::uuid, 'u');
SELECT dashcache_get('00000000-0000-0000-0000-000000000001'::uuid, 's');
SELECT dashcache_get('one', 'n');
\echo :SQLSTATE
SELECT dashcache_get('', 'b');
\echo :SQLSTATE
SELECT dashcache_get(4294967296, 'n');
\echo :SQLSTATE
SELECT dashcache_get('99999999999999999999', 'b');
\echo :SQLSTATE
SELECT dashcache_get(1, 'u');
\echo :SQLSTATE
SELECT dashcache_get('not a uuid', 'u');
\echo :SQLSTATE
SELECT dashcache_get('00000000-0000-0000-0000-000000000001'::uuid, 'b');
\echo :SQLSTATE
SELECT dashcache_get(1.5, 'b');
\echo :SQLSTATE
-- a domain's constraint
SELECT dashcache_define('d', 'SELECT $1::company AS c', 'd');
SELECT dashcache_get(1, 'd'), dashcache_get('2', 'd');
SELECT dashcache_get(-1, 'd');
\echo :SQLSTATE
-- widgets of one dashboard whose tenants are of different types
SELECT dashcache_define('s', 'SELECT count(*) FROM t WHERE s = $1', 'mixed');
SELECT dashcache_define('n', 'SELECT count(*) FROM t WHERE n = $1', 'mixed');
SELECT dashcache_define('b', 'SELECT count(*) FROM t WHERE b = $1', 'mixed');
SELECT dashcache_get('1', 'mixed'), dashcache_get(1, 'mixed');
SELECT dashcache_get(' 1', 'mixed');
SELECT widget, tenant, hits FROM dashcache_entries WHERE dashboard = 'mixed' ORDER BY 1, 2;

-- A bigint, where the query takes an integer: without a way round by text, up to the limits
CREATE TABLE typed (id int, x int);
INSERT INTO typed SELECT id, 1 FROM unnest(ARRAY[0, 7, -7, 2147483647, -2147483648]) id;
SELECT dashcache_define('w', 'SELECT $1::int AS tenant, count(*) FROM typed WHERE id = $1', 'limits') IS NOT NULL AS defined;
SELECT t, dashcache_get(t::bigint, 'limits', 'w') FROM unnest(ARRAY[0, 7, -7, 2147483647, -2147483648]) t;
SELECT t, source, data FROM unnest(ARRAY['0', '7', '-7', '2147483647', '-2147483648']) t, dashcache_fetch(t, 'limits', 'w');
SELECT dashcache_get(2147483648, 'limits', 'w');
SELECT dashcache_get(-2147483649, 'limits', 'w');
SELECT source, data FROM dashcache_fetch(7::bigint, 'limits', 'w');
SELECT dashcache_drop('w', 'limits') IS NOT NULL AS dropped;
DROP TABLE typed;

DROP EXTENSION dashcache;
DROP EXTENSION citext;
DROP TABLE t;
DROP PROCEDURE try;
DROP DOMAIN company, title;
DROP TYPE plan;
DROP COLLATION case_insensitive;
