-- For `reprice`: model calls of the requests :requests (a JSON list of numbers) whose cost was not given.
-- Those that have none and those that were computed; what an app gave has a cost and no cost_source.
SELECT s.id,
       s.request,
       s.model,
       s.prompt_tokens,
       s.completion_tokens,
       s.node_type,
       s.cost_usd,
       s.cost_source,
       s.start_ns,
       s.attributes
FROM json_each(:requests) j
CROSS JOIN hush_spans s ON s.request = j.value
WHERE s.end_seq > 0
  AND s.model <> ''
  AND s.repeats IS NULL
  AND s.prompt_tokens IS NOT NULL
  AND (s.cost_usd IS NULL OR s.cost_source IS NOT NULL)
  AND (s.node_type IN ('llm', 'generation', 'embedding') OR s.node ->> 'contain_generation');
