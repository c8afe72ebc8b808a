-- One session: its newest :limit requests added up. user_id: of one of them that has one.
-- Tokens are summed as REAL: sum() of integers fails beyond 64 bit, which one absurd count is enough for.
-- Amounts stay at the largest (mapping/counted.py).
SELECT max(user_id) AS user_id,
       count(*) AS request_count,
       coalesce(sum(error_count > 0), 0) AS error_count,
       min(created_at) AS first_at,
       max(created_at) AS last_at,
       CAST(sum(1.0 * total_tokens) AS INTEGER) AS total_tokens,
       min(sum(cost_usd), 1e308) AS cost_usd,
       min(sum(computed_usd), 1e308) AS computed_usd
FROM (
    SELECT user_id, error_count, created_at, total_tokens, cost_usd, computed_usd
    FROM hush_requests
    WHERE session_id = :session
    ORDER BY created_at DESC, id DESC
    LIMIT :limit
);
