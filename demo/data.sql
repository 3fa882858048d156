-- 200 companies of very different sizes, about 125,000 conversations and exactly 1,000,000 messages of the
-- last three months. Always the same numbers (but for the times, which end now).
-- "psql -v companies=1000" makes it 1000 companies, of as many messages together.

\if :{?companies}
\else
\set companies 200
\endif

BEGIN;

SET LOCAL session_replication_role = replica;   -- what is made here fits together: do not check it row by row
SET LOCAL max_parallel_workers_per_gather = 0;  -- one process draws all random numbers, in one order
SET LOCAL work_mem = '128MB';
SET LOCAL client_min_messages = warning;

SELECT setseed(0.15) \g /dev/null

-- A company's size goes with 1 / rank ^ 1.2 (Zipf); its id has nothing to do with its rank.
CREATE TEMP TABLE sizes ON COMMIT DROP AS
SELECT rank, 1 + rank * 71 % :companies AS company_id, rank::float8 ^ -1.2 AS weight,
       greatest(2, round(60 * rank ^ -0.55))::int AS agents,
       0.60 + 0.55 * random() AS trend            -- below 1 it grows, above 1 it shrinks
FROM generate_series(1, :companies) AS rank;

INSERT INTO companies (id, name, plan, created_at)
SELECT company_id,
       (ARRAY['Amber', 'Birch', 'Cobalt', 'Delta', 'Ember', 'Fjord', 'Granite', 'Harbor', 'Indigo', 'Juniper', 'Kestrel',
              'Lantern', 'Maple', 'Northern', 'Opal', 'Prairie', 'Quartz', 'River', 'Summit', 'Tundra'])[1 + company_id % 20]
       || ' ' ||
       (ARRAY['Airlines', 'Books', 'Clinics', 'Energy', 'Foods', 'Hotels', 'Logistics', 'Outdoor', 'Software', 'Telecom']
       )[1 + company_id / 20 % 10]
       || CASE WHEN company_id > 200 THEN ' ' || company_id ELSE '' END,
       CASE WHEN rank <= 10 THEN 'enterprise' WHEN rank <= 60 THEN 'business' ELSE 'team' END,
       now() - interval '100 days' - random() * interval '900 days'
FROM sizes
ORDER BY company_id;

INSERT INTO agents (company_id, name, email, created_at)
SELECT s.company_id, p.first || ' ' || p.last, lower(p.first || '.' || p.last || '.' || n || '@company' || s.company_id || '.example'),
       now() - interval '95 days'
FROM sizes AS s
CROSS JOIN LATERAL generate_series(1, s.agents) AS n
CROSS JOIN LATERAL (
    SELECT (ARRAY['Ada', 'Bruno', 'Chiara', 'Dmitri', 'Elif', 'Farid', 'Grace', 'Hiro', 'Ines', 'Jonas', 'Kofi', 'Lucia'])
               [1 + (n * 5 + s.company_id) % 12] AS first,
           (ARRAY['Adler', 'Brandt', 'Castro', 'Dubois', 'Eriksen', 'Fischer', 'Gupta', 'Hansen', 'Ito', 'Jansen', 'Kowalski'])
               [1 + (n * 3 + s.company_id) % 11] AS last) AS p
ORDER BY s.company_id, n;

-- Who may take a conversation: the agents of each company, as an array.
CREATE TEMP TABLE teams ON COMMIT DROP AS
SELECT s.rank::int AS rank, s.company_id, s.trend, array_agg(a.id ORDER BY a.id) AS agents
FROM sizes AS s JOIN agents AS a USING (company_id)
GROUP BY s.rank, s.company_id, s.trend;

-- Conversations: a company by weight, a moment, a length, and who answers (the bot, an agent, or first one, then the other).
CREATE TEMP TABLE dice ON COMMIT DROP AS
SELECT width_bucket(random(), w.bounds)::int AS rank,
       random() AS moment, random() AS who, random() AS pick, random() AS state, random() AS mood,
       2 + (random() * 12)::int AS length,
       20 + (random() * 160)::int AS gap           -- seconds between its messages
FROM (SELECT array_agg(lower_bound ORDER BY rank) AS bounds
      FROM (SELECT rank, (sum(weight) OVER (ORDER BY rank) - weight) / sum(weight) OVER () AS lower_bound FROM sizes) AS s) AS w
CROSS JOIN generate_series(1, 127000);

CREATE TEMP TABLE drafts ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY started_at, pick) AS id, company_id, handling, agent_id, state, mood, gap, started_at,
       length - greatest(0, messages_so_far - 1000000)::int AS length
