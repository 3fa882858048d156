-- Every kind of write: whose entries it makes stale, and whose not
CREATE EXTENSION dashcache;
CREATE TABLE parent (id bigint PRIMARY KEY);
CREATE TABLE t (id bigint PRIMARY KEY, company_id bigint, x int, unread text,
	parent bigint REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, other bigint REFERENCES parent ON DELETE SET NULL,
	twice int GENERATED ALWAYS AS (x * 2) STORED);
CREATE INDEX ON t (company_id);
INSERT INTO parent SELECT generate_series(1, 20);
CREATE VIEW updatable AS SELECT id, company_id, x FROM t WHERE x < 1000 WITH CHECK OPTION;
SET client_min_messages = warning;
SELECT dashcache_define('w', 'SELECT count(*) AS n, sum(x) AS x, sum(twice) AS twice, count(other) AS others FROM t WHERE company_id = $1');

-- For the tenants 1 to 3: where the answer comes from, and whether it is that of the query.
CREATE FUNCTION look() RETURNS TABLE (tenant bigint, data json, reason text, "right" boolean) LANGUAGE sql AS $$
	SELECT i, f.data, COALESCE(f.reason, 'hit'), f.data::text = (SELECT row_to_json(q)::text FROM
		(SELECT count(*) AS n, sum(x) AS x, sum(twice) AS twice, count(other) AS others FROM t WHERE company_id = i) q)
	FROM generate_series(1::bigint, 3) i, LATERAL dashcache_fetch(i) f ORDER BY 1
$$;
INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3);
SELECT * FROM look();
SELECT * FROM look();

-- INSERT
INSERT INTO t VALUES (4, 1, 10, 'a', 1);
SELECT * FROM look();
INSERT INTO t SELECT i, i % 2 + 1, i FROM generate_series(5, 8) i;
SELECT * FROM look();
-- UPDATE
UPDATE t SET x = x + 1 WHERE id = 4;
SELECT * FROM look();
-- of a column that is not read, or to what it was
UPDATE t SET unread = 'b' WHERE company_id = 1;
UPDATE t SET x = x, parent = 2 WHERE company_id = 1;
SELECT * FROM look();
-- of nothing
UPDATE t SET x = 0 WHERE id = 99;
DELETE FROM t WHERE id = 99;
INSERT INTO t SELECT id, company_id, x FROM t WHERE false;
SELECT * FROM look();
-- DELETE
DELETE FROM t WHERE id = 4;
SELECT * FROM look();
-- a generated column: by what it is made from
UPDATE t SET x = 100 WHERE id = 5;
SELECT * FROM look();
-- COPY
COPY t (id, company_id, x) FROM STDIN;
10	1	1
11	3	2
\.
SELECT * FROM look();
-- MERGE: inserts, updates, deletes
MERGE INTO t USING (VALUES (10, 1), (11, 3), (12, 2)) s (id, company_id) ON t.id = s.id
WHEN MATCHED AND t.id = 10 THEN UPDATE SET x = 50
WHEN MATCHED THEN DELETE
WHEN NOT MATCHED THEN INSERT (id, company_id, x) VALUES (s.id, s.company_id, 7);
SELECT * FROM look();
-- upserts
INSERT INTO t VALUES (10, 1, 9) ON CONFLICT (id) DO NOTHING;
SELECT * FROM look();
INSERT INTO t VALUES (10, 3, 9) ON CONFLICT (id) DO UPDATE SET x = excluded.x;
SELECT * FROM look();
INSERT INTO t VALUES (13, 3, 9) ON CONFLICT (id) DO UPDATE SET x = excluded.x;
SELECT * FROM look();
-- CTEs that write
WITH gone AS (DELETE FROM t WHERE id = 13 RETURNING *), come AS (INSERT INTO t SELECT 14, 2, x FROM gone RETURNING *)
UPDATE t SET x = t.x + 1 FROM come WHERE t.id = 10;
SELECT * FROM look();
-- a tenant move, there and away, and back
UPDATE t SET company_id = 2 WHERE id = 10;
SELECT * FROM look();
UPDATE t SET company_id = 3 - company_id WHERE company_id IN (1, 2);
SELECT * FROM look();
-- to null, and back
UPDATE t SET company_id = NULL WHERE id = 14;
SELECT * FROM look();
UPDATE t SET x = x + 1 WHERE company_id IS NULL;
INSERT INTO t VALUES (15, NULL, 1);
DELETE FROM t WHERE id = 15;
SELECT * FROM look();
UPDATE t SET company_id = 2 WHERE id = 14;
SELECT * FROM look();
-- foreign keys: ON DELETE CASCADE, SET NULL, ON UPDATE CASCADE
UPDATE t SET parent = 7 WHERE id = 5;
UPDATE t SET other = 8 WHERE id = 6;
SELECT * FROM look();
DELETE FROM parent WHERE id = 7;
SELECT * FROM look();
DELETE FROM parent WHERE id = 8;
SELECT * FROM look();
UPDATE t SET parent = 9 WHERE id = 6;
UPDATE parent SET id = 99 WHERE id = 9;
SELECT * FROM look();
-- through a view, and refused by it
UPDATE updatable SET x = 0 WHERE company_id = 3;
SELECT * FROM look();
INSERT INTO updatable VALUES (20, 3, 1000);
SELECT * FROM look();
-- through a function, and prepared
PREPARE write(bigint) AS UPDATE t SET x = x + 1 WHERE company_id = $1;
EXECUTE write(1);
SELECT * FROM look();
DO $$ BEGIN UPDATE t SET x = x + 1 WHERE company_id = 2; END $$;
SELECT * FROM look();
-- in a transaction, and one that does nothing in the end
BEGIN;
INSERT INTO t VALUES (21, 1, 1);
UPDATE t SET company_id = 2 WHERE id = 21;
DELETE FROM t WHERE id = 21;
COMMIT;
SELECT tenant, data, "right" FROM look();
BEGIN;
INSERT INTO t VALUES (21, 1, 1);
INSERT INTO t VALUES (22, 3, 1);
ROLLBACK;
SELECT * FROM look();
BEGIN;
INSERT INTO t VALUES (21, 1, 1);
SAVEPOINT s;
INSERT INTO t VALUES (22, 3, 1);
ROLLBACK TO s;
COMMIT;
SELECT * FROM look();
BEGIN;
SAVEPOINT s;
INSERT INTO t VALUES (23, 3, 1);
SAVEPOINT s2;
INSERT INTO t VALUES (24, 2, 1);
RELEASE s;
COMMIT;
SELECT * FROM look();
-- rolled back and done again: the same tenant in and out of a savepoint
BEGIN;
SAVEPOINT s;
INSERT INTO t VALUES (25, 1, 1);
ROLLBACK TO s;
INSERT INTO t VALUES (25, 1, 2);
SAVEPOINT s;
UPDATE t SET x = 3 WHERE id = 25;
ROLLBACK TO s;
COMMIT;
SELECT * FROM look();
-- an error
INSERT INTO t VALUES (26, 2, 1), (25, 1, 1);
\echo :SQLSTATE
SELECT * FROM look();
-- a trigger of the table that changes the tenant, or cancels the row; first and last by name
CREATE FUNCTION to_three() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.x = 666 THEN
		RETURN NULL;
	END IF;
	NEW.company_id := 3;
	RETURN NEW;
