-- The answer, byte by byte: what row_to_json(), json_agg() and to_json() make of the query
CREATE EXTENSION dashcache;
CREATE TYPE mood AS ENUM ('fine', 'so "so"');
CREATE TYPE pair AS (a int, "B b" text);
CREATE DOMAIN percent AS numeric(5,2);
CREATE DOMAIN document AS jsonb;
CREATE TABLE t (company_id bigint, i2 smallint, i4 int, i8 bigint, n numeric, f4 real, f8 double precision,
	b boolean, s text, v varchar(9), c char(5), nm name, ba bytea, d date, ti time, tz timetz, ts timestamp,
	tstz timestamptz, iv interval, u uuid, js json, jb jsonb, e mood, p pair, pct percent, doc document,
	ai int[], ats text[], aai int[][], ap pair[], ajb jsonb[], r int4range, mr int4multirange, ip inet, x xml, bit bit(3), m money, pt point, tsv tsvector);
INSERT INTO t VALUES (1, -32768, 2147483647, -9223372036854775808, 12345678901234567890.10, 0.1, 0.1,
	true, E'"quoted" \\ back\b\f\n\r\t\u0001 / <é☃𝄞>', 'v', 'c', 'nm', '\x00ff', '2024-02-29', '12:34:56.789', '12:34:56+02', '2024-02-29 12:34:56.5',
	'2024-02-29 12:34:56.123456+00', '1 year 2 mons 3 days 04:05:06.7', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"as": "written",  "x" :1.00}', '{"x": 1.00, "as": "stored"}',
	'so "so"', '(1,"x ""y""")', 12.3, '[1, 2]',
	'{1,NULL,3}', '{a,"b,c",NULL,"NULL","q\"q"}', '{{1,2},{3,4}}', ARRAY[ROW(1, 'a'), NULL]::pair[], '{"{\"a\": 1}",NULL}', '[1,5)', '{[1,2),[5,)}', '::1', '<a b="c"/>', '101', '12.50', '(1,2.5)', '''it''''s'':1 b');
INSERT INTO t (company_id) VALUES (2);
INSERT INTO t (company_id, n, f4, f8, d, ts, tstz, s, ba, ai, ats, r, c, iv, jb) VALUES
	(3, 'NaN', 'Infinity', '-Infinity', 'infinity', '-infinity', 'infinity', '', '', '{}', '{}', 'empty', '', '0', 'null'),
	(3, '-0.000', 1e-30, 1e300, '0044-03-15 BC', '99999-12-31', '0001-01-01 00:00+00 BC', repeat('ü', 3), decode('22', 'hex'), '[2:3]={7,8}', '{""}', '(,)', '"', '-1 day +1 hour', '"s"'),
	(3, 1e20, 1e20, 1e20, '2024-07-01', '2024-07-01', '2024-07-01 00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{}');
SET client_min_messages = warning;

-- Defines the query as widgets, and compares: once computed, once from the cache.
CREATE PROCEDURE try(query text, tenants bigint[], kinds text[] DEFAULT '{rows}') LANGUAGE plpgsql AS $$
DECLARE
	kind text;
	tenant bigint;
	expected text;
	computed record;
	answer record;
	said text;
