-- For `export`: all rows of one request, the columns of the public view, running ones first, then as they ended.
SELECT n.*
FROM hush_requests q
CROSS JOIN hush_spans s ON s.request = q.id
CROSS JOIN node_traces n ON n.id = s.id
WHERE q.request_id = :request_id
ORDER BY s.end_seq;