END $$;
CREATE TRIGGER a_before BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION to_three();
INSERT INTO t VALUES (30, 1, 1);
SELECT * FROM look();
UPDATE t SET x = x + 1 WHERE id = 25;
SELECT * FROM look();
INSERT INTO t VALUES (31, 1, 666);
SELECT * FROM look();
ALTER TRIGGER a_before ON t RENAME TO zz_before;
UPDATE t SET company_id = 2 WHERE id = 25;
INSERT INTO t VALUES (32, 2, 1);
SELECT * FROM look();
DROP TRIGGER zz_before ON t;
-- a trigger that writes, and one that reads before the row is there
CREATE FUNCTION write_and_read() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	answer record;
BEGIN
	IF pg_trigger_depth() = 1 THEN
		SELECT * INTO answer FROM dashcache_fetch(1::bigint);
		RAISE INFO '% %: % %, %', TG_WHEN, TG_LEVEL, answer.data, answer.reason,
			(SELECT count(*) FROM t WHERE company_id = 1) = (answer.data ->> 'n')::int;
		IF TG_WHEN = 'AFTER' THEN
			UPDATE t SET x = x + 1 WHERE id = (SELECT min(id) FROM t WHERE company_id = 2);
		END IF;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER a1 BEFORE INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION write_and_read();
CREATE TRIGGER a2 BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION write_and_read();
CREATE TRIGGER a3 AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION write_and_read();
\set VERBOSITY terse
SET client_min_messages = notice;
INSERT INTO t VALUES (40, 1, 1);
SET client_min_messages = warning;
\set VERBOSITY default
SELECT * FROM look();
DROP TRIGGER a1 ON t;
DROP TRIGGER a2 ON t;
DROP TRIGGER a3 ON t;
-- a deferred constraint trigger that writes at the commit
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION write_and_read();
CREATE OR REPLACE FUNCTION write_and_read() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE t SET x = x + 5 WHERE company_id = 3;
	RETURN NULL;
