-- A project tracker, as a Django application would have it: organizations are
-- the tenants, by UUID, and most tables are two or three hops away from them.

CREATE TABLE organizations (id uuid PRIMARY KEY, name varchar(100) NOT NULL, plan varchar(20) NOT NULL DEFAULT 'free');
CREATE TABLE auth_user (id serial PRIMARY KEY, username varchar(150) NOT NULL UNIQUE, is_active boolean NOT NULL DEFAULT true, last_login timestamptz);
CREATE TABLE memberships (id serial PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations DEFERRABLE INITIALLY DEFERRED, user_id int NOT NULL REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED,
	role varchar(20) NOT NULL, UNIQUE (organization_id, user_id));
CREATE INDEX ON memberships (user_id);
CREATE TABLE workspaces (id serial PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations DEFERRABLE INITIALLY DEFERRED, name varchar(100) NOT NULL, archived boolean NOT NULL DEFAULT false);
CREATE INDEX ON workspaces (organization_id);
CREATE TABLE projects (id serial PRIMARY KEY, workspace_id int NOT NULL REFERENCES workspaces DEFERRABLE INITIALLY DEFERRED, name varchar(100) NOT NULL, status varchar(20) NOT NULL DEFAULT 'active',
	budget_minutes int NOT NULL DEFAULT 0, archived_at timestamptz, updated_at timestamptz NOT NULL);
CREATE INDEX ON projects (workspace_id);
CREATE TABLE milestones (id serial PRIMARY KEY, project_id int NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED, name varchar(100) NOT NULL, due_on date NOT NULL);
CREATE INDEX ON milestones (project_id);
CREATE TABLE tasks (id serial PRIMARY KEY, project_id int NOT NULL REFERENCES projects DEFERRABLE INITIALLY DEFERRED, milestone_id int REFERENCES milestones DEFERRABLE INITIALLY DEFERRED,
	parent_id int REFERENCES tasks DEFERRABLE INITIALLY DEFERRED, assignee_id int REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED,
	title varchar(200) NOT NULL, status varchar(20) NOT NULL DEFAULT 'todo', priority smallint NOT NULL DEFAULT 0, estimate int, due_on date,
	position double precision NOT NULL DEFAULT 0, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, completed_at timestamptz, is_deleted boolean NOT NULL DEFAULT false);
CREATE INDEX ON tasks (project_id);
CREATE INDEX ON tasks (assignee_id);
CREATE TABLE task_dependencies (id serial PRIMARY KEY, task_id int NOT NULL REFERENCES tasks DEFERRABLE INITIALLY DEFERRED, blocked_by_id int NOT NULL REFERENCES tasks DEFERRABLE INITIALLY DEFERRED, UNIQUE (task_id, blocked_by_id));
CREATE INDEX ON task_dependencies (blocked_by_id);
CREATE TABLE time_entries (id serial PRIMARY KEY, task_id int NOT NULL REFERENCES tasks DEFERRABLE INITIALLY DEFERRED, user_id int NOT NULL REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED,
	minutes int NOT NULL, spent_on date NOT NULL, billable boolean NOT NULL DEFAULT true, note text);
CREATE INDEX ON time_entries (task_id);
CREATE TABLE content_types (id serial PRIMARY KEY, model varchar(100) NOT NULL UNIQUE);
CREATE TABLE comments (id serial PRIMARY KEY, content_type_id int NOT NULL REFERENCES content_types DEFERRABLE INITIALLY DEFERRED, object_id int NOT NULL, author_id int NOT NULL REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED,
	body text NOT NULL, created_at timestamptz NOT NULL);
CREATE INDEX ON comments (content_type_id, object_id);
CREATE TABLE labels (id serial PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations DEFERRABLE INITIALLY DEFERRED, name varchar(50) NOT NULL, color varchar(10) NOT NULL DEFAULT '#ccc');
CREATE INDEX ON labels (organization_id);
CREATE TABLE task_labels (id serial PRIMARY KEY, task_id int NOT NULL REFERENCES tasks DEFERRABLE INITIALLY DEFERRED, label_id int NOT NULL REFERENCES labels DEFERRABLE INITIALLY DEFERRED, UNIQUE (task_id, label_id));
CREATE INDEX ON task_labels (label_id);
CREATE TABLE favorites (user_id int NOT NULL REFERENCES auth_user, project_id int NOT NULL REFERENCES projects, PRIMARY KEY (user_id, project_id));
CREATE TABLE activity (id bigserial PRIMARY KEY, organization_id uuid NOT NULL, actor_id int NOT NULL, verb text NOT NULL, target jsonb NOT NULL, at timestamptz NOT NULL);
CREATE INDEX ON activity (organization_id, at);

