-- The long texts of one span, which lie apart: each a JSON string, cut to :chars characters, and how many it has.
SELECT l.key, 'text' AS type, substr(p.json, 1, :chars) AS json, length(p.json) AS size
FROM hush_span_payloads l
CROSS JOIN hush_payloads p ON p.id = l.payload
WHERE l.span = :span
LIMIT :limit;
