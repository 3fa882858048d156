-- A help desk, as a Rails application would have it: accounts are the tenants;
-- soft deletes, polymorphic taggings and authors, counter caches, updated_at.

CREATE TABLE accounts (id bigint PRIMARY KEY, name text NOT NULL, plan text NOT NULL, seats int NOT NULL, updated_at timestamptz NOT NULL);
CREATE TABLE users (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, name text NOT NULL, role text NOT NULL,
	active boolean NOT NULL DEFAULT true, last_seen_at timestamptz, deleted_at timestamptz, updated_at timestamptz NOT NULL);
CREATE INDEX ON users (account_id);
CREATE TABLE teams (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, name text NOT NULL);
CREATE INDEX ON teams (account_id);
CREATE TABLE team_memberships (id bigserial PRIMARY KEY, team_id bigint NOT NULL REFERENCES teams, user_id bigint NOT NULL REFERENCES users, UNIQUE (team_id, user_id));
CREATE INDEX ON team_memberships (user_id);
CREATE TABLE inboxes (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, name text NOT NULL, channel text NOT NULL);
CREATE INDEX ON inboxes (account_id);
CREATE TABLE contacts (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, name text NOT NULL, email text,
	vip boolean NOT NULL DEFAULT false, last_seen_at timestamptz, deleted_at timestamptz, updated_at timestamptz NOT NULL);
CREATE INDEX ON contacts (account_id);
CREATE TABLE conversations (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, inbox_id bigint NOT NULL REFERENCES inboxes,
	contact_id bigint NOT NULL REFERENCES contacts, assignee_id bigint REFERENCES users, team_id bigint REFERENCES teams,
	subject text NOT NULL, status text NOT NULL DEFAULT 'open', priority int NOT NULL DEFAULT 0, messages_count int NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, first_reply_at timestamptz, resolved_at timestamptz, deleted_at timestamptz);