CREATE VIEW live_tasks AS SELECT t.*, p.workspace_id, p.name AS project FROM tasks t JOIN projects p ON p.id = t.project_id WHERE NOT t.is_deleted AND p.archived_at IS NULL;
CREATE VIEW project_time AS SELECT t.project_id, sum(e.minutes) AS minutes, sum(e.minutes) FILTER (WHERE e.billable) AS billable FROM time_entries e JOIN tasks t ON t.id = e.task_id GROUP BY t.project_id;

INSERT INTO content_types (model) VALUES ('task'), ('project'), ('milestone');
INSERT INTO organizations SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, 'Organization ' || i FROM generate_series(1, 12) i;
INSERT INTO auth_user (username) SELECT 'user' || i FROM generate_series(1, 48) i;
INSERT INTO memberships (organization_id, user_id, role) SELECT ('00000000-0000-0000-0000-' || lpad((1 + i % 12)::text, 12, '0'))::uuid, i, CASE WHEN i <= 12 THEN 'owner' ELSE 'member' END FROM generate_series(1, 48) i;
INSERT INTO workspaces (organization_id, name) SELECT id, n FROM organizations, unnest(ARRAY['Product', 'Marketing']) n;
INSERT INTO projects (workspace_id, name, budget_minutes, updated_at) SELECT id, 'Project ' || id || '.' || n, 3000, ago(30) FROM workspaces, generate_series(1, 3) n;
INSERT INTO milestones (project_id, name, due_on) SELECT id, 'M' || n, ago(n * 20)::date + 30 FROM projects, generate_series(1, 2) n;
INSERT INTO tasks (project_id, milestone_id, assignee_id, title, status, priority, estimate, due_on, created_at, updated_at, completed_at)
	SELECT p.id, CASE WHEN random() < 0.6 THEN (SELECT m.id FROM milestones m WHERE m.project_id = p.id ORDER BY random() + n * 0 LIMIT 1) END,
		CASE WHEN random() < 0.8 THEN (SELECT m.user_id FROM memberships m WHERE m.organization_id = w.organization_id ORDER BY random() + n * 0 LIMIT 1) END,
		'Task ' || p.id || '.' || n, (ARRAY['todo', 'todo', 'doing', 'review', 'done'])[1 + random() * 4], (random() * 3)::int, (random() * 300)::int, ago((random() * 20)::int)::date + 10, ago((random() * 40 + n * 0)::int), ago(0),
		CASE WHEN random() < 0.3 THEN ago((random() * 20 + n * 0)::int) END
	FROM projects p JOIN workspaces w ON w.id = p.workspace_id, generate_series(1, 7) n;
UPDATE tasks SET parent_id = id - 1 WHERE id % 7 = 3;
INSERT INTO task_dependencies (task_id, blocked_by_id) SELECT a.id, b.id FROM tasks a JOIN tasks b ON b.project_id = a.project_id AND b.id = a.id + 2 WHERE random() < 0.3;
INSERT INTO time_entries (task_id, user_id, minutes, spent_on, billable) SELECT id, coalesce(assignee_id, 1), 10 + (random() * 100)::int, ago((random() * 20 + n * 0)::int)::date, random() < 0.8 FROM tasks, generate_series(1, 2) n;
INSERT INTO comments (content_type_id, object_id, author_id, body, created_at) SELECT 1, id, coalesce(assignee_id, 1), 'ok', ago((random() * 20 + id * 0)::int) FROM tasks;
INSERT INTO comments (content_type_id, object_id, author_id, body, created_at) SELECT 2, id, 1, 'fine', ago((random() * 20 + id * 0)::int) FROM projects;
INSERT INTO labels (organization_id, name) SELECT id, n FROM organizations, unnest(ARRAY['bug', 'feature', 'chore']) n;
INSERT INTO task_labels (task_id, label_id) SELECT t.id, (SELECT l.id FROM labels l WHERE l.organization_id = w.organization_id ORDER BY random() + t.id * 0 LIMIT 1)
	FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE random() < 0.5;
