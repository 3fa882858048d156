-- Every company's every widget: the cached answer against the widget's query, run by PostgreSQL alone, in one snapshot.
-- Prints the result, and ends with an error unless all are equal and all came from the cache.

-- The queries: dashboard.sql once more, but this time dashcache_define is a function that only writes them down.
CREATE SCHEMA recorder;
CREATE TABLE recorder.queries (widget text PRIMARY KEY, query text NOT NULL);
CREATE FUNCTION recorder.dashcache_define(widget text, query text, dashboard text = 'default', ttl interval = '5 minutes',
                                          align text = NULL, max_stale interval = '0', result text = NULL, tags text[] = '{}')
RETURNS void LANGUAGE sql AS 'INSERT INTO recorder.queries VALUES (widget, query)';

SET search_path = recorder;
\o /dev/null
\ir dashboard.sql
\o
RESET search_path;

-- A query's answer as the contract wants it: GROUP BY and LIMIT give an array, a lone aggregate an object.
CREATE FUNCTION recorder.run(query text, company bigint) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    answer json;
BEGIN
    IF query ~ 'GROUP BY|LIMIT' THEN
        EXECUTE format('SELECT coalesce(json_agg(row_to_json(r)), ''[]'') FROM (%s) AS r', query) INTO answer USING company;
    ELSE
        EXECUTE format('SELECT row_to_json(r) FROM (%s) AS r', query) INTO STRICT answer USING company;
    END IF;
    RETURN answer;
END $$;

-- Fill what is not in the cache yet, as the applications' readers would.
SELECT clock_timestamp() AS t0 \gset
SELECT count(dashcache_get(id, 'support')) AS dashboards FROM companies \gset
SELECT clock_timestamp() AS t1 \gset

BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT json_agg(json_build_object('company_id', c.id, 'widget', f.widget, 'data', f.data, 'source', f.source, 'reason', f.reason)) AS cached
FROM companies c CROSS JOIN LATERAL dashcache_fetch(c.id, 'support') AS f \gset
SELECT clock_timestamp() AS t2 \gset
SELECT json_agg(json_build_object('company_id', c.id, 'widget', q.widget, 'data', recorder.run(q.query, c.id))) AS direct
FROM companies c CROSS JOIN recorder.queries q \gset
SELECT clock_timestamp() AS t3 \gset
COMMIT;

-- Compared as jsonb's text: white space and the order of members do not count, every digit does.
CREATE TEMP TABLE verdicts AS
SELECT company_id, widget, c.source, c.reason, c.data AS cached, d.data AS direct,
       coalesce(c.data::jsonb::text = d.data::jsonb::text, false) AS equal
FROM json_to_recordset(:'cached') AS c(company_id bigint, widget text, data json, source text, reason text)
FULL JOIN json_to_recordset(:'direct') AS d(company_id bigint, widget text, data json) USING (company_id, widget);

\pset format unaligned
\pset tuples_only on
SELECT format('   all %s companies'' dashboards read once: %6s ms', :dashboards, to_char(1000 * extract(epoch FROM :'t1'::timestamptz - :'t0'), 'FM999,990'));
SELECT format('   all read again, from the cache:         %6s ms', to_char(1000 * extract(epoch FROM :'t2'::timestamptz - :'t1'), 'FM999,990'));
SELECT format('   all their queries run directly:         %6s ms', to_char(1000 * extract(epoch FROM :'t3'::timestamptz - :'t2'), 'FM999,990'));
SELECT '';
SELECT format('   %s cached answers compared with the direct queries: %s equal, %s different', count(cached), count(*) FILTER (WHERE equal),
              count(*) FILTER (WHERE NOT equal))
FROM verdicts;

SELECT format('   NOT FROM THE CACHE: %s (%s, %s): %s answers', widget, coalesce(source, 'missing'), coalesce(reason, 'no reason'), count(*))
FROM verdicts WHERE source IS DISTINCT FROM 'cache' GROUP BY widget, source, reason ORDER BY widget;
SELECT format(E'   DIFFERENT: company %s, %s\n      cached: %s\n      direct: %s', company_id, widget, coalesce(cached::text, 'none'), coalesce(direct::text, 'none'))
FROM verdicts WHERE NOT equal ORDER BY company_id, widget LIMIT 5;

SELECT count(*) = 1600 AND bool_and(equal) AND bool_and(source IS NOT DISTINCT FROM 'cache') AS all_equal FROM verdicts \gset
\if :all_equal
\else
    DO $$BEGIN RAISE 'the comparison failed'; END$$;
\endif