CREATE INDEX ON conversations (account_id, status);
CREATE INDEX ON conversations (contact_id);
CREATE INDEX ON conversations (assignee_id);
CREATE TABLE messages (id bigserial PRIMARY KEY, conversation_id bigint NOT NULL REFERENCES conversations ON DELETE CASCADE,
	author_type text NOT NULL, author_id bigint, private boolean NOT NULL DEFAULT false, body text NOT NULL,
	created_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE INDEX ON messages (conversation_id);
CREATE TABLE attachments (id bigserial PRIMARY KEY, message_id bigint NOT NULL REFERENCES messages ON DELETE CASCADE, content_type text NOT NULL, bytes bigint NOT NULL);
CREATE INDEX ON attachments (message_id);
CREATE TABLE tags (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, name text NOT NULL, color text NOT NULL DEFAULT 'grey');
CREATE INDEX ON tags (account_id);
CREATE TABLE taggings (id bigserial PRIMARY KEY, tag_id bigint NOT NULL REFERENCES tags ON DELETE CASCADE, taggable_type text NOT NULL, taggable_id bigint NOT NULL);
CREATE INDEX ON taggings (taggable_type, taggable_id);
CREATE INDEX ON taggings (tag_id);
CREATE TABLE ratings (id bigserial PRIMARY KEY, conversation_id bigint NOT NULL UNIQUE REFERENCES conversations ON DELETE CASCADE, score int NOT NULL, comment text, created_at timestamptz NOT NULL);
CREATE TABLE channels (name text PRIMARY KEY, title text NOT NULL, icon text);	-- of all accounts
CREATE TABLE read_receipts (message_id bigint NOT NULL, user_id bigint NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (message_id, user_id));

CREATE VIEW live_conversations AS SELECT * FROM conversations WHERE deleted_at IS NULL;
CREATE VIEW open_conversations AS
	SELECT c.id, c.account_id, c.subject, c.priority, c.created_at, p.name AS contact, u.name AS assignee, i.name AS inbox
	FROM live_conversations c JOIN contacts p ON p.id = c.contact_id JOIN inboxes i ON i.id = c.inbox_id LEFT JOIN users u ON u.id = c.assignee_id
	WHERE c.status = 'open';
CREATE VIEW conversation_stats AS
	SELECT conversation_id, count(*) AS messages, count(*) FILTER (WHERE author_type = 'User') AS replies, max(created_at) AS last_message_at
	FROM messages WHERE deleted_at IS NULL GROUP BY conversation_id;

INSERT INTO channels VALUES ('email', 'E-mail', '@'), ('chat', 'Live chat', NULL), ('whatsapp', 'WhatsApp', NULL), ('phone', 'Telephone', NULL);
INSERT INTO accounts SELECT i, 'Account ' || i, (ARRAY['free', 'pro', 'team'])[1 + i % 3], 3 + i, ago(50) FROM generate_series(1, 14) i;
INSERT INTO users (account_id, name, role, last_seen_at, updated_at)
	SELECT a, 'Agent ' || a || '.' || i, CASE WHEN i = 1 THEN 'admin' ELSE 'agent' END, ago(0), ago(30) FROM generate_series(1, 14) a, generate_series(1, 4) i;
INSERT INTO teams (account_id, name) SELECT a, n FROM generate_series(1, 14) a, unnest(ARRAY['Support', 'Billing']) n;
INSERT INTO team_memberships (team_id, user_id) SELECT t.id, u.id FROM teams t JOIN users u USING (account_id) WHERE (t.id + u.id) % 3 > 0;
INSERT INTO inboxes (account_id, name, channel) SELECT a, n || ' ' || a, n FROM generate_series(1, 14) a, unnest(ARRAY['email', 'chat', 'whatsapp']) n;
INSERT INTO contacts (account_id, name, email, vip, updated_at) SELECT 1 + i % 14, 'Contact ' || i, 'c' || i || '@example.com', i % 5 = 0, ago(20) FROM generate_series(1, 170) i;
INSERT INTO conversations (account_id, inbox_id, contact_id, assignee_id, team_id, subject, status, priority, created_at, updated_at, first_reply_at, resolved_at)
	SELECT c.account_id, (SELECT i.id FROM inboxes i WHERE i.account_id = c.account_id ORDER BY random() + n * 0 LIMIT 1), c.id,
		CASE WHEN random() < 0.8 THEN (SELECT u.id FROM users u WHERE u.account_id = c.account_id ORDER BY random() + n * 0 LIMIT 1) END,
		CASE WHEN random() < 0.7 THEN (SELECT t.id FROM teams t WHERE t.account_id = c.account_id ORDER BY random() + n * 0 LIMIT 1) END,
		'Question ' || c.id || '/' || n, (ARRAY['open', 'open', 'pending', 'resolved', 'resolved'])[1 + random() * 4], (random() * 3)::int, d.at, d.at, d.at + interval '1 hour',
		CASE WHEN random() < 0.4 THEN d.at + interval '3 hours' END
	FROM contacts c, generate_series(1, 2) n, LATERAL (SELECT ago((random() * 40 + n * 0 + c.id * 0)::int) AS at) d;
INSERT INTO messages (conversation_id, author_type, author_id, private, body, created_at)
	SELECT c.id, CASE WHEN n % 2 = 1 THEN 'Contact' ELSE 'User' END, CASE WHEN n % 2 = 1 THEN c.contact_id ELSE c.assignee_id END, random() < 0.1, 'text ' || n, c.created_at + n * interval '40 minutes'
	FROM conversations c, generate_series(1, 4) n WHERE random() < 0.8;
INSERT INTO attachments (message_id, content_type, bytes) SELECT id, (ARRAY['image/png', 'application/pdf'])[1 + random()], (random() * 10000)::int FROM messages WHERE random() < 0.2;
INSERT INTO tags (account_id, name) SELECT a, n FROM generate_series(1, 14) a, unnest(ARRAY['bug', 'refund', 'how-to', 'vip', 'spam']) n;
INSERT INTO taggings (tag_id, taggable_type, taggable_id)
	SELECT (SELECT id FROM tags t WHERE t.account_id = c.account_id ORDER BY random() + c.id * 0 LIMIT 1), 'Conversation', c.id FROM conversations c WHERE random() < 0.6;
INSERT INTO taggings (tag_id, taggable_type, taggable_id)
	SELECT (SELECT id FROM tags t WHERE t.account_id = c.account_id ORDER BY random() + c.id * 0 LIMIT 1), 'Contact', c.id FROM contacts c WHERE random() < 0.3;
INSERT INTO ratings (conversation_id, score, created_at) SELECT id, 1 + (random() * 4)::int, resolved_at FROM conversations WHERE resolved_at IS NOT NULL AND random() < 0.7;
INSERT INTO read_receipts SELECT m.id, u.id, ago(0) FROM messages m JOIN conversations c ON c.id = m.conversation_id JOIN users u ON u.account_id = c.account_id WHERE random() < 0.2;

CREATE FUNCTION a_conversation(t bigint) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM conversations WHERE account_id = t ORDER BY (status = ''open'') DESC, random() LIMIT 1';
CREATE FUNCTION any_conversation(t bigint) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM conversations WHERE account_id = t ORDER BY random() LIMIT 1';
CREATE FUNCTION a_user(t bigint) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM users WHERE account_id = t ORDER BY random() LIMIT 1';
CREATE FUNCTION a_contact(t bigint) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM contacts WHERE account_id = t ORDER BY random() LIMIT 1';
CREATE FUNCTION a_tag(t bigint) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM tags WHERE account_id = t ORDER BY random() LIMIT 1';
CREATE FUNCTION a_message(t bigint) RETURNS bigint LANGUAGE sql AS 'SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE c.account_id = t ORDER BY random() LIMIT 1';

-- tenants: SELECT id FROM accounts ORDER BY id

-- widget: account
SELECT name, plan, seats, (SELECT count(*) FROM users WHERE account_id = $1 AND deleted_at IS NULL) AS used FROM accounts WHERE id = $1;
-- widget: by status
SELECT status, count(*) FROM conversations WHERE account_id = $1 AND deleted_at IS NULL GROUP BY status ORDER BY status;
-- widget: open count
SELECT count(*) AS open, count(*) FILTER (WHERE assignee_id IS NULL) AS unassigned, count(*) FILTER (WHERE priority >= 2) AS urgent
FROM live_conversations WHERE account_id = $1 AND status = 'open';
-- widget: open list
SELECT id, subject, contact, assignee, inbox, count(*) OVER () AS total FROM open_conversations WHERE account_id = $1 ORDER BY priority DESC, created_at DESC, id LIMIT 10;
-- widget: messages by day
SELECT (m.created_at AT TIME ZONE ($2->>'tz'))::date AS day, count(*) AS messages, count(*) FILTER (WHERE m.author_type = 'User') AS replies
FROM messages m JOIN conversations c ON c.id = m.conversation_id
WHERE c.account_id = $1 AND m.deleted_at IS NULL AND m.created_at >= now() - interval '30 days' GROUP BY 1 ORDER BY 1;
-- widget: unanswered
SELECT c.id, c.subject FROM conversations c WHERE c.account_id = $1 AND c.status <> 'resolved' AND c.deleted_at IS NULL
	AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.id AND m.author_type = 'User' AND NOT m.private AND m.deleted_at IS NULL)