INSERT INTO favorites SELECT m.user_id, p.id FROM projects p JOIN workspaces w ON w.id = p.workspace_id JOIN memberships m ON m.organization_id = w.organization_id WHERE random() < 0.2;
INSERT INTO activity (organization_id, actor_id, verb, target, at) SELECT organization_id, user_id, 'joined', '{}', ago(20) FROM memberships;

CREATE FUNCTION a_project(o uuid) RETURNS int LANGUAGE sql AS 'SELECT p.id FROM projects p JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = o ORDER BY random() LIMIT 1';
CREATE FUNCTION a_task(o uuid) RETURNS int LANGUAGE sql AS 'SELECT t.id FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = o ORDER BY random() LIMIT 1';
CREATE FUNCTION a_task(o uuid, s text) RETURNS int LANGUAGE sql AS 'SELECT t.id FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = o AND t.status = s ORDER BY random() LIMIT 1';
CREATE FUNCTION a_member(o uuid) RETURNS int LANGUAGE sql AS 'SELECT user_id FROM memberships WHERE organization_id = o ORDER BY random() LIMIT 1';

-- tenants: SELECT id FROM organizations ORDER BY id

-- widget: tasks by status
SELECT t.status, count(*) FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
WHERE w.organization_id = $1 AND NOT t.is_deleted AND p.archived_at IS NULL GROUP BY 1 ORDER BY 1;
-- widget: live tasks view
SELECT l.project, count(*) AS open FROM live_tasks l JOIN workspaces w ON w.id = l.workspace_id WHERE w.organization_id = $1 AND l.status <> 'done' GROUP BY l.project_id, l.project ORDER BY 1, l.project_id;
-- widget: workspaces
SELECT w.name, count(DISTINCT p.id) AS projects, count(t.id) AS tasks FROM workspaces w LEFT JOIN projects p ON p.workspace_id = w.id AND p.archived_at IS NULL
LEFT JOIN tasks t ON t.project_id = p.id AND NOT t.is_deleted WHERE w.organization_id = $1 AND NOT w.archived GROUP BY w.id ORDER BY w.name, w.id;
-- widget: progress
SELECT p.id, p.name, count(t.id) AS tasks, round(100.0 * count(t.id) FILTER (WHERE t.status = 'done') / nullif(count(t.id), 0)) AS percent
FROM projects p JOIN workspaces w ON w.id = p.workspace_id LEFT JOIN tasks t ON t.project_id = p.id AND t.is_deleted = false
WHERE w.organization_id = $1 AND p.status = 'active' GROUP BY p.id ORDER BY p.name, p.id;
-- widget: hours by person
SELECT u.username, sum(e.minutes) AS minutes FROM time_entries e JOIN tasks t ON t.id = e.task_id JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
JOIN auth_user u ON u.id = e.user_id WHERE w.organization_id = $1 GROUP BY u.id ORDER BY 2 DESC, 1;
-- widget: hours by day
SELECT e.spent_on, sum(e.minutes) AS minutes, sum(e.minutes) FILTER (WHERE e.billable) AS billable FROM time_entries e JOIN tasks t ON t.id = e.task_id
JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1 GROUP BY 1 ORDER BY 1;
-- widget: budget
SELECT p.name, p.budget_minutes, coalesce(x.minutes, 0) AS spent FROM projects p JOIN workspaces w ON w.id = p.workspace_id LEFT JOIN project_time x ON x.project_id = p.id
WHERE w.organization_id = $1 ORDER BY p.name, p.id;
-- widget: over estimate
SELECT t.id, t.title, t.estimate, s.minutes FROM tasks t JOIN (SELECT task_id, sum(minutes) AS minutes FROM time_entries GROUP BY task_id) s ON s.task_id = t.id
JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1 AND s.minutes > t.estimate AND NOT t.is_deleted ORDER BY s.minutes - t.estimate DESC, t.id LIMIT 10;
-- widget: workload
SELECT u.username, m.role, (SELECT count(*) FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
	WHERE t.assignee_id = u.id AND w.organization_id = m.organization_id AND t.status IN ('todo', 'doing') AND NOT t.is_deleted) AS open
FROM memberships m JOIN auth_user u ON u.id = m.user_id WHERE m.organization_id = $1 AND u.is_active ORDER BY u.username;
-- widget: unassigned
SELECT t.id, t.title, count(*) OVER () AS total FROM tasks t WHERE t.assignee_id IS NULL AND t.status <> 'done' AND NOT t.is_deleted
	AND t.project_id IN (SELECT p.id FROM projects p JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1) ORDER BY t.priority DESC, t.id LIMIT 10;
