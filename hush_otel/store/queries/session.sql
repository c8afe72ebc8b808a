-- One session: its newest :limit requests added up. user_id: of one of them that has one.
-- Tokens are summed as REAL: sum() of integers fails beyond 64 bit, which one absurd count is enough for.
SELECT max(user_id) AS user_id,
       count(*) AS request_count,
       coalesce(sum(error_count > 0), 0) AS error_count,
       min(created_at) AS first_at,
       max(created_at) AS last_at,
       CAST(sum(1.0 * total_tokens) AS INTEGER) AS total_tokens,
       sum(cost_usd) AS cost_usd,
       sum(computed_usd) AS computed_usd
FROM (
    SELECT user_id, error_count, created_at, total_tokens, cost_usd, computed_usd
    FROM hush_requests
    WHERE session_id = :session
    ORDER BY created_at DESC, id DESC
    LIMIT :limit
);