ORDER BY c.created_at, c.id;
-- widget: workload
SELECT u.name, count(c.id) AS open, coalesce(sum(c.priority), 0) AS weight FROM users u
LEFT JOIN conversations c ON c.assignee_id = u.id AND c.status = 'open' AND c.deleted_at IS NULL
WHERE u.account_id = $1 AND u.active AND u.deleted_at IS NULL GROUP BY u.id, u.name ORDER BY 2 DESC, 1;
-- widget: tags of conversations
SELECT t.name, count(*) FROM tags t
JOIN taggings g ON g.tag_id = t.id AND g.taggable_type = 'Conversation'
JOIN conversations c ON c.id = g.taggable_id
WHERE c.account_id = $1 AND c.deleted_at IS NULL GROUP BY t.name ORDER BY 2 DESC, 1;
-- widget: tag cloud
SELECT t.id, t.name, t.color, count(g.id) AS uses FROM tags t LEFT JOIN taggings g ON g.tag_id = t.id WHERE t.account_id = $1 GROUP BY t.id ORDER BY t.name, t.id;
-- widget: tagged contacts
SELECT p.id, p.name, string_agg(t.name, ', ' ORDER BY t.name, t.id) AS tags FROM contacts p
JOIN taggings g ON g.taggable_type = 'Contact' AND g.taggable_id = p.id JOIN tags t ON t.id = g.tag_id
WHERE p.account_id = $1 AND p.deleted_at IS NULL GROUP BY p.id ORDER BY p.name, p.id;
-- widget: satisfaction
SELECT round(avg(r.score), 2) AS average, count(*) AS ratings, round(100.0 * count(*) FILTER (WHERE r.score >= 4) / nullif(count(*), 0), 1) AS percent
FROM ratings r JOIN conversations c ON c.id = r.conversation_id WHERE c.account_id = $1;
-- widget: satisfaction by agent
SELECT u.name, round(avg(r.score), 2) AS average, count(*) FROM ratings r JOIN conversations c ON c.id = r.conversation_id JOIN users u ON u.id = c.assignee_id
WHERE u.account_id = $1 GROUP BY u.id ORDER BY u.name;
-- widget: busiest conversations
SELECT c.id, c.subject, m.n AS messages FROM conversations c
JOIN (SELECT conversation_id, count(*) AS n FROM messages GROUP BY 1) m ON m.conversation_id = c.id
WHERE c.account_id = $1 AND c.deleted_at IS NULL ORDER BY m.n DESC, c.id LIMIT 10;
-- widget: stats view
SELECT c.id, s.messages, s.replies, s.last_message_at FROM conversations c LEFT JOIN conversation_stats s ON s.conversation_id = c.id
WHERE c.account_id = $1 AND c.status = 'open' AND c.deleted_at IS NULL ORDER BY s.last_message_at DESC NULLS LAST, c.id;
-- widget: last message
SELECT c.id, c.subject, l.body, l.author_type FROM conversations c
LEFT JOIN LATERAL (SELECT body, author_type FROM messages m WHERE m.conversation_id = c.id AND m.deleted_at IS NULL ORDER BY m.created_at DESC, m.id DESC LIMIT 1) l ON true
WHERE c.account_id = $1 AND c.status = 'open' ORDER BY c.updated_at DESC, c.id LIMIT 10;
-- widget: last message, distinct on
SELECT DISTINCT ON (c.id) c.id, m.created_at, m.author_type FROM conversations c JOIN messages m ON m.conversation_id = c.id
WHERE c.account_id = $1 AND c.status = 'pending' ORDER BY c.id, m.created_at DESC, m.id DESC;
-- widget: storage
SELECT a.content_type, count(*), sum(a.bytes) AS bytes FROM attachments a JOIN messages m ON m.id = a.message_id JOIN conversations c ON c.id = m.conversation_id
WHERE c.account_id = $1 GROUP BY 1 ORDER BY 1;
-- widget: storage, in
SELECT sum(bytes) AS bytes FROM attachments WHERE message_id IN (SELECT id FROM messages WHERE conversation_id IN (SELECT id FROM conversations WHERE account_id = $1));
-- widget: channels
SELECT h.title, count(c.id) FROM channels h LEFT JOIN inboxes i ON i.channel = h.name AND i.account_id = $1
LEFT JOIN conversations c ON c.inbox_id = i.id AND c.deleted_at IS NULL GROUP BY h.title ORDER BY h.title;
-- widget: inboxes
SELECT i.name, (SELECT count(*) FROM conversations c WHERE c.inbox_id = i.id AND c.status = 'open') AS open,
	(SELECT max(c.created_at) FROM conversations c WHERE c.inbox_id = i.id) AS latest FROM inboxes i WHERE i.account_id = $1 ORDER BY i.name;
