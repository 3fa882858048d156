-- Paths by columns that are not unique: link tables, and references the other way round
CREATE EXTENSION dashcache;
CREATE SCHEMA links;
SET search_path = links, public;
SET client_min_messages = warning;

CREATE TABLE label (id int PRIMARY KEY, company_id int NOT NULL, name text);
CREATE TABLE task (id int PRIMARY KEY, title text, state text NOT NULL DEFAULT 'open');
CREATE TABLE task_label (task_id int, label_id int REFERENCES label, PRIMARY KEY (task_id, label_id));
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE member (company_id int NOT NULL, person_id int REFERENCES person, role text);
CREATE INDEX ON member (person_id);
CREATE TABLE entry (id int PRIMARY KEY, person_id int, minutes int);
CREATE TABLE project (id int PRIMARY KEY, company_id int);
CREATE TABLE item (id int PRIMARY KEY, project_id int REFERENCES project, state text NOT NULL DEFAULT 'open');
CREATE TABLE dependency (item_id int REFERENCES item, blocked_by int REFERENCES item);
CREATE INDEX ON dependency (blocked_by);
INSERT INTO label SELECT i, 1 + i % 3, 'l' || i FROM generate_series(1, 6) i;
INSERT INTO task SELECT i, 't' || i FROM generate_series(1, 6) i;
INSERT INTO task_label SELECT i, i FROM generate_series(1, 5) i;
INSERT INTO person SELECT i, 'p' || i FROM generate_series(1, 6) i;
INSERT INTO member SELECT 1 + i % 3, i, 'member' FROM generate_series(1, 5) i;
INSERT INTO entry SELECT i, i, i FROM generate_series(1, 6) i;
INSERT INTO project SELECT i, 1 + i % 3 FROM generate_series(1, 6) i;
INSERT INTO item SELECT i, i FROM generate_series(1, 6) i;
INSERT INTO dependency VALUES (1, 4), (2, 5), (3, 6);

SELECT dashcache_define('labelled', $$
	SELECT t.title, t.state FROM task t JOIN task_label x ON x.task_id = t.id JOIN label l ON l.id = x.label_id WHERE l.company_id = $1 ORDER BY 1, 2 $$);
SELECT dashcache_define('people', $$ SELECT p.name FROM member m JOIN person p ON p.id = m.person_id WHERE m.company_id = $1 ORDER BY 1 $$);
SELECT dashcache_define('idle', $$
	SELECT p.name FROM member m JOIN person p ON p.id = m.person_id WHERE m.company_id = $1 AND NOT EXISTS (SELECT FROM entry e WHERE e.person_id = p.id) ORDER BY 1 $$);
SELECT dashcache_define('blocked', $$
	SELECT i.id FROM item i JOIN project p ON p.id = i.project_id WHERE p.company_id = $1
	AND EXISTS (SELECT FROM dependency d JOIN item b ON b.id = d.blocked_by WHERE d.item_id = i.id AND b.state <> 'done') ORDER BY 1 $$);
-- a unique column is preferred, though it is farther
SELECT dashcache_define('both ways', $$
	SELECT i.id FROM item i JOIN project p ON p.id = i.project_id JOIN member m ON m.person_id = i.id WHERE p.company_id = $1 AND m.company_id = p.company_id ORDER BY 1 $$);
SELECT widget, source, tenant_key FROM dashcache_sources;

-- what is computed anew for the tenants 1 to 3, and whether anything is wrong
CREATE FUNCTION look() RETURNS TABLE (computed_for int, widgets text, wrong text) LANGUAGE plpgsql AS $$
DECLARE
	w record;
	f record;