END $$;
BEGIN;
INSERT INTO parent VALUES (1000);
COMMIT;
SELECT * FROM look();
-- session_replication_role: replica
SET session_replication_role = replica;
INSERT INTO t VALUES (50, 1, 1);
RESET session_replication_role;
SELECT * FROM look();
-- TRUNCATE: alone, cascading, rolled back
BEGIN;
TRUNCATE t;
SELECT * FROM look();
ROLLBACK;
SELECT * FROM look();
TRUNCATE parent CASCADE;
SELECT * FROM look();
SELECT * FROM look();
INSERT INTO t VALUES (1, 1, 1);
TRUNCATE ONLY t;
INSERT INTO t VALUES (2, 2, 1);
SELECT * FROM look();
-- many tenants in one transaction
INSERT INTO t SELECT i, i, 1 FROM generate_series(100, 6000) i;
ANALYZE t;
SELECT * FROM look();
SELECT count(*), sum((data ->> 'n')::int) FROM generate_series(100::bigint, 6000) i, LATERAL dashcache_fetch(i) f;
UPDATE t SET x = 2 WHERE id >= 100;
SELECT count(*), sum((data ->> 'x')::int) FROM generate_series(100::bigint, 6000) i, LATERAL dashcache_fetch(i) f;
-- what is not a write
SELECT * FROM look();
VACUUM t;
ANALYZE t;
SELECT * FROM look();
SELECT count(*) FROM (SELECT FROM t FOR UPDATE) q;
CREATE INDEX ON t (x);
SELECT tenant, data, "right" FROM look();
VACUUM FULL t;
SELECT tenant, data, "right" FROM look();

-- several widgets on one table, each by its own columns and key
CREATE TABLE m (a int, b int, c int, d int);
INSERT INTO m VALUES (1, 1, 1, 1), (2, 2, 2, 2);
SELECT dashcache_define('by a', 'SELECT sum(c) FROM m WHERE a = $1', 'm');
SELECT dashcache_define('by b', 'SELECT sum(d) FROM m WHERE b = $1', 'm');
SELECT dashcache_define('all', 'SELECT count(*) FROM m WHERE a <> $1', 'm');
SELECT dashcache_define('both', 'SELECT count(*) FROM m WHERE a = $1 AND b = $1', 'm');
CREATE FUNCTION look_m() RETURNS TABLE (tenant int, widget text, data json, reason text) LANGUAGE sql AS $$
	SELECT i, f.widget, f.data, COALESCE(f.reason, 'hit') FROM generate_series(1, 2) i, LATERAL dashcache_fetch(i, 'm') f ORDER BY 1, 2
$$;
SELECT * FROM look_m();
UPDATE m SET c = 10 WHERE a = 1;
SELECT * FROM look_m();
UPDATE m SET d = 10 WHERE a = 1;
SELECT * FROM look_m();
UPDATE m SET b = 2 WHERE a = 1;
SELECT * FROM look_m();
INSERT INTO m VALUES (2, 1, 5, 5);
SELECT * FROM look_m();
-- a column defined as another type later
ALTER TABLE m ALTER c TYPE bigint;
UPDATE m SET c = 11 WHERE a = 1;
SELECT * FROM look_m();
ALTER TABLE m DROP d CASCADE;
SELECT data FROM dashcache_fetch(1, 'm', 'by a');

-- a join: changes of either table
CREATE TABLE c (id bigint PRIMARY KEY, company_id bigint);
CREATE TABLE d (c bigint, company_id bigint, x int);
INSERT INTO c VALUES (1, 1), (2, 2);
INSERT INTO d VALUES (1, 1, 1), (2, 2, 2);
SELECT dashcache_define('j', 'SELECT count(*), sum(x) FROM c JOIN d ON d.c = c.id AND d.company_id = c.company_id WHERE c.company_id = $1', 'j');
SELECT source, tenant_key, invalidation FROM dashcache_sources WHERE dashboard = 'j';
SELECT i, data, reason FROM generate_series(1, 2) i, LATERAL dashcache_fetch(i, 'j') f ORDER BY 1;
UPDATE c SET company_id = 2 WHERE id = 1;
SELECT i, data, reason FROM generate_series(1, 2) i, LATERAL dashcache_fetch(i, 'j') f ORDER BY 1;
INSERT INTO d VALUES (2, 2, 5);
SELECT i, data, reason FROM generate_series(1, 2) i, LATERAL dashcache_fetch(i, 'j') f ORDER BY 1;

DROP EXTENSION dashcache;
DROP VIEW updatable;
DROP TABLE t, parent, m, c, d;
DROP FUNCTION look, look_m, to_three, write_and_read;
