-- What must be equal, handed on through joins, subqueries and WITH; and new rows that nothing refers to
CREATE EXTENSION dashcache;
CREATE SCHEMA refs;
SET search_path = refs, public;
SET client_min_messages = warning;

CREATE TABLE company (id int PRIMARY KEY, name text);
CREATE TABLE project (id int PRIMARY KEY, company_id int NOT NULL REFERENCES company, name text);
CREATE TABLE task (id int PRIMARY KEY, project_id int NOT NULL REFERENCES project, state text NOT NULL DEFAULT 'open');
CREATE TABLE entry (id int PRIMARY KEY, task_id int NOT NULL REFERENCES task, minutes int NOT NULL);
CREATE INDEX ON entry (task_id);
CREATE TABLE unindexed (task_id int NOT NULL REFERENCES task, x int);
INSERT INTO company VALUES (1, 'one'), (2, 'two');
INSERT INTO project SELECT i, 1 + i % 2, 'p' || i FROM generate_series(1, 4) i;
INSERT INTO task SELECT i, 1 + i % 4 FROM generate_series(1, 8) i;
INSERT INTO entry SELECT i, 1 + i % 6, i FROM generate_series(1, 12) i;
INSERT INTO unindexed SELECT 1 + i % 6, i FROM generate_series(1, 6) i;

-- the conditions that lead to the tenant stand in another join than the table
SELECT dashcache_define('joins', $$
	SELECT p.name, count(t.id) FROM company c JOIN project p ON p.company_id = c.id LEFT JOIN task t ON t.project_id = p.id
	WHERE c.id = $1 GROUP BY p.name ORDER BY 1 $$);
SELECT dashcache_define('left joins', $$
	SELECT p.name, count(t.id), sum(e.minutes) FROM company c LEFT JOIN project p ON p.company_id = c.id LEFT JOIN task t ON t.project_id = p.id
	LEFT JOIN entry e ON e.task_id = t.id WHERE c.id = $1 GROUP BY p.name ORDER BY 1 $$);
-- but not where rows of nulls make a difference: each task that has no project of the tenant
SELECT dashcache_define('not joined', $$
	SELECT count(*) FROM project p FULL JOIN task t ON t.project_id = p.id AND p.company_id = $1 WHERE p.id IS NULL $$);
SELECT dashcache_define('right join', $$
	SELECT count(*), count(p.id) FROM project p JOIN company c ON c.id = p.company_id AND c.id = $1 RIGHT JOIN task t ON t.project_id = p.id $$);
SELECT dashcache_define('grouped', $$
	SELECT t.id, s.n FROM task t JOIN project p ON p.id = t.project_id LEFT JOIN (SELECT task_id, count(*) AS n FROM entry GROUP BY 1) s ON s.task_id = t.id
	WHERE p.company_id = $1 ORDER BY 1 $$);
-- the column is not what the rows are grouped by, or there is a LIMIT
SELECT dashcache_define('not grouped', $$
	SELECT t.id, s.n FROM task t JOIN project p ON p.id = t.project_id JOIN (SELECT max(task_id) AS task_id, count(*) AS n FROM entry GROUP BY minutes % 2) s ON s.task_id = t.id
	WHERE p.company_id = $1 ORDER BY 1, 2 $$);
SELECT dashcache_define('limited', $$
	SELECT t.id FROM task t JOIN project p ON p.id = t.project_id JOIN (SELECT task_id FROM entry ORDER BY minutes DESC, id LIMIT 3) s ON s.task_id = t.id
	WHERE p.company_id = $1 ORDER BY 1 $$);
SELECT dashcache_define('in limited', $$
	SELECT count(*) FROM task t JOIN project p ON p.id = t.project_id WHERE p.company_id = $1
		AND t.id IN (SELECT task_id FROM entry ORDER BY minutes DESC, id LIMIT 3) $$);
SELECT dashcache_define('in distinct on', $$
	SELECT count(*) FROM project p WHERE p.company_id = $1
		AND p.id IN (SELECT DISTINCT ON (t.state) t.project_id FROM task t ORDER BY t.state, t.id DESC) $$);
SELECT dashcache_define('with twice', $$
	WITH own AS (SELECT id, name FROM project WHERE company_id = $1), n AS (SELECT t.project_id, count(*) AS n FROM task t JOIN own ON own.id = t.project_id GROUP BY 1)
	SELECT own.name, n.n FROM own LEFT JOIN n ON n.project_id = own.id ORDER BY 1 $$);
-- two references to one WITH query are two rows of it
SELECT dashcache_define('with two rows', $$
	WITH p AS (SELECT id, company_id FROM project)
	SELECT count(t.id) FROM p a JOIN p b ON a.id < b.id JOIN task t ON t.project_id = b.id WHERE a.company_id = $1 $$);
