-- What DDL does to widgets: either their entries go, or they are broken and say
-- so.  Nothing stale is served in between, nor after a rollback.
\set VERBOSITY terse
\set ECHO all
SET client_min_messages = warning;
CREATE EXTENSION dashcache;
CREATE SCHEMA ddl;
SET search_path = ddl, public;

CREATE TABLE item (id int PRIMARY KEY, tenant int, v int, state text);
CREATE TABLE other (id int PRIMARY KEY, tenant int);
INSERT INTO item SELECT g, g % 2 + 1, g, CASE WHEN g % 3 = 0 THEN 'open' ELSE 'done' END FROM generate_series(1, 12) g;
INSERT INTO other VALUES (1, 1);
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE VIEW open_item AS SELECT * FROM item WHERE state = 'open';
CREATE VIEW nested AS SELECT tenant, v + 1 AS w FROM open_item;
CREATE MATERIALIZED VIEW total AS SELECT tenant, sum(v) AS v FROM item GROUP BY tenant;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE moody (tenant int, mood mood);
INSERT INTO moody VALUES (1, 'good');

SELECT dashcache_define('table', 'SELECT sum(v) AS v FROM item WHERE tenant = $1');
SELECT dashcache_define('function', 'SELECT twice(sum(v)::int) AS v FROM item WHERE tenant = $1');
SELECT dashcache_define('view', 'SELECT sum(w) AS w FROM nested WHERE tenant = $1');
SELECT dashcache_define('matview', 'SELECT v FROM total WHERE tenant = $1');
SELECT dashcache_define('enum', 'SELECT mood FROM moody WHERE tenant = $1');
SELECT dashcache_define('other', 'SELECT count(*) AS n FROM other WHERE tenant = $1');

SELECT widget, source, tenant_key, columns, invalidation, installed, problem FROM dashcache_sources;

-- load twice: what is not served from the cache the second time never will be
CREATE FUNCTION load() RETURNS TABLE (widget text, data text, source text, reason text)
LANGUAGE sql AS $$ SELECT widget, data::text, source, reason FROM dashcache_fetch(1) $$;
SELECT * FROM load();
SELECT * FROM load();

-- a function
CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 20';
SELECT * FROM load();
-- a view inside a view
CREATE OR REPLACE VIEW open_item AS SELECT * FROM item WHERE state = 'done';
SELECT * FROM load();
-- a materialized view
UPDATE item SET v = v + 1 WHERE id = 2;
SELECT * FROM load();
REFRESH MATERIALIZED VIEW total;
SELECT * FROM load();
CREATE UNIQUE INDEX ON total (tenant);
UPDATE item SET v = v + 1 WHERE id = 2;
SELECT * FROM load();
REFRESH MATERIALIZED VIEW CONCURRENTLY total;
SELECT * FROM load() WHERE widget = 'matview';
-- an enum's label
ALTER TYPE mood RENAME VALUE 'good' TO 'fine';
SELECT * FROM load() WHERE widget = 'enum';
SELECT * FROM load();
-- a rewrite
DROP VIEW nested, open_item;
ALTER TABLE item ALTER v TYPE bigint USING v * 100;
SELECT * FROM load() WHERE widget = 'table';
SELECT name, problem FROM dashcache.widget ORDER BY id;

-- a function and a view dropped, and made again
SELECT dashcache_get(1, widget => 'view');
CREATE VIEW nested AS SELECT tenant, v AS w FROM item;
SELECT widget, data, source, reason FROM dashcache_fetch(1, widget => 'view');
SELECT widget, data, source, reason FROM dashcache_fetch(1, widget => 'view');
DROP FUNCTION twice;
SELECT dashcache_get(1, widget => 'function');
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
SELECT * FROM load();

-- a column renamed and renamed back, dropped, and the drop rolled back
ALTER TABLE item RENAME v TO u;
SELECT dashcache_get(1, widget => 'table');
ALTER TABLE item RENAME u TO v;
SELECT * FROM load() WHERE widget = 'table';
BEGIN;
ALTER TABLE other DROP COLUMN tenant;
SAVEPOINT a;
SELECT dashcache_get(1, widget => 'other');
ROLLBACK;
SELECT * FROM load() WHERE widget = 'other';
-- columns that no widget reads come and go
ALTER TABLE item ADD note text;
ALTER TABLE item DROP note;
SELECT * FROM load() WHERE widget = 'table';

