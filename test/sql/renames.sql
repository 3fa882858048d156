-- Tables, columns and schemas that are renamed, and tables that are moved: queries follow them
CREATE SCHEMA renames;
SET search_path = renames, public;
SET client_min_messages = warning;
CREATE EXTENSION dashcache SCHEMA public;
CREATE TABLE item (id int PRIMARY KEY, tenant bigint, v int, "Odd ""x" int);
CREATE TABLE note (item int REFERENCES item, body text);
CREATE TABLE part (tenant int, v int) PARTITION BY RANGE (v);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (1000);
INSERT INTO item SELECT i, i % 3, i, i * 10 FROM generate_series(1, 9) i;
INSERT INTO note SELECT 1 + i % 9, 'n' || i FROM generate_series(1, 30) i;
INSERT INTO part SELECT i % 3, i FROM generate_series(1, 30) i;
SELECT dashcache_define('bare', 'SELECT v, item."Odd ""x" FROM item WHERE tenant = $1 AND item.v < 100 ORDER BY v');
SELECT dashcache_define('alias', 'SELECT i.v AS w, count(*) -- of item
	FROM item AS i JOIN renames . "note" n ON n.item = i.id WHERE i.tenant = $1 GROUP BY i.v ORDER BY w');
SELECT dashcache_define('group', 'SELECT v, count(*) FROM item WHERE tenant = $1 GROUP BY v ORDER BY v');
SELECT dashcache_define('with', 'WITH note AS (SELECT v FROM ONLY item WHERE tenant = $1::int) SELECT sum(note.v) AS v FROM note');
SELECT dashcache_define('sub', 'SELECT s.v, (SELECT max(v) FROM item o WHERE o.tenant = s.tenant) AS m FROM (SELECT tenant, v FROM item) s WHERE s.tenant = $1 ORDER BY 1');
SELECT dashcache_define('order', 'SELECT -v AS v, item.v AS w, tenant AS v2 FROM item WHERE tenant = $1 GROUP BY item.v, item.tenant ORDER BY v, item.tenant');
SELECT dashcache_define('window', 'SELECT DISTINCT ON (w) v AS w, rank() OVER (PARTITION BY tenant ORDER BY v DESC) FROM item WHERE tenant = $1 ORDER BY w, v');
SELECT dashcache_define('star', 'SELECT * FROM note, item i WHERE i.id = note.item AND i.tenant = $1 ORDER BY body');
SELECT dashcache_define('exists', 'SELECT count(*) FROM item i WHERE i.tenant = $1 AND EXISTS (SELECT * FROM item j WHERE j.v > i.v) AND EXISTS (SELECT x.* FROM item AS x WHERE v < i.v)');
SELECT dashcache_define('using', 'SELECT count(*) FROM item JOIN item x USING (v) WHERE item.tenant = $1');
SELECT dashcache_define('part', 'SELECT sum(v) FROM part1 WHERE tenant = $1');
-- the answers before, and of each widget whether it gives the same now, and is kept
CREATE TABLE was AS SELECT widget, data::text FROM dashcache_fetch(1);
CREATE FUNCTION same() RETURNS TABLE (widget text, same boolean, later text, problem text)
LANGUAGE plpgsql AS $$
DECLARE
	w record;
BEGIN
	FOR w IN SELECT * FROM renames.was LOOP
		widget := w.widget;
		BEGIN
			SELECT f.data::text = w.data INTO same FROM public.dashcache_fetch(1, widget => w.widget) f;
			SELECT f.source INTO later FROM public.dashcache_fetch(1, widget => w.widget) f;
			problem := NULL;
		EXCEPTION WHEN OTHERS THEN
			same := NULL; later := NULL; problem := SQLERRM;
		END;
		RETURN NEXT;
	END LOOP;
END
$$;
SELECT * FROM same();

ALTER TABLE item RENAME TO "Item 2";
SELECT * FROM same();
ALTER TABLE "Item 2" RENAME v TO "Value";
SELECT * FROM same();
SELECT name, query FROM dashcache.widget ORDER BY id;
-- writers are watched as before
INSERT INTO "Item 2" VALUES (10, 1, 50, 1);
SELECT widget, same FROM same() WHERE NOT same;
DELETE FROM "Item 2" WHERE id = 10;
SELECT * FROM same();
-- what was undone is as it was
ALTER TABLE "Item 2" RENAME "Value" TO v;
SELECT * FROM same();

-- other schemas
CREATE SCHEMA elsewhere;
ALTER TABLE "Item 2" SET SCHEMA elsewhere;
ALTER TABLE note SET SCHEMA elsewhere;
ALTER TABLE note RENAME TO note2; -- not there any more
ALTER SCHEMA elsewhere RENAME TO "Else where";
SELECT * FROM same();
SELECT name, query FROM dashcache.widget ORDER BY id;
-- the parent's column is the partition's
ALTER TABLE part RENAME v TO value;
ALTER TABLE part1 RENAME TO part_1;
SELECT * FROM same() WHERE widget = 'part';
SELECT query FROM dashcache.widget WHERE name = 'part';

-- rolled back; and in a subtransaction
BEGIN;
ALTER TABLE part_1 RENAME TO part_2;
SELECT * FROM same() WHERE widget = 'part';
SAVEPOINT a;
ALTER TABLE part_2 RENAME TO part_3;
ROLLBACK TO a;
SELECT * FROM same() WHERE widget = 'part';
ROLLBACK;
SELECT * FROM same() WHERE widget = 'part';
SELECT query FROM dashcache.widget WHERE name = 'part';
-- a name that another table takes
ALTER TABLE part_1 RENAME TO part_4;
CREATE TABLE part_1 (tenant int, value int);
SELECT * FROM same() WHERE widget = 'part';
-- who may not do it does not
CREATE ROLE dashcache_renamer;
GRANT USAGE ON SCHEMA renames TO dashcache_renamer;
SET ROLE dashcache_renamer;
ALTER TABLE part_4 RENAME TO part_5;
RESET ROLE;
SELECT severity, object, problem FROM dashcache_check() WHERE severity = 'error';

SET client_min_messages = warning;
DROP EXTENSION dashcache;
DROP SCHEMA renames, "Else where" CASCADE;
REASSIGN OWNED BY dashcache_renamer TO CURRENT_USER;
DROP ROLE dashcache_renamer;
