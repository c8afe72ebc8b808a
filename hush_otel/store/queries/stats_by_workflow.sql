-- For statistics: the newest :limit requests of [:since, :until) by workflow, with all their durations.
-- Tokens are summed as REAL: sum() of integers fails beyond 64 bit, which one absurd count is enough for.
-- Amounts stay at the largest (mapping/counted.py).
WITH chosen (id, created_at) AS (
    SELECT id, created_at FROM hush_requests
    WHERE :workflow IS NULL AND created_at >= :since AND created_at < :until
    UNION ALL
    SELECT id, created_at FROM hush_requests
    WHERE workflow_name = :workflow AND created_at >= :since AND created_at < :until
    ORDER BY created_at DESC
    LIMIT :limit
)
SELECT r.workflow_name AS key,
       count(*) AS count,
       coalesce(sum(r.error_count > 0), 0) AS error_count,
       json_group_array((r.end_ns - r.start_ns) / 1e6) FILTER (WHERE r.end_ns IS NOT NULL) AS durations_ms,
       CAST(sum(1.0 * r.prompt_tokens) AS INTEGER) AS prompt_tokens,
       CAST(sum(1.0 * r.completion_tokens) AS INTEGER) AS completion_tokens,
       CAST(sum(1.0 * r.total_tokens) AS INTEGER) AS total_tokens,
       min(sum(r.cost_usd), 1e308) AS cost_usd,
       min(sum(r.computed_usd), 1e308) AS computed_usd
FROM chosen c
CROSS JOIN hush_requests r ON r.id = c.id
GROUP BY r.workflow_name
ORDER BY count(*) DESC, r.workflow_name;
