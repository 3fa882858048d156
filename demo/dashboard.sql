-- The dashboard 'support': eight widgets, one query each, $1 is the company.
--
-- ttl => NULL: only a change of the data ends an answer. The two widgets that compare with the past depend on
-- the date as well, so their answers also end at midnight: align => 'day'.

SELECT dashcache_define('conversations', $$
    SELECT count(*) AS total,
           count(*) FILTER (WHERE status IN ('open', 'pending')) AS active,
           round(100.0 * (count(*) FILTER (WHERE created_at >= current_date - 30)
                        - count(*) FILTER (WHERE created_at >= current_date - 60 AND created_at < current_date - 30))
                 / nullif(count(*) FILTER (WHERE created_at >= current_date - 60 AND created_at < current_date - 30), 0), 1)
               AS growth_month_percent
    FROM conversations
    WHERE company_id = $1
$$, dashboard => 'support', ttl => '1 day', align => 'day');

SELECT dashcache_define('messages', $$
    SELECT count(*) AS total,
           round(100.0 * (count(*) FILTER (WHERE created_at >= current_date - 7)
                        - count(*) FILTER (WHERE created_at >= current_date - 14 AND created_at < current_date - 7))
                 / nullif(count(*) FILTER (WHERE created_at >= current_date - 14 AND created_at < current_date - 7), 0), 1)
               AS growth_week_percent
    FROM messages
    WHERE company_id = $1
$$, dashboard => 'support', ttl => '1 day', align => 'day');

SELECT dashcache_define('automation', $$
    SELECT count(*) FILTER (WHERE role = 'bot') AS bot_messages,
           round(100.0 * count(*) FILTER (WHERE role = 'bot') / nullif(count(*), 0), 1) AS automation_rate_percent
    FROM messages
    WHERE company_id = $1 AND role IN ('agent', 'bot')
$$, dashboard => 'support', ttl => NULL);

SELECT dashcache_define('response_time', $$
    SELECT round(avg(response_ms) / 1000, 1) AS average_seconds,
           round(avg(response_ms) FILTER (WHERE role = 'bot') / 1000, 1) AS bot_seconds,
           round(avg(response_ms) FILTER (WHERE role = 'agent') / 1000, 1) AS agent_seconds
    FROM messages
    WHERE company_id = $1
$$, dashboard => 'support', ttl => NULL);

SELECT dashcache_define('satisfaction', $$
    SELECT round(avg(rating), 2) AS average_rating, count(rating) AS ratings
    FROM conversations
    WHERE company_id = $1
$$, dashboard => 'support', ttl => NULL);

SELECT dashcache_define('providers', $$
    SELECT provider, count(*) AS messages
    FROM messages
    WHERE company_id = $1 AND role = 'bot'
    GROUP BY provider
    ORDER BY messages DESC, provider
$$, dashboard => 'support', ttl => NULL);

SELECT dashcache_define('agents', $$
    SELECT a.id, a.name, count(*) AS messages
    FROM messages m
    JOIN agents a ON a.id = m.agent_id AND a.company_id = m.company_id
    WHERE m.company_id = $1
    GROUP BY a.id, a.name
    ORDER BY messages DESC, a.id
    LIMIT 10
$$, dashboard => 'support', ttl => NULL);

SELECT dashcache_define('recent', $$
    SELECT c.id, c.customer, c.subject, c.status, a.name AS agent, c.created_at
    FROM conversations c
    LEFT JOIN agents a ON a.id = c.agent_id AND a.company_id = c.company_id
    WHERE c.company_id = $1
    ORDER BY c.created_at DESC, c.id DESC
    LIMIT 10
$$, dashboard => 'support', ttl => NULL);
