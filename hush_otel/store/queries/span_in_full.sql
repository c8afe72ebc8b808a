-- For `show --io`, `show --node` and `share`: one span with all that it has; long texts of attributes put back.
SELECT n.trace_id, n.span_id,
       CASE WHEN s.parent_span_id IS NOT NULL THEN lower(hex(s.parent_span_id)) END AS parent_span_id,
       s.name, n.node_name, n.node_type, n.context_id, n.execution_order, s.kind, s.start_ns, s.end_ns,
       n.start_time, n.end_time, n.duration_ms, n.status, n.error, n.model, n.prompt_tokens, n.completion_tokens,
       n.total_tokens, n.cost_usd, s.cost_source, n.user_id, n.session_id, n.metadata,
       CASE WHEN s.large IS NULL THEN s.attributes ELSE
           json_patch(s.attributes, (SELECT json_group_object(l.key, json(p.json))
                                     FROM hush_span_payloads l JOIN hush_payloads p ON p.id = l.payload
                                     WHERE l.span = s.id)) END AS attributes,
       coalesce(s.events, '[]') AS events,
       coalesce(s.links, '[]') AS links,
       o.resource,
       o.scope
FROM hush_traces t
CROSS JOIN hush_spans s ON s.trace = t.id AND s.span_id = :span_id
CROSS JOIN node_traces n ON n.id = s.id
CROSS JOIN hush_origins o ON o.id = s.origin
WHERE t.trace_id = :trace_id;