BEGIN
	FOR tenant IN 1 .. 3 LOOP
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
SELECT count(*) FROM look();
SELECT * FROM look();
-- those whose labels a task has, and only those
UPDATE task SET state = 'done' WHERE id = 1;
SELECT * FROM look();
INSERT INTO task_label VALUES (1, 3);
SELECT * FROM look();
UPDATE task SET state = 'open' WHERE id = 1;
SELECT * FROM look();
UPDATE task_label SET label_id = 2 WHERE (task_id, label_id) = (1, 3);
SELECT * FROM look();
DELETE FROM task_label WHERE (task_id, label_id) = (1, 2);
SELECT * FROM look();
-- a task without labels
UPDATE task SET state = 'done' WHERE id = 6;
INSERT INTO task VALUES (7, 't7');
SELECT * FROM look();
-- a label of another company
UPDATE label SET company_id = 3 WHERE id = 1;
SELECT * FROM look();
-- all at once, in whichever order
WITH l AS (INSERT INTO label VALUES (7, 1)), x AS (INSERT INTO task_label VALUES (8, 7)) INSERT INTO task VALUES (8, 't8');
SELECT * FROM look();
WITH t AS (DELETE FROM task WHERE id = 8), l AS (UPDATE label SET company_id = 2 WHERE id = 7) DELETE FROM task_label WHERE task_id = 8;
SELECT * FROM look();
BEGIN;
UPDATE task SET title = 'x' WHERE id = 6;
SAVEPOINT a;
INSERT INTO task_label VALUES (6, 4);
ROLLBACK TO a;
INSERT INTO task_label VALUES (6, 6);
COMMIT;
SELECT * FROM look();
-- people
UPDATE person SET name = 'x' WHERE id = 1;
SELECT * FROM look();
DELETE FROM entry WHERE id = 2;
SELECT * FROM look();
INSERT INTO entry VALUES (7, 6, 1);
SELECT * FROM look();
INSERT INTO member VALUES (2, 6);
SELECT * FROM look();
-- items that block
UPDATE item SET state = 'done' WHERE id = 4;
SELECT * FROM look();
INSERT INTO item VALUES (7, 2);
INSERT INTO dependency VALUES (7, 1);
SELECT * FROM look();
UPDATE item SET project_id = 3 WHERE id = 7;
SELECT * FROM look();
-- TRUNCATE
TRUNCATE task_label;
SELECT * FROM look();
UPDATE task SET title = title || '!';
SELECT * FROM look();
-- where replication applies
INSERT INTO task_label VALUES (2, 2);
SELECT count(*) FROM look();
SET session_replication_role = replica;
UPDATE task SET state = 'x' WHERE id = 2;
RESET session_replication_role;
SELECT * FROM look();
-- more than can be followed
INSERT INTO member SELECT 1, 2, 'x' || i FROM generate_series(1, 20) i;
SELECT count(*) FROM look();
UPDATE person SET name = 'y' WHERE id = 2;
SELECT * FROM look();
DELETE FROM member WHERE role LIKE 'x%';
SELECT count(*) FROM look();
UPDATE person SET name = 'z' WHERE id = 2;
SELECT * FROM look();

-- the index is lost, is found missing, and is made again
DROP INDEX member_person_id_idx;
SELECT widget, source, tenant_key FROM dashcache_sources WHERE source = 'person'::regclass;
SELECT severity, object, fix FROM dashcache_check() WHERE fix ~ 'INDEX' ORDER BY 2, 3;
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
UPDATE person SET name = 'a' WHERE id = 2;
SELECT * FROM look();
CREATE INDEX i ON links.member (person_id) WHERE role <> 'x';
CREATE INDEX ON links.member (person_id, role);
SELECT widget, source, tenant_key FROM dashcache_sources WHERE source = 'person'::regclass;
-- it is lost unnoticed
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
ALTER EVENT TRIGGER dashcache_objects_dropped DISABLE;
DROP INDEX member_person_id_role_idx;
ALTER EVENT TRIGGER dashcache_objects_dropped ENABLE ALWAYS;
UPDATE person SET name = 'b' WHERE id = 2;
SELECT * FROM look();
-- a link table that is a parent by inheritance
CREATE INDEX ON links.member (person_id);
CREATE TABLE member_child () INHERITS (member);
SELECT widget, source, tenant_key FROM dashcache_sources WHERE source = 'person'::regclass;
INSERT INTO member_child VALUES (2, 1);
SELECT count(*) FILTER (WHERE wrong IS NOT NULL) AS wrong FROM look();
UPDATE person SET name = 'c' WHERE id = 1;
SELECT * FROM look();
DROP TABLE member_child;
-- where the statistics say that it is too many
INSERT INTO member SELECT 1 + i % 3, 1, 'many' FROM generate_series(1, 100) i;
ANALYZE member;
SELECT dashcache_repair();
SELECT widget, source, tenant_key FROM dashcache_sources WHERE source = 'person'::regclass;
SELECT severity, object, fix FROM dashcache_check() WHERE fix ~ 'INDEX' ORDER BY 2, 3;

DROP EXTENSION dashcache;
DROP SCHEMA links CASCADE;