BEGIN
	FOREACH kind IN ARRAY kinds LOOP
		PERFORM dashcache_define(kind, query, 'compare', result => kind);
	END LOOP;
	COMMIT;
	FOREACH tenant IN ARRAY tenants LOOP
		FOREACH kind IN ARRAY kinds LOOP
			EXECUTE format(CASE kind
				WHEN 'rows' THEN 'SELECT ''['' || COALESCE(string_agg(row_to_json(q)::text, '',''), '''') || '']'' FROM (%s) q'
				WHEN 'row' THEN 'SELECT row_to_json(q)::text FROM (%s) q'
				ELSE 'SELECT to_json(v)::text FROM (%s) q (v)' END, replace(query, '$1', tenant || '::bigint')) INTO expected;
			SELECT * INTO computed FROM dashcache_fetch(tenant, 'compare', kind);
			SELECT * INTO answer FROM dashcache_fetch(tenant, 'compare', kind);
			said := concat(said, ' ', tenant, ' ', kind, ': ', octet_length(answer.data::text));
			IF answer.source <> 'cache' OR computed.source <> 'database' THEN
				said := said || ' NOT CACHED';
			END IF;
			IF computed.data::text IS DISTINCT FROM COALESCE(expected, 'null') OR answer.data::text IS DISTINCT FROM computed.data::text THEN
				RAISE WARNING E'wrong for %:\n%\ninstead of\n%', left(query, 200), left(answer.data::text, 500), left(expected, 500);
				said := said || ' WRONG';
			END IF;
			COMMIT;
		END LOOP;
	END LOOP;
	RAISE INFO '% bytes', ltrim(said);
	PERFORM dashcache_drop(NULL, 'compare');
	COMMIT;
END $$;
\set VERBOSITY terse

-- each column for itself, as a value and as a row
DO $$
DECLARE
	name text;
BEGIN
	FOR name IN SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum LOOP
		RAISE INFO '%', name;
		CALL try(format('SELECT %I FROM t WHERE company_id = $1', name), '{1,2,4}', '{value,row,rows}');
		CALL try(format('SELECT %I FROM t WHERE company_id = $1', name), '{3}');
	END LOOP;
END $$;
CALL try('SELECT * FROM t WHERE company_id = $1', '{1,2,3,4}');
CALL try('SELECT t FROM t WHERE company_id = $1', '{1,2,3,4}');
CALL try('SELECT t.* FROM t WHERE company_id = $1', '{1,2,4}', '{row}');
CALL try('SELECT (p).* FROM t WHERE company_id = $1', '{1,2,3}');
CALL try('SELECT ROW(i4, s) AS r, ARRAY[ROW(1, s)] AS ar, ROW() AS nothing FROM t WHERE company_id = $1', '{1,2,3}');
-- names
CALL try('SELECT 1 AS a, 2 AS a, 3 AS "A", 4 AS "q""q", 5 AS "b\s", 6 AS "ü ☃", 7, $1::bigint', '{1}', '{row,rows}');
CALL try('SELECT a.i4, b.i4, count(*), count(*) FROM t a JOIN t b ON a.company_id = b.company_id WHERE a.company_id = $1 GROUP BY 1, 2', '{1,2}');
CALL try('SELECT FROM t WHERE company_id = $1', '{1,3,4}');
CALL try('VALUES ($1, ''a''), (2, ''b'')', '{1}');
CALL try('SELECT $1 AS x, 1 AS y UNION ALL SELECT 2, 3', '{1}');
CALL try('SELECT i4 AS x, s AS y FROM t WHERE company_id = $1 UNION ALL SELECT i4, v FROM t WHERE company_id = $1', '{1,2,3,4}');
CALL try('SELECT i4 AS x FROM t WHERE company_id = $1 UNION SELECT 7 ORDER BY x', '{1,2,3,4}');
CALL try('SELECT i4 AS x FROM t WHERE company_id = $1 INTERSECT SELECT i4 FROM t', '{1,2}');
CALL try('WITH w AS (SELECT i4 AS renamed FROM t WHERE company_id = $1) SELECT * FROM w', '{1,2,3}');
CALL try('SELECT q.* FROM (SELECT i4 AS one, s AS two FROM t WHERE company_id = $1) q (uno, due)', '{1,2}');
CALL try('SELECT * FROM generate_series(1, $1) WITH ORDINALITY', '{0,1,3}');
CALL try('SELECT generate_series(1, $1) AS n', '{0,1,3}');
CALL try('SELECT * FROM ROWS FROM (generate_series(1, $1), unnest(ARRAY[''a'',''b'']))', '{1,3}');
-- sorts that hide columns
CALL try('SELECT s FROM t WHERE company_id = $1 ORDER BY i4, f8', '{1,2,3}');
CALL try('SELECT DISTINCT ON (company_id) s FROM t WHERE company_id = $1 ORDER BY company_id, f8', '{1,2,3,4}', '{row,value}');
-- aggregates of json
CALL try('SELECT json_agg(t) AS a, jsonb_agg(s) AS b, array_agg(n) AS c FROM t WHERE company_id = $1', '{1,2,3,4}', '{row,rows}');
CALL try('SELECT json_agg(t) FROM t WHERE company_id = $1', '{1,2,3,4}', '{value}');
CALL try('SELECT json_build_object(''a'', i4, ''b'', s) FROM t WHERE company_id = $1', '{1,2,4}', '{value}');
-- 1600 columns, long values, many rows
SELECT 'SELECT ' || string_agg('$1::bigint AS c' || i, ', ') AS wide FROM generate_series(1, 1600) i \gset
CALL try(:'wide', '{1}', '{row}');
CALL try('SELECT repeat(''é"\'', 100000) AS x WHERE $1 = 1', '{1,2}', '{row,value}');
CALL try('SELECT i, md5(i::text) FROM generate_series(1, $1) i', '{20000}');
\set VERBOSITY default

-- a cast to json that a type has of its own is used, as by to_json()
CREATE FUNCTION mood_to_json(mood) RETURNS json IMMUTABLE LANGUAGE sql AS $$SELECT json_build_object('mood', $1::text)$$;
CREATE CAST (mood AS json) WITH FUNCTION mood_to_json(mood);
SELECT dashcache_define('w', 'SELECT $1::mood AS m, ARRAY[$1::mood] AS a', 'casts');
SELECT dashcache_define('v', 'SELECT $1::mood AS m', 'casts', result => 'value');
SELECT dashcache_get('fine', 'casts'), row_to_json(q), to_json(q.m) FROM (SELECT 'fine'::mood AS m, ARRAY['fine'::mood] AS a) q;

DROP EXTENSION dashcache;
DROP PROCEDURE try;
DROP TABLE t;
DROP TYPE mood, pair CASCADE;
DROP DOMAIN percent, document;