-- widget: nested in
SELECT count(*) AS tasks FROM tasks WHERE NOT is_deleted AND project_id IN (SELECT id FROM projects WHERE workspace_id IN (SELECT id FROM workspaces WHERE organization_id = $1));
-- widget: overdue
SELECT t.id, t.title, t.due_on FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
WHERE w.organization_id = $1 AND t.status <> 'done' AND t.due_on < ($2->>'today')::date AND NOT t.is_deleted ORDER BY t.due_on, t.id LIMIT 10;
-- widget: blocked
SELECT t.id, t.title FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
WHERE w.organization_id = $1 AND EXISTS (SELECT 1 FROM task_dependencies d JOIN tasks b ON b.id = d.blocked_by_id WHERE d.task_id = t.id AND b.status <> 'done') ORDER BY t.id;
-- widget: subtasks
SELECT parent.id, parent.title, count(*) AS children, count(*) FILTER (WHERE child.status = 'done') AS done FROM tasks child JOIN tasks parent ON parent.id = child.parent_id
JOIN projects p ON p.id = parent.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1 GROUP BY parent.id ORDER BY parent.id;
-- widget: comments on tasks
SELECT t.id, t.title, count(*) AS comments FROM comments c JOIN tasks t ON c.content_type_id = 1 AND t.id = c.object_id JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
WHERE w.organization_id = $1 GROUP BY t.id ORDER BY 3 DESC, 1 LIMIT 10;
-- widget: comments on projects
SELECT p.name, count(c.id) FROM projects p JOIN workspaces w ON w.id = p.workspace_id LEFT JOIN comments c ON c.object_id = p.id AND c.content_type_id = 2
WHERE w.organization_id = $1 GROUP BY p.id ORDER BY p.name, p.id;
-- widget: comments by type
SELECT y.model, count(*) FROM comments c JOIN content_types y ON y.id = c.content_type_id JOIN tasks t ON t.id = c.object_id JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
WHERE w.organization_id = $1 AND y.model = 'task' GROUP BY y.model ORDER BY 1;
-- widget: labels
SELECT l.name, l.color, count(x.id) FROM labels l LEFT JOIN task_labels x ON x.label_id = l.id WHERE l.organization_id = $1 GROUP BY l.id ORDER BY l.name, l.id;
-- widget: bugs
SELECT count(*) FROM tasks t JOIN task_labels x ON x.task_id = t.id JOIN labels l ON l.id = x.label_id WHERE l.organization_id = $1 AND l.name = 'bug' AND t.status <> 'done';
-- widget: labels of tasks
SELECT t.id, array_agg(l.name ORDER BY l.name, l.id) AS labels FROM tasks t JOIN task_labels x ON x.task_id = t.id JOIN labels l ON l.id = x.label_id JOIN projects p ON p.id = t.project_id
JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1 AND t.status = 'doing' GROUP BY t.id ORDER BY t.id;
-- widget: milestones
SELECT m.name, p.name AS project, m.due_on, count(t.id) AS tasks, count(t.id) FILTER (WHERE t.status = 'done') AS done FROM milestones m JOIN projects p ON p.id = m.project_id
JOIN workspaces w ON w.id = p.workspace_id LEFT JOIN tasks t ON t.milestone_id = m.id AND NOT t.is_deleted WHERE w.organization_id = $1 GROUP BY m.id, p.id ORDER BY m.due_on, m.id;
-- widget: burndown
WITH d AS (SELECT generate_series(($2->>'today')::date - 10, ($2->>'today')::date, '1 day')::date AS day)
SELECT d.day, (SELECT count(*) FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
	WHERE w.organization_id = $1 AND t.created_at < d.day + 1 AND (t.completed_at IS NULL OR t.completed_at >= d.day + 1)) AS open FROM d ORDER BY 1;
-- widget: done by week
SELECT date_trunc('week', t.completed_at AT TIME ZONE ($2->>'tz'))::date AS week, count(*), sum(count(*)) OVER (ORDER BY date_trunc('week', t.completed_at AT TIME ZONE ($2->>'tz'))) AS running
FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1 AND t.completed_at IS NOT NULL GROUP BY date_trunc('week', t.completed_at AT TIME ZONE ($2->>'tz')) ORDER BY 1;
-- widget: latest
SELECT * FROM (SELECT 'comment' AS what, c.id, c.created_at AS at FROM comments c JOIN tasks t ON t.id = c.object_id AND c.content_type_id = 1 JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1
	UNION ALL SELECT verb, id, at FROM activity WHERE organization_id = $1) x ORDER BY at DESC, what, id DESC LIMIT 12;