FROM (SELECT *,
             sum(length) OVER (ORDER BY started_at DESC, pick) AS messages_so_far,   -- the newest 1,000,000 are kept
             CASE WHEN who < 0.55 THEN 'bot' WHEN who < 0.85 THEN 'both' ELSE 'agent' END AS handling,
             CASE WHEN who >= 0.55     -- some agents take far more than others
                  THEN agents[1 + floor(pick ^ 1.5 * cardinality(agents))::int] END AS agent_id
      FROM (SELECT *, now() - interval '50 minutes' - (1 - moment ^ trend) * interval '92 days' AS started_at
            FROM dice JOIN teams USING (rank)) AS d) AS d
WHERE messages_so_far - length < 1000000;

INSERT INTO conversations (company_id, agent_id, customer, subject, status, rating, created_at, updated_at)
SELECT company_id, agent_id,
       (ARRAY['Alex', 'Bianca', 'Chen', 'Daria', 'Emil', 'Fatima', 'Goran', 'Hanna', 'Ivan', 'Julia', 'Kenji', 'Leila', 'Marco',
              'Nadia', 'Omar', 'Paula'])[1 + id * 7 % 16] || ' ' || chr(65 + (id * 11 % 26)::int) || '.',
       (ARRAY['Where is my order?', 'Cannot log in', 'Invoice is wrong', 'Change of address', 'Refund, please', 'How do I upgrade?',
              'The app crashes', 'Delivery was damaged', 'Cancel my plan', 'Question about prices'])[1 + id * 3 % 10],
       status, CASE WHEN status IN ('resolved', 'closed') AND mood < 0.35
                    THEN 5 - floor((mood / 0.35) ^ CASE handling WHEN 'agent' THEN 3 WHEN 'both' THEN 2 ELSE 1.6 END * 5)::int END,
       started_at, started_at + length * gap * interval '1 second'
FROM (SELECT *, CASE WHEN state < CASE WHEN started_at > now() - interval '2 days' THEN 0.40 ELSE 0.01 END THEN 'open'
                     WHEN state < CASE WHEN started_at > now() - interval '6 days' THEN 0.55 ELSE 0.03 END THEN 'pending'
                     WHEN state < 0.70 THEN 'resolved'
                     ELSE 'closed' END AS status
      FROM drafts) AS d
ORDER BY id;

INSERT INTO messages (company_id, conversation_id, role, agent_id, provider, response_ms, body, created_at)
SELECT company_id, conversation_id, role,
       CASE role WHEN 'agent' THEN agent_id END,
       CASE role WHEN 'bot' THEN (ARRAY['openai', 'openai', 'anthropic', 'anthropic', 'google', 'mistral'])
           [1 + floor(roll ^ (0.5 + company_id % 5 * 0.3) * 6)::int] END,
       CASE role WHEN 'bot' THEN (400 - 1100 * ln(1 - wait))::int
                 WHEN 'agent' THEN (gap * (300 + 700 * wait))::int END,
       CASE role
           WHEN 'user' THEN (ARRAY['Hello, I need some help with my account.', 'That did not work, I still see the same error.',
               'Thank you, that is what I was looking for!', 'The order number is on the first page of the invoice.',
               'Can you tell me how long that will take?'])[1 + floor(roll * 5)::int]
           WHEN 'bot' THEN (ARRAY['I have found three articles that may help you.', 'Your parcel left our warehouse this morning.',
               'I will hand this over to a colleague.', 'You can change that under Settings, Account.'])[1 + floor(wait * 4)::int]
           ELSE (ARRAY['I have looked into it and corrected the invoice.', 'Could you send me a picture of the parcel, please?',
               'The refund will be on your account in three days.', 'Is there anything else that I can do for you?'])[1 + floor(roll * 4)::int]
       END,
       created_at
FROM (SELECT d.id AS conversation_id, d.company_id, d.handling, d.agent_id, d.gap, n,
             d.started_at + (n - 1) * d.gap * interval '1 second' AS created_at,
             random() AS roll, random() AS wait,
             CASE WHEN n % 2 = 1 THEN 'user'
                  WHEN d.handling = 'both' AND n <= 4 THEN 'bot'
                  WHEN d.handling = 'both' THEN 'agent'
                  ELSE d.handling END AS role
      FROM drafts AS d CROSS JOIN LATERAL generate_series(1, d.length) AS n) AS l
ORDER BY created_at, conversation_id, n;

COMMIT;

VACUUM (ANALYZE) companies, agents, conversations, messages;