-- widget: teams
SELECT t.name, count(DISTINCT tm.user_id) AS members, count(DISTINCT c.id) AS open FROM teams t
LEFT JOIN team_memberships tm ON tm.team_id = t.id LEFT JOIN conversations c ON c.team_id = t.id AND c.status = 'open'
WHERE t.account_id = $1 GROUP BY t.id ORDER BY t.name;
-- widget: first reply time
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM first_reply_at - created_at)::float8) AS median, count(first_reply_at) AS n
FROM conversations WHERE account_id = $1 AND created_at >= now() - interval '30 days' AND deleted_at IS NULL;
-- widget: timeline
SELECT 'message' AS what, m.id, m.created_at AS at FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE c.account_id = $1
UNION ALL
SELECT 'rating', r.id, r.created_at FROM ratings r JOIN conversations c ON c.id = r.conversation_id WHERE c.account_id = $1
ORDER BY 3 DESC, 1, 2 LIMIT 15;
-- widget: top contacts
WITH mine AS (SELECT c.contact_id, c.status FROM conversations c WHERE c.account_id = $1 AND c.deleted_at IS NULL)
SELECT p.name, count(*) AS conversations, count(*) FILTER (WHERE m.status = 'open') AS open FROM mine m JOIN contacts p ON p.id = m.contact_id
GROUP BY p.id ORDER BY 2 DESC, 1 LIMIT 10;
-- widget: vips waiting
SELECT p.name, c.subject FROM contacts p JOIN conversations c ON c.contact_id = p.id AND c.account_id = p.account_id
WHERE p.account_id = $1 AND p.vip AND p.deleted_at IS NULL AND c.status IN ('open', 'pending') ORDER BY p.name, c.id;
-- widget: per week
SELECT date_trunc('week', created_at AT TIME ZONE ($2->>'tz'))::date AS week, count(*) AS opened, count(resolved_at) AS resolved,
	sum(count(*)) OVER (ORDER BY date_trunc('week', created_at AT TIME ZONE ($2->>'tz'))) AS running FROM conversations WHERE account_id = $1 GROUP BY date_trunc('week', created_at AT TIME ZONE ($2->>'tz')) ORDER BY 1;