-- widget: activity
SELECT a.verb, u.username, a.at FROM activity a LEFT JOIN auth_user u ON u.id = a.actor_id WHERE a.organization_id = $1 ORDER BY a.at DESC, a.id DESC LIMIT 10;
-- widget: members
SELECT u.username, m.role FROM memberships m JOIN auth_user u ON u.id = m.user_id WHERE m.organization_id = $1 ORDER BY u.username;
-- widget: idle members
SELECT u.username FROM memberships m JOIN auth_user u ON u.id = m.user_id WHERE m.organization_id = $1 AND NOT EXISTS (SELECT 1 FROM time_entries e WHERE e.user_id = u.id AND e.spent_on > ($2->>'today')::date - 5) ORDER BY 1;
-- widget: favorites
SELECT p.name, count(f.user_id) AS fans FROM projects p JOIN workspaces w ON w.id = p.workspace_id JOIN favorites f ON f.project_id = p.id WHERE w.organization_id = $1 GROUP BY p.id ORDER BY 2 DESC, 1, p.id;
-- widget: last entry
SELECT DISTINCT ON (e.user_id) e.user_id, e.spent_on, e.minutes, t.title FROM time_entries e JOIN tasks t ON t.id = e.task_id JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id
WHERE w.organization_id = $1 ORDER BY e.user_id, e.spent_on DESC, e.id DESC;
-- widget: projects with cte
WITH own AS (SELECT p.id, p.name FROM projects p JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1),
n AS (SELECT t.project_id, count(*) AS n FROM tasks t JOIN own ON own.id = t.project_id WHERE t.status <> 'done' GROUP BY 1)
SELECT own.name, coalesce(n.n, 0) AS open FROM own LEFT JOIN n ON n.project_id = own.id ORDER BY 1, own.id;
-- widget: stale
SELECT count(*) FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1 AND t.status = 'doing'
	AND NOT EXISTS (SELECT 1 FROM comments c WHERE c.content_type_id = 1 AND c.object_id = t.id AND c.created_at > now() - interval '7 days');
-- widget: priority matrix
SELECT t.priority, t.status, count(*) FROM tasks t JOIN projects p ON p.id = t.project_id JOIN workspaces w ON w.id = p.workspace_id WHERE w.organization_id = $1 AND NOT t.is_deleted GROUP BY GROUPING SETS ((1, 2), (1)) ORDER BY 1, 2 NULLS LAST;
-- widget: empty projects
SELECT p.name FROM projects p JOIN workspaces w ON w.id = p.workspace_id LEFT JOIN tasks t ON t.project_id = p.id AND NOT t.is_deleted WHERE w.organization_id = $1 AND t.id IS NULL ORDER BY 1, p.id;
-- widget: organization
SELECT o.name, o.plan, (SELECT count(*) FROM memberships m WHERE m.organization_id = o.id) AS members, (SELECT count(*) FROM workspaces w WHERE w.organization_id = o.id AND NOT w.archived) AS workspaces
FROM organizations o WHERE o.id = $1;

-- write 25: time is entered
INSERT INTO time_entries (task_id, user_id, minutes, spent_on, billable) VALUES ((SELECT a_task(:tenant)), (SELECT a_member(:tenant)), 5 + (random() * 90)::int, ago(0)::date, random() < 0.8);
-- write 20: a comment
INSERT INTO comments (content_type_id, object_id, author_id, body, created_at) VALUES (1, (SELECT a_task(:tenant)), (SELECT a_member(:tenant)), 'I see', ago(0));
-- write 3: a comment on a project
INSERT INTO comments (content_type_id, object_id, author_id, body, created_at) VALUES (2, (SELECT a_project(:tenant)), (SELECT a_member(:tenant)), 'I see', ago(0));
-- write 15: a task
WITH t AS (INSERT INTO tasks (project_id, assignee_id, title, priority, estimate, due_on, created_at, updated_at)
	VALUES ((SELECT a_project(:tenant)), CASE WHEN random() < 0.5 THEN (SELECT a_member(:tenant)) END, 'New', random() * 3, 60, ago(0)::date + 3, ago(0), now()) RETURNING id)