-- a task makes a difference only with entries
SELECT dashcache_define('entries', $$
	SELECT sum(e.minutes) FROM entry e JOIN task t ON t.id = e.task_id JOIN project p ON p.id = t.project_id WHERE p.company_id = $1 $$);
SELECT dashcache_define('exists', $$
	SELECT count(*) FROM task t JOIN project p ON p.id = t.project_id WHERE p.company_id = $1 AND EXISTS (SELECT FROM entry e WHERE e.task_id = t.id) $$);
SELECT dashcache_define('not exists', $$
	SELECT count(*) FROM task t JOIN project p ON p.id = t.project_id WHERE p.company_id = $1 AND NOT EXISTS (SELECT FROM entry e WHERE e.task_id = t.id) $$);
SELECT dashcache_define('unindexed', $$
	SELECT sum(u.x) FROM unindexed u JOIN task t ON t.id = u.task_id JOIN project p ON p.id = t.project_id WHERE p.company_id = $1 $$);
SELECT widget, source, tenant_key FROM dashcache_sources;

-- what is computed anew for the tenants 1 and 2, and whether anything is wrong
CREATE FUNCTION look() RETURNS TABLE (computed_for int, widgets text, wrong text) LANGUAGE plpgsql AS $$
DECLARE
	w record;
	f record;
BEGIN
	FOR tenant IN 1 .. 2 LOOP
		computed_for := tenant;
		widgets := NULL;
		wrong := NULL;
		FOR w IN SELECT * FROM dashcache.widget ORDER BY id LOOP
			EXECUTE format('SELECT f.data::jsonb AS data, f.source, (SELECT %s FROM (%s) x) AS direct FROM dashcache_fetch($1, widget => %L) f',
				CASE w.result WHEN 'row' THEN 'to_jsonb(x)' ELSE 'coalesce(jsonb_agg(x), ''[]'')' END, w.query, w.name) INTO f USING computed_for;
			IF f.data IS DISTINCT FROM f.direct THEN
				wrong := concat_ws(', ', wrong, format('%s: %s, not %s', w.name, f.data, f.direct));
			END IF;
			IF f.source <> 'cache' THEN
				widgets := concat_ws(', ', widgets, w.name);
			END IF;
		END LOOP;
		IF widgets IS NOT NULL OR wrong IS NOT NULL THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
SELECT * FROM look();
SELECT * FROM look();
-- a task, which nothing refers to
INSERT INTO task VALUES (20, 1);
SELECT * FROM look();
-- then an entry, both ways
INSERT INTO entry VALUES (20, 20, 100);
SELECT * FROM look();
WITH t AS (INSERT INTO task VALUES (21, 2) RETURNING id) INSERT INTO entry SELECT 21, id, 200 FROM t;
SELECT * FROM look();
BEGIN;
INSERT INTO task VALUES (22, 1);
INSERT INTO entry VALUES (22, 22, 300);
COMMIT;
SELECT * FROM look();
-- removed and put back with another project, in one statement
WITH gone AS (DELETE FROM task WHERE id = 20 RETURNING *) INSERT INTO task SELECT id, 2, state FROM gone;
SELECT * FROM look();
-- an entry's task is another one; a task has another key
UPDATE entry SET task_id = 21 WHERE id = 22;
SELECT * FROM look();
UPDATE task SET id = 122 WHERE id = 22;
SELECT * FROM look();
-- entries from a time when the key was not enforced
SET session_replication_role = replica;
INSERT INTO entry VALUES (30, 30, 1000);
RESET session_replication_role;
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
INSERT INTO task VALUES (30, 1);
SELECT * FROM look();
ALTER TABLE entry DISABLE TRIGGER ALL;
INSERT INTO entry VALUES (31, 31, 2000);
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
ALTER TABLE entry ENABLE TRIGGER ALL;
SELECT dashcache_repair();
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
INSERT INTO task VALUES (31, 1);
SELECT * FROM look();
-- without the key any new task may matter
ALTER TABLE entry DROP CONSTRAINT entry_task_id_fkey;
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
INSERT INTO entry VALUES (40, 40, 1);
INSERT INTO task VALUES (40, 1);
SELECT widgets ~ 'entries, exists, not exists' AS computed, wrong FROM look();
-- the unique index that a path goes by is lost
ALTER TABLE task DROP CONSTRAINT task_pkey CASCADE;
SELECT source, tenant_key FROM dashcache_sources WHERE widget = 'entries';
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
INSERT INTO task VALUES (40, 2);
SELECT widgets ~ 'entries, exists, not exists' AS computed, wrong FROM look();
UPDATE entry SET minutes = 7 WHERE task_id = 40;
SELECT widgets ~ 'entries' AS computed, wrong FROM look();

SELECT dashcache_drop();
DROP FUNCTION look;

