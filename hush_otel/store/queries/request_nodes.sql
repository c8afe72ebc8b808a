-- All rows of one request: the columns of node_traces, where each hangs, and where a computed cost comes from.
-- In the order of hush_spans_request: running ones first, then as they ended. Nothing is sorted, so rows stream.
SELECT n.*,
       CASE WHEN s.parent_span_id IS NOT NULL THEN lower(hex(s.parent_span_id)) END AS parent_span_id,
       s.cost_source
FROM hush_requests q
CROSS JOIN hush_spans s ON s.request = q.id
CROSS JOIN node_traces n ON n.id = s.id
WHERE q.request_id = :request_id
ORDER BY s.end_seq;
