-- What came out of the spans of one request that had ended when another began (:start_ns), the last to end first:
-- for the data flow. Only outputs of at most :chars characters, of spans that hold no more than twice that.
WITH earlier (id) AS (
    SELECT s.id
    FROM hush_requests q
    CROSS JOIN hush_spans s ON s.request = q.id
    WHERE q.request_id = :request_id AND s.end_ns <= :start_ns AND s.id <> :span
      AND length(s.attributes) <= 2 * :chars
      AND (s.large IS NULL
           OR (SELECT coalesce(sum(length(p.json)), 0)
               FROM hush_span_payloads l
               CROSS JOIN hush_payloads p ON p.id = l.payload
               WHERE l.span = s.id) <= 2 * :chars)
    ORDER BY s.end_ns DESC
    LIMIT :limit
)
SELECT n.trace_id, n.span_id, n.node_name, n.output_data
FROM earlier e
CROSS JOIN node_traces n ON n.id = e.id;