-- a table renamed, moved, dropped, made again
ALTER TABLE other RENAME TO another;
SELECT dashcache_get(1, widget => 'other');
SELECT widget, source, problem FROM dashcache_sources WHERE problem IS NOT NULL;
ALTER TABLE another RENAME TO other;
SELECT * FROM load() WHERE widget = 'other';
CREATE SCHEMA elsewhere;
ALTER TABLE other SET SCHEMA elsewhere;
SELECT dashcache_get(1, widget => 'other');
ALTER TABLE elsewhere.other SET SCHEMA ddl;
SELECT * FROM load() WHERE widget = 'other';
DROP TABLE other;
SELECT dashcache_get(1, widget => 'other');
CREATE TABLE other (id int, tenant int);
INSERT INTO other VALUES (1, 1), (2, 1);
SELECT * FROM load() WHERE widget = 'other';
SELECT * FROM load() WHERE widget = 'other';
INSERT INTO other VALUES (3, 1);
SELECT * FROM load() WHERE widget = 'other';
DROP TABLE other;
SELECT dashcache_get(1, widget => 'other');
SELECT severity, object, problem, fix FROM dashcache_check() WHERE severity = 'error';
CREATE TABLE other (id int, tenant int);
SELECT * FROM load() WHERE widget = 'other';

-- a table that takes another one's place in the search path
CREATE TABLE public.captured (tenant int);
INSERT INTO public.captured VALUES (1);
SELECT dashcache_define('captured', 'SELECT count(*) AS n FROM captured WHERE tenant = $1');
SELECT * FROM load() WHERE widget = 'captured';
CREATE TABLE ddl.captured (tenant int);
SELECT * FROM load() WHERE widget = 'captured';
SELECT * FROM load() WHERE widget = 'captured';

-- triggers: disabled, enabled as others are, dropped
ALTER TABLE item DISABLE TRIGGER ALL;
INSERT INTO item VALUES (20, 1, 1000, 'done');
SELECT * FROM load() WHERE widget IN ('table', 'function', 'view');
SELECT severity, object, problem, fix FROM dashcache_check() WHERE severity = 'error';
ALTER TABLE item ENABLE TRIGGER ALL;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'item'::regclass AND NOT tgisinternal ORDER BY 1;
SELECT * FROM load() WHERE widget = 'table';
INSERT INTO item VALUES (21, 1, 1000, 'done');
SELECT * FROM load() WHERE widget = 'table';
DROP TRIGGER dashcache_row ON item;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'item'::regclass AND NOT tgisinternal ORDER BY 1;
SELECT * FROM load() WHERE widget = 'table';

-- what is irrelevant
SELECT * FROM load() WHERE source <> 'cache';
COMMENT ON TABLE item IS 'an item';
CREATE INDEX ON item (tenant);
CREATE TABLE unrelated (a int);
ALTER TABLE unrelated ADD b int;
DROP TABLE unrelated;
CREATE TEMP TABLE item_copy AS SELECT * FROM item;
CREATE FUNCTION unrelated() RETURNS int LANGUAGE sql AS 'SELECT 1';
ANALYZE item;
VACUUM item;
CLUSTER item USING item_pkey;
SELECT * FROM load() WHERE source <> 'cache';

-- the settings of an event trigger that was disabled
ALTER EVENT TRIGGER dashcache_ddl_ended DISABLE;
SELECT * FROM dashcache_check() WHERE severity = 'error';
ALTER EVENT TRIGGER dashcache_ddl_ended ENABLE ALWAYS;
SELECT dashcache_repair();
SELECT * FROM dashcache_check() WHERE severity = 'error';

-- the column that is compared with $1 has another type, and so has $1
CREATE TABLE retyped (tenant int, v int);
INSERT INTO retyped VALUES (1, 10), (2, 20);
SELECT dashcache_define('retyped', 'SELECT sum(v) AS v FROM retyped WHERE tenant = $1', 'retyped');
SELECT data FROM dashcache_fetch(1, 'retyped');
ALTER TABLE retyped ALTER tenant TYPE numeric;
SELECT tenant_type::regtype, problem FROM dashcache.widget WHERE dashboard = 'retyped';
SELECT data, source FROM dashcache_fetch(1, 'retyped');
UPDATE retyped SET v = 11 WHERE tenant = 1.00;
SELECT data, source, reason FROM dashcache_fetch(1, 'retyped');
ALTER TABLE retyped ALTER tenant TYPE text;
SELECT data, source FROM dashcache_fetch(1, 'retyped');
SELECT data, source FROM dashcache_fetch('1'::text, 'retyped');
SELECT data, source FROM dashcache_fetch('1'::text, 'retyped');

DROP EXTENSION dashcache;
SELECT tgname FROM pg_trigger WHERE tgname LIKE 'dashcache%';
SELECT evtname FROM pg_event_trigger;
DROP SCHEMA ddl, elsewhere CASCADE;
DROP TABLE public.captured;
