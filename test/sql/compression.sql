-- dashcache.compression: answers that are stored smaller, and served as they were
CREATE EXTENSION dashcache;
CREATE TABLE t (company_id int, id int, text text);
-- repetitive, short, and random
INSERT INTO t SELECT 1, i, 'conversation ' || i FROM generate_series(1, 500) i;
INSERT INTO t SELECT 2, i, 'conversation ' || i FROM generate_series(1, 5) i;
INSERT INTO t SELECT 3, i, (SELECT string_agg(sha512((i * 100 + j)::text::bytea)::text, '') FROM generate_series(1, 3) j) FROM generate_series(1, 20) i;
INSERT INTO t SELECT 4, i, chr(200 + i % 100) || repeat(chr(8364), 5) FROM generate_series(1, 300) i;
SET client_min_messages = warning;
SELECT dashcache_define('rows', 'SELECT id, text FROM t WHERE company_id = $1 ORDER BY id', ttl => NULL);

-- what is served is what was computed, in every way it may be stored
CREATE TABLE seen (method text, tenant int, md5 text, etag text, source text);
CREATE PROCEDURE read_all(method text) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 2 LOOP
		INSERT INTO seen SELECT method, n, md5(f.data::text), f.etag, f.source
		FROM generate_series(1, 4) n, dashcache_fetch(n, refresh => i = 1) f;
	END LOOP;
END $$;
CALL read_all('off');
SELECT tenant, bytes, stored_bytes > bytes AS as_it_is FROM dashcache_entries ORDER BY 1;
SET dashcache.compression = pglz;
CALL read_all('pglz');
SELECT tenant, bytes, stored_bytes > bytes AS as_it_is, stored_bytes < bytes / 2 AS halved FROM dashcache_entries ORDER BY 1;
-- lz4 may have been left out of the server
SELECT set_config('dashcache.compression', coalesce((SELECT 'lz4' FROM pg_settings WHERE name = 'dashcache.compression' AND 'lz4' = ANY (enumvals)), 'pglz'), false) IS NOT NULL AS set;
CALL read_all('lz4');
SELECT tenant, bytes, stored_bytes > bytes AS as_it_is, stored_bytes < bytes / 2 AS halved FROM dashcache_entries ORDER BY 1;
SELECT tenant, source, count(*), count(DISTINCT md5) AS answers, count(DISTINCT etag) AS etags FROM seen GROUP BY 1, 2 ORDER BY 1, 2;
-- what was stored before is served whatever the setting is now
SET dashcache.compression = off;
SELECT f.source, md5(f.data::text) = s.md5 AS same
FROM generate_series(1, 4) n, dashcache_fetch(n) f, (SELECT DISTINCT tenant, md5 FROM seen) s WHERE s.tenant = n ORDER BY n;
-- a whole dashboard, of which some is compressed
SET dashcache.compression = pglz;
SELECT dashcache_define('count', 'SELECT count(*) FROM t WHERE company_id = $1', ttl => NULL);
SELECT dashcache_get(1)::jsonb = g.g AS same, g.g->'count' AS count, jsonb_array_length(g.g->'rows') AS rows FROM (SELECT dashcache_get(1)::jsonb g OFFSET 0) g;
SELECT widget, source FROM dashcache_fetch(1);
SET dashcache.compression = zstd;
RESET dashcache.compression;
CREATE ROLE somebody;
SET ROLE somebody;
SET dashcache.compression = off;
RESET ROLE;
DROP ROLE somebody;

DROP EXTENSION dashcache;
DROP TABLE t, seen;
DROP PROCEDURE read_all;
