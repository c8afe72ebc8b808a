-- For statistics: the model calls of the newest :limit requests of [:since, :until) by model, with all their durations.
-- Tokens are summed as REAL: sum() of integers fails beyond 64 bit, which one absurd count is enough for.
-- What is no count or amount is left out, and amounts stay at the largest (mapping/counted.py).
-- Calls are model calls, node traces, and other spans that say what was taken; those that only repeat others are left out.
WITH chosen (id, created_at) AS (
    SELECT id, created_at FROM hush_requests
    WHERE :workflow IS NULL AND created_at >= :since AND created_at < :until
    UNION ALL
    SELECT id, created_at FROM hush_requests
    WHERE workflow_name = :workflow AND created_at >= :since AND created_at < :until
    ORDER BY created_at DESC
    LIMIT :limit
)
SELECT s.model AS key,
       count(*) AS count,
       coalesce(sum(s.status_code = 2), 0) AS error_count,
       json_group_array((s.end_ns - s.start_ns) / 1e6) FILTER (WHERE s.end_ns IS NOT NULL) AS durations_ms,
       CAST(sum(1.0 * s.prompt_tokens) FILTER (WHERE s.prompt_tokens >= 0) AS INTEGER) AS prompt_tokens,
       CAST(sum(1.0 * s.completion_tokens) FILTER (WHERE s.completion_tokens >= 0) AS INTEGER) AS completion_tokens,
       CAST(sum(CASE WHEN s.total_tokens >= 0 THEN 1.0 * s.total_tokens
                     WHEN s.prompt_tokens >= 0 AND s.completion_tokens >= 0 THEN 1.0 * s.prompt_tokens + s.completion_tokens
                END) AS INTEGER) AS total_tokens,
       min(sum(s.cost_usd) FILTER (WHERE s.cost_usd >= 0), 1e308) AS cost_usd,
       min(sum(s.cost_usd) FILTER (WHERE s.cost_usd >= 0 AND s.cost_source IS NOT NULL), 1e308) AS computed_usd
FROM chosen c
CROSS JOIN hush_spans s ON s.request = c.id
WHERE EXISTS (SELECT 1 FROM hush_request_labels l WHERE l.request = c.id AND l.kind = 0)
  AND s.end_seq > 0
  AND s.model IS NOT NULL
  AND s.repeats IS NULL
  AND (s.node IS NOT NULL OR s.node_type IN ('llm', 'generation', 'embedding')
       OR coalesce(s.prompt_tokens, s.completion_tokens, s.total_tokens, s.cost_usd) IS NOT NULL)
GROUP BY s.model
ORDER BY count(*) DESC, s.model;