-- widget: agents' replies
SELECT u.name, r.replies, rank() OVER (ORDER BY r.replies DESC) AS place FROM users u
JOIN (SELECT author_id, count(*) AS replies FROM messages WHERE author_type = 'User' AND NOT private GROUP BY author_id) r ON r.author_id = u.id
WHERE u.account_id = $1 ORDER BY 2 DESC, 1;
-- widget: notes
SELECT count(*) AS notes FROM messages m WHERE m.private AND m.deleted_at IS NULL AND EXISTS (SELECT 1 FROM conversations c WHERE c.id = m.conversation_id AND c.account_id = $1);
-- widget: contacts without conversation
SELECT count(*) FROM contacts p LEFT JOIN conversations c ON c.contact_id = p.id WHERE p.account_id = $1 AND c.id IS NULL AND p.deleted_at IS NULL;
-- widget: unread
SELECT u.name, count(m.id) AS unread FROM users u JOIN conversations c ON c.assignee_id = u.id JOIN messages m ON m.conversation_id = c.id AND m.author_type = 'Contact'
LEFT JOIN read_receipts r ON r.message_id = m.id AND r.user_id = u.id
WHERE c.account_id = $1 AND c.status = 'open' AND r.message_id IS NULL GROUP BY u.id ORDER BY u.name;
-- widget: resolution rate
SELECT round(100.0 * sum(CASE WHEN status = 'resolved' THEN 1 ELSE 0 END) / greatest(count(*), 1), 1) AS percent FROM conversations WHERE account_id = $1 AND deleted_at IS NULL;
-- widget: filtered list
SELECT id, subject, status FROM conversations WHERE account_id = $1 AND deleted_at IS NULL
	AND ($2->>'status' IS NULL OR status = $2->>'status') ORDER BY created_at DESC, id LIMIT 20;
