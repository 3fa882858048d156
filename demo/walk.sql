-- What the walk through the demo needs: a loader that keeps a record, and the views that tell of it.

CREATE SCHEMA demo;

-- The three companies that the walk looks at, and a fourth for the first picture.
CREATE TABLE demo.cast AS
SELECT part, company_id, name, messages
FROM (SELECT c.id AS company_id, c.name, count(*) AS messages, row_number() OVER (ORDER BY count(*) DESC, c.id) AS rank
      FROM companies c JOIN messages m ON m.company_id = c.id
      GROUP BY c.id, c.name) AS ranked
JOIN (VALUES (1, 'large'), (10, 'medium'), (200, 'small'), (30, 'sample')) AS parts(rank, part) USING (rank);

-- Twenty whom nobody has looked at: those to be warmed.
CREATE TABLE demo.fresh AS
SELECT company_id, name, messages, rank
FROM (SELECT c.id AS company_id, c.name, count(*) AS messages, row_number() OVER (ORDER BY count(*) DESC, c.id) AS rank
      FROM companies c JOIN messages m ON m.company_id = c.id
      GROUP BY c.id, c.name) AS ranked
WHERE rank BETWEEN 2 AND 198 AND rank % 10 = 2;

CREATE TABLE demo.loads (
    load_no     int NOT NULL,
    load        text NOT NULL,
    company_id  bigint NOT NULL,
    load_ms     float8 NOT NULL,        -- the whole dashboard, as its reader waits for it
    widget_no   int NOT NULL,
    widget      text NOT NULL,
    source      text NOT NULL,
    reason      text,
    compute_ms  float8
);

CREATE TYPE demo.answer AS (widget text, source text, reason text, compute_ms float8);

-- Loads one company's whole dashboard and records what dashcache_fetch says of each widget.
CREATE FUNCTION demo.load(load_no int, load text, company_id bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    started   timestamptz;
    ended     timestamptz;
    answers   demo.answer[];
BEGIN
    started := clock_timestamp();
    SELECT array_agg((widget, source, reason, compute_ms)::demo.answer) INTO answers
    FROM dashcache_fetch(company_id, 'support');
    ended := clock_timestamp();

    IF load IS NOT NULL THEN
        INSERT INTO demo.loads
        SELECT load_no, load, company_id, extract(epoch FROM ended - started) * 1000, n, widget, source, reason, compute_ms
        FROM unnest(answers) WITH ORDINALITY AS a(widget, source, reason, compute_ms, n);
    END IF;
END $$;

-- A step of the walk: a new connection, with its plans in place (a fourth company's load), loads the three dashboards.
CREATE PROCEDURE demo.step(load_no int, load text) LANGUAGE plpgsql AS $$
DECLARE
    company bigint;
BEGIN
    PERFORM demo.load(0, NULL, company_id) FROM demo.cast WHERE part = 'sample';
    FOR company IN SELECT company_id FROM demo.cast WHERE part <> 'sample' ORDER BY messages DESC LOOP
        COMMIT;
        PERFORM demo.load(load_no, load, company);
    END LOOP;
END $$;

-- The same for three of those that were warmed.
CREATE PROCEDURE demo.warmed_step(load_no int, load text) LANGUAGE plpgsql AS $$
DECLARE
    company bigint;
BEGIN
    PERFORM demo.load(0, NULL, company_id) FROM demo.cast WHERE part = 'sample';
    FOR company IN SELECT company_id FROM demo.fresh WHERE rank IN (2, 12, 192) ORDER BY rank LOOP
        COMMIT;
        PERFORM demo.load(load_no, load, company);
    END LOOP;
END $$;

CREATE VIEW demo.load_table AS
WITH l AS (
    SELECT load_no, load, company_id, load_ms,
           count(*) AS widgets,
           count(*) FILTER (WHERE source = 'cache') AS hits,
           string_agg(DISTINCT reason, ', ') AS reasons
    FROM demo.loads
    GROUP BY load_no, load, company_id, load_ms)
SELECT load_no, company_id,
       CASE WHEN row_number() OVER (PARTITION BY load_no ORDER BY messages DESC) = 1 THEN load ELSE '' END AS load,
       name AS company,
       to_char(messages, 'FM9,999,999') AS messages,
       CASE hits WHEN widgets THEN 'cache'
                 WHEN 0 THEN 'database'
                 ELSE format('cache %s, database %s', hits, widgets - hits) END AS served_from,
       coalesce(reasons, '') AS why,
       to_char(load_ms, 'FM9,990.000') AS ms,
       CASE WHEN load_no > 1
            THEN to_char(round((first_value(load_ms) OVER (PARTITION BY company_id ORDER BY load_no) / load_ms)::numeric,
                               CASE WHEN hits = widgets THEN 0 ELSE 1 END),
                         CASE WHEN hits = widgets THEN 'FM999,990' ELSE 'FM999,990.0' END) || ' times'
            ELSE '' END AS faster
FROM l JOIN demo.cast USING (company_id);

-- One line a widget of the company that was written to: where its answer came from after each write.
CREATE VIEW demo.widget_table AS
SELECT widget_no, widget,
       (SELECT string_agg(DISTINCT s.source::text, ', ') FROM dashcache_sources s
        WHERE s.dashboard = 'support' AND s.widget = l.widget) AS reads,
       max(answer) FILTER (WHERE load_no = 3) AS after_message,
       max(answer) FILTER (WHERE load_no = 4) AS after_status,
       max(answer) FILTER (WHERE load_no = 5) AS after_rollback
FROM (SELECT *, CASE source WHEN 'database' THEN format('computed: %s', reason) ELSE source END AS answer
      FROM demo.loads) AS l
WHERE company_id = (SELECT company_id FROM demo.cast WHERE part = 'large')
GROUP BY widget_no, widget;

-- What the walk claims, as a test: the widgets that each write must touch, and no other, and no other company.
CREATE VIEW demo.broken_claims AS
SELECT l.load, c.name AS company, l.widget, l.source, l.reason
FROM demo.loads l JOIN demo.cast c USING (company_id)
WHERE (l.source = 'cache') IS DISTINCT FROM NOT (
    l.load_no = 1
    OR c.part = 'large' AND l.load_no = 3 AND l.widget IN ('messages', 'automation', 'response_time', 'providers', 'agents')
    OR c.part = 'large' AND l.load_no = 4 AND l.widget IN ('conversations', 'recent'));
