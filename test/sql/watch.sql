-- dashcache_watch() and dashcache_unwatch()
CREATE EXTENSION dashcache;
CREATE TABLE conversations (id bigint PRIMARY KEY, company_id bigint, title text);
CREATE TABLE messages (id bigint PRIMARY KEY, conversation_id bigint REFERENCES conversations ON DELETE CASCADE, company int, body text);
CREATE TABLE settings (company_id bigint, factor int);
INSERT INTO conversations VALUES (1, 1, 'a'), (2, 2, 'b');
INSERT INTO messages VALUES (1, 1, 1, 'hello'), (2, 2, 2, 'hi');
INSERT INTO settings VALUES (1, 10), (2, 20);
CREATE FUNCTION factor(company bigint) RETURNS int STABLE LANGUAGE sql AS 'SELECT factor FROM settings WHERE company_id = company';
CREATE VIEW sources AS SELECT source, tenant_key, columns, invalidation, installed FROM dashcache_sources ORDER BY source::text COLLATE "C";
CREATE FUNCTION look() RETURNS TABLE (tenant bigint, data json, reason text) LANGUAGE sql AS
	'SELECT i, f.data, COALESCE(f.reason, ''hit'') FROM generate_series(1::bigint, 2) i, LATERAL dashcache_fetch(i) f ORDER BY 1';
SELECT dashcache_define('w', 'SELECT count(m.id), factor($1) FROM conversations c JOIN messages m ON m.conversation_id = c.id WHERE c.company_id = $1');
SELECT * FROM look();

-- a table that cannot be seen
UPDATE settings SET factor = 11 WHERE company_id = 1;
SELECT * FROM look();
SELECT dashcache_watch('w', 'settings', 'company_id');
SELECT * FROM sources;
SELECT * FROM look();
UPDATE settings SET factor = 12 WHERE company_id = 1;
SELECT * FROM look();

-- a source that was found, by a column of another type, then by an expression, by a sub-select
SELECT dashcache_watch('w', 'messages', 'company');
SELECT * FROM look();
INSERT INTO messages VALUES (3, 1, 1, 'again');
SELECT * FROM look();
SELECT dashcache_watch('w', 'messages', '(SELECT c.company_id FROM conversations c WHERE c.id = conversation_id)');
SELECT * FROM sources;
SELECT * FROM look();
INSERT INTO messages VALUES (4, 2, 1, 'who');
SELECT * FROM look();
UPDATE messages SET conversation_id = 1 WHERE id = 4;
SELECT * FROM look();
DELETE FROM messages WHERE id = 4;
SELECT * FROM look();
-- one that names the table, and its columns by it
SELECT dashcache_watch('w', 'messages', '(SELECT c.company_id FROM public.conversations c WHERE c.id = messages.conversation_id)');
INSERT INTO messages VALUES (4, 2, 1, 'who');
SELECT * FROM look();
-- the parent goes, and its children with it; the parent of a new child comes in the same transaction
BEGIN;
INSERT INTO conversations VALUES (3, 2, 'c');
INSERT INTO messages VALUES (5, 3, 1, 'new');
COMMIT;
SELECT * FROM look();
DELETE FROM conversations WHERE id = 3;
SELECT * FROM look();
-- null: nobody's
INSERT INTO messages VALUES (6, NULL, 1, 'lost');
SELECT * FROM look();
-- any change touches every tenant
SELECT dashcache_watch('w', 'messages');
SELECT * FROM sources;
SELECT * FROM look();
INSERT INTO messages VALUES (7, NULL, NULL, 'lost');
SELECT * FROM look();
-- TRUNCATE
TRUNCATE settings;
SELECT * FROM look();

-- overrides survive a new definition, and go with the widget
SELECT dashcache_define('w', 'SELECT factor($1)');
SELECT * FROM sources;
SELECT dashcache_define('w', 'SELECT count(m.id), factor($1) FROM conversations c JOIN messages m ON m.conversation_id = c.id WHERE c.company_id = $1');
SELECT * FROM sources;

-- taken back
SELECT dashcache_unwatch('w', 'messages');
SELECT * FROM sources;
SELECT dashcache_unwatch('w', 'settings');
SELECT * FROM sources;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'settings'::regclass;
SELECT * FROM look();
-- in a transaction
BEGIN;
SELECT dashcache_watch('w', 'settings', 'company_id');
SELECT * FROM look();
ROLLBACK;
SELECT * FROM look();
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'settings'::regclass;

-- of another dashboard, by names that need quotes
SELECT dashcache_define('x', 'SELECT 1 AS one WHERE $1 = 1', 'other');
CREATE TABLE "Odd ""name" ("Tenant id" bigint);
SELECT dashcache_watch('x', '"Odd ""name"', '"Tenant id"', 'other');
SELECT source, tenant_key FROM dashcache_sources WHERE dashboard = 'other';
SELECT dashcache_get(1, 'other');
INSERT INTO "Odd ""name" VALUES (1);
SELECT source, reason FROM dashcache_fetch(1, 'other');
INSERT INTO "Odd ""name" VALUES (2);
SELECT source, reason FROM dashcache_fetch(1, 'other');
SELECT dashcache_watch('x', '"Odd ""name"', 'abs("Tenant id") % 10', 'other');
SELECT dashcache_get(2, 'other');
INSERT INTO "Odd ""name" VALUES (-12);
SELECT i, source, reason FROM generate_series(1, 2) i, LATERAL dashcache_fetch(i, 'other') ORDER BY 1;
SELECT dashcache_unwatch('x', '"Odd ""name"', 'other');

-- errors
SELECT dashcache_watch('nobody', 'settings');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', NULL, 'nowhere');
\echo :SQLSTATE
SELECT dashcache_watch(NULL, 'settings');
\echo :SQLSTATE
SELECT dashcache_watch('w', NULL);
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', NULL, NULL);
\echo :SQLSTATE
SELECT dashcache_watch('w', 'no_such_table');
\echo :SQLSTATE
SELECT dashcache_watch('w', 0);
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', 'no_such_column');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', '');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', 'company_id, factor');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', '1) FROM settings; DROP TABLE settings; --');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', 'company_id) IS NULL AND (true');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', 'ARRAY[company_id]');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'settings', '$1');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'sources', 'tenant_key');
\echo :SQLSTATE
SELECT dashcache_watch('w', 'pg_class');
\echo :SQLSTATE
CREATE TEMPORARY TABLE temporary (company_id bigint);
SELECT dashcache_watch('w', 'temporary', 'company_id');
\echo :SQLSTATE
SELECT dashcache_unwatch('w', 'settings');
\echo :SQLSTATE
SELECT dashcache_unwatch('w', 0);
\echo :SQLSTATE
SELECT dashcache_unwatch('w', NULL);
\echo :SQLSTATE
-- an expression that fails makes the write fail
SELECT dashcache_watch('w', 'settings', 'factor / company_id');
INSERT INTO settings VALUES (0, 1);
\echo :SQLSTATE
INSERT INTO settings VALUES (1, 1);

DROP EXTENSION dashcache CASCADE;
DROP TABLE messages, conversations, settings, "Odd ""name", temporary;
DROP FUNCTION factor, look;