-- widget: backlog by age
SELECT CASE WHEN created_at > now() - interval '7 days' THEN 'week' WHEN created_at > now() - interval '30 days' THEN 'month' ELSE 'older' END AS age, count(*)
FROM conversations WHERE account_id = $1 AND status = ANY ('{open,pending}') AND deleted_at IS NULL GROUP BY 1 ORDER BY 1;
-- widget: conversations with attachments
SELECT c.id, c.subject FROM conversations c WHERE c.account_id = $1
	AND EXISTS (SELECT 1 FROM messages m JOIN attachments a ON a.message_id = m.id WHERE m.conversation_id = c.id AND a.content_type = 'application/pdf') ORDER BY c.id;

-- write 40: a contact writes
INSERT INTO messages (conversation_id, author_type, author_id, body, created_at) SELECT id, 'Contact', contact_id, 'Hello', ago(0) FROM conversations WHERE id = (SELECT a_conversation(:tenant));
UPDATE conversations SET messages_count = messages_count + 1, updated_at = now() WHERE id = (SELECT conversation_id FROM messages ORDER BY id DESC LIMIT 1);
-- write 30: an agent replies
INSERT INTO messages (conversation_id, author_type, author_id, private, body, created_at) SELECT id, 'User', a_user(:tenant), random() < 0.15, 'Dear', ago(0) FROM conversations WHERE id = (SELECT a_conversation(:tenant));
UPDATE conversations SET messages_count = messages_count + 1, first_reply_at = coalesce(first_reply_at, created_at + interval '20 minutes'), updated_at = now()
WHERE id = (SELECT conversation_id FROM messages ORDER BY id DESC LIMIT 1);
-- write 15: a new conversation
WITH c AS (INSERT INTO conversations (account_id, inbox_id, contact_id, subject, priority, created_at, updated_at)
	SELECT p.account_id, (SELECT id FROM inboxes WHERE account_id = :tenant ORDER BY random() LIMIT 1), p.id, 'New', random() * 3, ago(0), now()
	FROM contacts p WHERE p.id = (SELECT a_contact(:tenant)) RETURNING *)
