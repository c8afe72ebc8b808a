-- Spans of the past for `hush-otel export`, in the columns of spans.py.

-- name: spans_of_request
-- The place columns are those of a delivery's spans: no delivery, and the row's end_seq.
SELECT {columns}, r.request_id, 0, s.end_seq
FROM hush_requests r
CROSS JOIN hush_spans s ON s.request = r.id AND s.end_seq > 0
CROSS JOIN hush_traces t ON t.id = s.trace
WHERE r.id = ?
ORDER BY s.end_seq