-- keys that a row and its reference must both insert at once are missed by neither
CREATE TABLE a (id int PRIMARY KEY, b int, tenant int);
CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, x int);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
CREATE INDEX ON a (b);
CREATE INDEX ON b (a);
SELECT dashcache_define('circle', 'SELECT sum(x) AS x FROM a JOIN b ON b.a = a.id AND a.b = b.id WHERE a.tenant = $1');
SELECT data FROM dashcache_fetch(1);
WITH new AS (INSERT INTO a VALUES (1, 1, 1)) INSERT INTO b VALUES (1, 1, 5);
SELECT data, reason, (data->>'x')::int = (SELECT sum(x) FROM b) AS same FROM dashcache_fetch(1);
-- a child by inheritance has neither the key of its parent nor its uniqueness
INSERT INTO a VALUES (2, NULL, 1), (3, NULL, 1);
INSERT INTO b VALUES (2, 2, 7);
SELECT dashcache_define('children', 'SELECT sum(x) AS x FROM b JOIN a ON b.a = a.id WHERE a.tenant = $1', 'children');
SELECT source, tenant_key FROM dashcache_sources WHERE dashboard = 'children';
CREATE TABLE b_child () INHERITS (b);
SELECT data FROM dashcache_fetch(1, 'children');
INSERT INTO b_child VALUES (3, 4, 11);
SELECT data, reason FROM dashcache_fetch(1, 'children');
INSERT INTO a VALUES (4, NULL, 1);
SELECT data, reason, (data->>'x')::int = (SELECT sum(x) FROM b JOIN a ON b.a = a.id) AS same FROM dashcache_fetch(1, 'children');
DROP TABLE b_child;
CREATE TABLE a_child () INHERITS (a);
SELECT data FROM dashcache_fetch(1, 'children');
INSERT INTO a_child VALUES (2, NULL, 1);
SELECT data, reason, (data->>'x')::int = (SELECT sum(x) FROM b JOIN a ON b.a = a.id) AS same FROM dashcache_fetch(1, 'children');
-- broken, since a table is gone; what is left can be written to
CREATE TABLE gone (a int);
SELECT dashcache_define('broken', 'SELECT sum(x) AS x FROM b JOIN a ON b.a = a.id JOIN gone ON gone.a = a.id WHERE a.tenant = $1', 'broken');
SELECT data FROM dashcache_fetch(1, 'broken');
DROP TABLE gone;
INSERT INTO a VALUES (5, NULL, 1);
INSERT INTO b VALUES (5, 5, 13);
UPDATE b SET x = x + 1;
\set VERBOSITY terse
SELECT dashcache_get(1, 'broken');
\set VERBOSITY default
SELECT data, reason, (data->>'x')::int = (SELECT sum(x) FROM b JOIN a ON b.a = a.id) AS same FROM dashcache_fetch(1, 'children');
CREATE TABLE gone (a int);
INSERT INTO gone VALUES (5);
SELECT data, (data->>'x')::int = (SELECT sum(x) FROM b JOIN a ON b.a = a.id JOIN gone ON gone.a = a.id) AS same FROM dashcache_fetch(1, 'broken');
SELECT dashcache_drop(dashboard => 'children');
SELECT dashcache_drop(dashboard => 'broken');
SELECT dashcache_drop();

-- unique under another collation than the one compared by: not a path
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE parent (code text COLLATE no_case PRIMARY KEY, tenant int);
CREATE TABLE child (code text, x int);
INSERT INTO parent VALUES ('a', 1), ('b', 2);
INSERT INTO child VALUES ('A', 1), ('b', 2);
SELECT dashcache_define('no case', 'SELECT sum(x) AS x FROM child c JOIN parent p ON p.code = c.code WHERE p.tenant = $1');
SELECT dashcache_define('case', 'SELECT sum(x) AS x FROM child c JOIN parent p ON p.code COLLATE "C" = c.code WHERE p.tenant = $1');
SELECT widget, source, tenant_key FROM dashcache_sources;
CREATE FUNCTION look() RETURNS TABLE (tenant int, widget text, data json, reason text, same boolean) LANGUAGE sql AS $$
	SELECT t, f.widget, f.data, f.reason, (f.data->>'x')::int IS NOT DISTINCT FROM CASE f.widget
		WHEN 'case' THEN (SELECT sum(x) FROM child c JOIN parent p ON p.code COLLATE "C" = c.code WHERE p.tenant = t)
		ELSE (SELECT sum(x) FROM child c JOIN parent p ON p.code = c.code WHERE p.tenant = t) END
	FROM generate_series(1, 2) t, LATERAL dashcache_fetch(t) f ORDER BY 1, 2
$$;
SELECT * FROM look();
INSERT INTO child VALUES ('A', 10);
SELECT * FROM look();
INSERT INTO child VALUES ('a', 20), ('B', 40);
SELECT * FROM look();

DROP EXTENSION dashcache;
DROP SCHEMA refs CASCADE;