INSERT INTO messages (conversation_id, author_type, author_id, body, created_at) SELECT id, 'Contact', contact_id, 'I have', created_at FROM c;
-- write 10: resolved
UPDATE conversations SET status = 'resolved', resolved_at = ago(0), updated_at = now() WHERE id = (SELECT a_conversation(:tenant));
-- write 5: opened again
UPDATE conversations SET status = 'open', resolved_at = NULL, updated_at = now() WHERE id = (SELECT any_conversation(:tenant));
-- write 4: pending
UPDATE conversations SET status = 'pending', updated_at = now() WHERE id = (SELECT a_conversation(:tenant));
-- write 8: assigned
UPDATE conversations SET assignee_id = (SELECT a_user(:tenant)), updated_at = now() WHERE id = (SELECT a_conversation(:tenant));
-- write 12: a conversation is touched
UPDATE conversations SET updated_at = now() WHERE id = (SELECT any_conversation(:tenant));
-- write 12: a user is seen
UPDATE users SET last_seen_at = now(), updated_at = now() WHERE id = (SELECT a_user(:tenant));
-- write 6: a contact is seen
UPDATE contacts SET last_seen_at = now(), updated_at = now() WHERE id = (SELECT a_contact(:tenant));
-- write 8: tagged
INSERT INTO taggings (tag_id, taggable_type, taggable_id) VALUES ((SELECT a_tag(:tenant)), 'Conversation', (SELECT any_conversation(:tenant)));
-- write 2: a contact is tagged
INSERT INTO taggings (tag_id, taggable_type, taggable_id) VALUES ((SELECT a_tag(:tenant)), 'Contact', (SELECT a_contact(:tenant)));
-- write 3: not tagged any more
DELETE FROM taggings WHERE id = (SELECT g.id FROM taggings g JOIN tags t ON t.id = g.tag_id WHERE t.account_id = :tenant ORDER BY random() LIMIT 1);
-- write 5: an attachment
INSERT INTO attachments (message_id, content_type, bytes) VALUES ((SELECT a_message(:tenant)), (ARRAY['image/png', 'application/pdf'])[1 + random()], random() * 9999);
-- write 8: read
INSERT INTO read_receipts VALUES ((SELECT a_message(:tenant)), (SELECT a_user(:tenant)), now()) ON CONFLICT DO NOTHING;
-- write 4: rated
INSERT INTO ratings (conversation_id, score, created_at) VALUES ((SELECT any_conversation(:tenant)), 1 + (random() * 4)::int, ago(0)) ON CONFLICT (conversation_id) DO UPDATE SET score = excluded.score;
-- write 2: a message is deleted softly
UPDATE messages SET deleted_at = now() WHERE id = (SELECT a_message(:tenant)) AND deleted_at IS NULL;
-- write 2: a message is edited
UPDATE messages SET body = body || '!' WHERE id = (SELECT a_message(:tenant));
-- write 2: a conversation is deleted softly
UPDATE conversations SET deleted_at = now(), updated_at = now() WHERE id = (SELECT any_conversation(:tenant));
-- write 1: a conversation is deleted
DELETE FROM conversations WHERE id = (SELECT any_conversation(:tenant));
-- write 3: a contact
INSERT INTO contacts (account_id, name, updated_at) VALUES (:tenant, 'Contact ' || (random() * 1000)::int, now());
-- write 1: a contact is a vip
UPDATE contacts SET vip = NOT vip, updated_at = now() WHERE id = (SELECT a_contact(:tenant));
-- write 1: contacts are merged
UPDATE conversations SET contact_id = (SELECT a_contact(:tenant)) WHERE contact_id = (SELECT a_contact(:tenant));
-- write 0.5: a tag
INSERT INTO tags (account_id, name) VALUES (:tenant, 'tag ' || (random() * 1000)::int);
-- write 0.5: a tag is renamed
UPDATE tags SET name = name || '''' WHERE id = (SELECT a_tag(:tenant));
-- write 0.5: an agent leaves
UPDATE users SET active = NOT active, updated_at = now() WHERE id = (SELECT a_user(:tenant));
-- write 0.5: into a team
INSERT INTO team_memberships (team_id, user_id) SELECT t.id, a_user(:tenant) FROM teams t WHERE t.account_id = :tenant LIMIT 1 ON CONFLICT DO NOTHING;
-- write 0.3: a channel's title
UPDATE channels SET title = title || '.' WHERE name = 'phone';
-- write 0.3: a conversation moves to another account
UPDATE conversations SET account_id = :other, inbox_id = (SELECT min(id) FROM inboxes WHERE account_id = :other), contact_id = (SELECT a_contact(:other)), assignee_id = NULL, team_id = NULL
WHERE id = (SELECT any_conversation(:tenant));
-- write 0.5: a plan
UPDATE accounts SET plan = (ARRAY['free', 'pro', 'team'])[1 + (random() * 2)::int], updated_at = now() WHERE id = :tenant;
-- write 1: many are resolved
UPDATE conversations SET status = 'resolved', resolved_at = ago(1), updated_at = now() WHERE account_id = :tenant AND status = 'pending' AND created_at < now() - interval '20 days';