INSERT INTO activity (organization_id, actor_id, verb, target, at) SELECT :tenant, a_member(:tenant), 'created', jsonb_build_object('task', id), ago(0) FROM t;
-- write 12: begun
UPDATE tasks SET status = 'doing', updated_at = now() WHERE id = (SELECT a_task(:tenant, 'todo'));
-- write 10: done
WITH t AS (UPDATE tasks SET status = 'done', completed_at = ago(0), updated_at = now() WHERE id = (SELECT a_task(:tenant, 'doing')) RETURNING id)
INSERT INTO activity (organization_id, actor_id, verb, target, at) SELECT :tenant, a_member(:tenant), 'completed', jsonb_build_object('task', id), ago(0) FROM t;
-- write 8: assigned
UPDATE tasks SET assignee_id = (SELECT a_member(:tenant)), updated_at = now() WHERE id = (SELECT a_task(:tenant, 'todo'));
-- write 10: dragged
UPDATE tasks SET position = random(), updated_at = now() WHERE id = (SELECT a_task(:tenant));
-- write 4: a title is edited
UPDATE tasks SET title = title || '.', updated_at = now() WHERE id = (SELECT a_task(:tenant));
-- write 3: a priority
UPDATE tasks SET priority = (random() * 3)::int, updated_at = now() WHERE id = (SELECT a_task(:tenant));
-- write 3: saved as it was
UPDATE tasks SET status = status, title = title, priority = priority, assignee_id = assignee_id, updated_at = now() WHERE id = (SELECT a_task(:tenant));
-- write 6: a login
UPDATE auth_user SET last_login = now() WHERE id = (SELECT a_member(:tenant));
-- write 5: labelled
INSERT INTO task_labels (task_id, label_id) SELECT a_task(:tenant), id FROM labels WHERE organization_id = :tenant ORDER BY random() LIMIT 1 ON CONFLICT DO NOTHING;
-- write 2: not labelled any more
DELETE FROM task_labels WHERE task_id = (SELECT a_task(:tenant));
-- write 3: blocked
INSERT INTO task_dependencies (task_id, blocked_by_id) VALUES ((SELECT a_task(:tenant)), (SELECT a_task(:tenant))) ON CONFLICT DO NOTHING;
-- write 4: a project is touched
UPDATE projects SET updated_at = now() WHERE id = (SELECT a_project(:tenant));
-- write 2: a task is deleted softly
UPDATE tasks SET is_deleted = true, updated_at = now() WHERE id = (SELECT a_task(:tenant));
-- write 3: an entry is corrected
UPDATE time_entries SET minutes = minutes + 5 WHERE id = (SELECT id FROM time_entries WHERE task_id = (SELECT a_task(:tenant)) LIMIT 1);
-- write 2: a note
UPDATE time_entries SET note = 'x' WHERE task_id = (SELECT a_task(:tenant));
-- write 1: an entry is deleted
DELETE FROM time_entries WHERE task_id = (SELECT a_task(:tenant));
-- write 2: a favorite
INSERT INTO favorites SELECT a_member(:tenant), a_project(:tenant) ON CONFLICT DO NOTHING;
-- write 1: into another project
UPDATE tasks SET project_id = (SELECT a_project(:tenant)), milestone_id = NULL, updated_at = now() WHERE id = (SELECT a_task(:tenant));
-- write 0.5: a project is archived
UPDATE projects SET archived_at = CASE WHEN archived_at IS NULL THEN now() END, updated_at = now() WHERE id = (SELECT a_project(:tenant));
-- write 1: a project
INSERT INTO projects (workspace_id, name, updated_at) SELECT id, 'New', now() FROM workspaces WHERE organization_id = :tenant ORDER BY random() LIMIT 1;
-- write 1: a milestone moves
UPDATE milestones SET due_on = due_on + 1 WHERE project_id = (SELECT a_project(:tenant));
-- write 0.3: a user signs up
WITH u AS (INSERT INTO auth_user (username) SELECT 'new' || count(*) FROM auth_user RETURNING id)
INSERT INTO memberships (organization_id, user_id, role) SELECT :tenant, id, 'member' FROM u;
-- write 0.3: a project goes to another organization
UPDATE projects SET workspace_id = (SELECT min(id) FROM workspaces WHERE organization_id = :other) WHERE id = (SELECT a_project(:tenant));
-- write 0.2: a label is renamed
UPDATE labels SET name = name || '''' WHERE id = (SELECT min(id) FROM labels WHERE organization_id = :tenant);
