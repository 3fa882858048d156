-- Shapes of real applications: nothing is told by dashcache_watch()
CREATE EXTENSION dashcache;
CREATE SCHEMA real_world;
SET search_path = real_world, public;
SET client_min_messages = warning;
SET TimeZone = 'UTC';

CREATE TYPE status AS ENUM ('open', 'snoozed', 'resolved');
CREATE TABLE company (id bigint PRIMARY KEY, name text);
CREATE TABLE account (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES company, name text, deleted_at timestamptz);
CREATE TABLE conversation (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES company,
	account_id bigint REFERENCES account, status status NOT NULL DEFAULT 'open', created_at timestamptz NOT NULL, note text);
CREATE TABLE message (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	conversation_id bigint NOT NULL REFERENCES conversation ON DELETE CASCADE,
	sender_type text NOT NULL, body text, created_at timestamptz NOT NULL);
CREATE TABLE read_receipt (message_id bigint, account_id bigint);	-- no foreign keys
CREATE TABLE tag (id bigint PRIMARY KEY, title text NOT NULL);
CREATE TABLE tagging (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tag_id bigint NOT NULL REFERENCES tag,
	taggable_type text NOT NULL, taggable_id bigint NOT NULL);
CREATE TABLE event (company_id bigint NOT NULL, at timestamptz NOT NULL, kind text NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE event_2024_01 PARTITION OF event FOR VALUES FROM ('2024-01-01Z') TO ('2024-02-01Z');
CREATE TABLE event_2024_02 PARTITION OF event FOR VALUES FROM ('2024-02-01Z') TO ('2024-03-01Z');
CREATE VIEW live_account AS SELECT * FROM account WHERE deleted_at IS NULL;
CREATE VIEW open_conversation AS SELECT c.id, c.company_id, a.name AS account
	FROM conversation c LEFT JOIN live_account a ON a.id = c.account_id WHERE c.status = 'open';

INSERT INTO company VALUES (1, 'one'), (2, 'two');
INSERT INTO account SELECT i, 1 + i % 2, 'account ' || i FROM generate_series(1, 6) i;
INSERT INTO conversation SELECT i, 1 + i % 2, 1 + i % 6, 'open', '2024-01-10 22:00Z'::timestamptz + i * interval '1 hour'
	FROM generate_series(1, 8) i;
INSERT INTO message (conversation_id, sender_type, body, created_at)
	SELECT 1 + i % 8, CASE WHEN i % 3 = 0 THEN 'agent' ELSE 'user' END, 'hello', '2024-01-11 00:00Z'::timestamptz + i * interval '1 hour'
	FROM generate_series(1, 24) i;
INSERT INTO tag VALUES (1, 'bug'), (2, 'question'), (3, 'unused');
INSERT INTO tagging (tag_id, taggable_type, taggable_id)
	SELECT 1 + i % 2, CASE WHEN i % 2 = 0 THEN 'Conversation' ELSE 'Account' END, 1 + i % 6 FROM generate_series(1, 12) i;
INSERT INTO event SELECT 1 + i % 2, '2024-01-30Z'::timestamptz + i * interval '8 hours', 'login' FROM generate_series(1, 12) i;

SELECT dashcache_define('polymorphic', $$
	SELECT t.title, count(*) FROM conversation c
	JOIN tagging g ON g.taggable_type = 'Conversation' AND g.taggable_id = c.id
	JOIN tag t ON t.id = g.tag_id
	WHERE c.company_id = $1 GROUP BY t.title ORDER BY t.title $$);
SELECT dashcache_define('soft delete', $$
	SELECT count(*) FROM account WHERE company_id = $1 AND deleted_at IS NULL $$);
SELECT dashcache_define('days', $$
	SELECT (m.created_at AT TIME ZONE ($2->>'tz'))::date AS day, count(*),
		count(*) FILTER (WHERE m.sender_type = 'agent') AS agent
	FROM message m JOIN conversation c ON c.id = m.conversation_id
	WHERE c.company_id = $1
		AND m.created_at >= ($2->>'from')::timestamp AT TIME ZONE ($2->>'tz')
		AND m.created_at < ($2->>'to')::timestamp AT TIME ZONE ($2->>'tz')
	GROUP BY 1 ORDER BY 1 $$);
SELECT dashcache_define('dimension', $$
	SELECT t.title, count(c.id) FROM tag t
	LEFT JOIN tagging g ON g.tag_id = t.id AND g.taggable_type = 'Conversation'
	LEFT JOIN conversation c ON c.id = g.taggable_id AND c.company_id = $1
	GROUP BY t.title ORDER BY t.title $$);
SELECT dashcache_define('page', $$
	SELECT id, status, count(*) OVER () AS total FROM conversation
	WHERE company_id = $1 AND status <> 'resolved' ORDER BY created_at DESC, id LIMIT 3 $$);
SELECT dashcache_define('unanswered', $$
	SELECT c.id FROM conversation c WHERE c.company_id = $1
		AND NOT EXISTS (SELECT FROM message m WHERE m.conversation_id = c.id AND m.sender_type = 'agent') ORDER BY 1 $$);
SELECT dashcache_define('two paths', $$
	SELECT 'message' AS what, m.created_at AS at FROM message m JOIN conversation c ON c.id = m.conversation_id WHERE c.company_id = $1
	UNION ALL
	SELECT 'event', e.at FROM event e WHERE e.company_id = $1
	ORDER BY 2 DESC, 1 LIMIT 4 $$);
SELECT dashcache_define('select list', $$
	SELECT a.id, (SELECT count(*) FROM conversation c WHERE c.account_id = a.id AND c.company_id = a.company_id) AS conversations,
		(SELECT max(m.created_at) FROM message m JOIN conversation c ON c.id = m.conversation_id WHERE c.account_id = a.id AND c.company_id = $1) AS latest
	FROM account a WHERE a.company_id = $1 ORDER BY a.id $$);
SELECT dashcache_define('views', $$
	SELECT account, count(*) FROM open_conversation WHERE company_id = $1 GROUP BY 1 ORDER BY 1 $$);
SELECT dashcache_define('partitions', $$
	SELECT date_trunc('month', at) AS month, count(*) FROM event WHERE company_id = $1 GROUP BY 1 ORDER BY 1 $$);
SELECT dashcache_define('in', $$
	SELECT count(*) FROM message WHERE sender_type = 'user'
		AND conversation_id IN (SELECT id FROM conversation WHERE company_id = $1) $$);
SELECT dashcache_define('three hops', $$
	SELECT count(*) FROM read_receipt r JOIN message m ON m.id = r.message_id
	JOIN conversation c ON c.id = m.conversation_id WHERE c.company_id = $1 $$);
SELECT dashcache_define('share of all', $$
	SELECT count(*) FILTER (WHERE company_id = $1) AS own, count(*) AS total FROM conversation $$);
SELECT dashcache_define('latest', $$
	SELECT c.id, l.body FROM conversation c
	LEFT JOIN LATERAL (SELECT m.body FROM message m WHERE m.conversation_id = c.id ORDER BY m.id DESC LIMIT 1) l ON true
	WHERE c.company_id = $1 ORDER BY c.id $$);
SELECT dashcache_define('cte', $$
	WITH mine AS (SELECT * FROM conversation WHERE company_id = $1), busy AS (SELECT account_id, count(*) AS n FROM mine GROUP BY 1)
	SELECT a.name, b.n, (SELECT count(*) FROM mine) AS total FROM busy b JOIN account a ON a.id = b.account_id ORDER BY 1 $$);

SELECT widget, source, tenant_key, columns, invalidation, problem FROM dashcache_sources;

-- What is computed anew for the tenants 1 and 2, and whether anything is wrong.
CREATE FUNCTION look() RETURNS TABLE (widget text, computed_for text) LANGUAGE plpgsql AS $$
DECLARE
	p jsonb := '{"tz": "America/New_York", "from": "2024-01-10", "to": "2024-01-12"}';
	w record;
	f record;
	direct jsonb;
BEGIN
	FOR w IN SELECT * FROM dashcache.widget ORDER BY id LOOP
		widget := w.name;
		computed_for := NULL;
		FOR tenant IN 1 .. 2 LOOP
			EXECUTE format('SELECT f.data::jsonb AS data, f.source, (SELECT jsonb_agg(x) FROM (%s) x) AS direct
				FROM dashcache_fetch($1, widget => %L, params => $2) f', w.query, w.name)
			INTO f USING tenant::bigint, p;
			direct := COALESCE(CASE w.result WHEN 'row' THEN f.direct->0 ELSE f.direct END, '[]');
			IF f.data IS DISTINCT FROM direct THEN
				computed_for := concat_ws(', ', computed_for, format('WRONG for %s: %s, not %s', tenant, f.data, direct));
			ELSIF f.source <> 'cache' THEN
				computed_for := concat_ws(', ', computed_for, tenant);
			END IF;
		END LOOP;
		IF computed_for IS NOT NULL THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
SELECT * FROM look();
SELECT * FROM look();

-- polymorphic: a tag on a conversation of tenant 1; on something else
INSERT INTO tagging (tag_id, taggable_type, taggable_id) VALUES (1, 'Conversation', 2);
SELECT * FROM look();
INSERT INTO tagging (tag_id, taggable_type, taggable_id) VALUES (1, 'Account', 2), (1, 'Conversation', 999);
SELECT * FROM look();
UPDATE tagging SET taggable_type = 'Conversation' WHERE taggable_type = 'Account' AND taggable_id = 2;
SELECT * FROM look();
-- the dimension: touches everybody
UPDATE tag SET title = 'never used' WHERE id = 3;
SELECT * FROM look();
-- soft delete: gone, changed when gone, back
UPDATE account SET deleted_at = '2024-01-20Z' WHERE id = 2;
SELECT * FROM look();
UPDATE account SET deleted_at = '2024-01-21Z' WHERE id = 2;
SELECT * FROM look();
UPDATE account SET deleted_at = NULL WHERE id = 2;
SELECT * FROM look();
-- columns that nobody reads
UPDATE conversation SET note = 'x';
UPDATE company SET name = 'other';
SELECT * FROM look();
-- messages, by agents and users
INSERT INTO message (conversation_id, sender_type, body, created_at) VALUES (2, 'agent', 'new', '2024-01-11 12:00Z');
SELECT * FROM look();
INSERT INTO message (conversation_id, sender_type, body, created_at) VALUES (3, 'user', 'new', '2024-01-01 12:00Z');
SELECT * FROM look();
UPDATE message SET body = 'edited' WHERE id = 1;
SELECT * FROM look();
-- a status that both sides of a condition exclude, and one that matters
UPDATE conversation SET status = 'resolved' WHERE id = 4;
SELECT * FROM look();
UPDATE conversation SET status = 'snoozed' WHERE id = 6;
SELECT * FROM look();
-- a receipt, three hops from the tenant; one that leads nowhere
INSERT INTO read_receipt VALUES (1, 1);
SELECT * FROM look();
INSERT INTO read_receipt VALUES (12345, 1);
SELECT * FROM look();
-- partitions: written through the parent and directly, moved, detached, new
INSERT INTO event VALUES (1, '2024-01-31Z', 'login');
SELECT * FROM look();
INSERT INTO event_2024_02 VALUES (2, '2024-02-20Z', 'login');
SELECT * FROM look();
UPDATE event SET at = '2024-02-21Z' WHERE company_id = 1 AND at = '2024-01-31Z';
SELECT * FROM look();
UPDATE event SET kind = 'logout';
SELECT * FROM look();
CREATE TABLE event_2024_03 PARTITION OF event FOR VALUES FROM ('2024-03-01Z') TO ('2024-04-01Z');
SELECT count(*) FILTER (WHERE computed_for LIKE 'WRONG%') AS wrong FROM look();
INSERT INTO event VALUES (1, '2024-03-05Z', 'login');
SELECT * FROM look();
ALTER TABLE event DETACH PARTITION event_2024_02;
SELECT * FROM look();
-- a conversation moves to the other tenant, with its messages
UPDATE conversation SET company_id = 2 WHERE id = 2;
SELECT * FROM look();
-- tags are taken away; a conversation is deleted, with its messages
DELETE FROM tagging WHERE taggable_id = 5;
SELECT * FROM look();
DELETE FROM conversation WHERE id = 8;
SELECT * FROM look();
-- the view says something else
CREATE OR REPLACE VIEW live_account AS SELECT * FROM account;
SELECT * FROM look();
SELECT * FROM dashcache_check() WHERE severity <> 'notice';

DROP SCHEMA real_world CASCADE;
DROP EXTENSION dashcache;
