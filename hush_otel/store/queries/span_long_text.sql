-- One long text of one span, whole, as a JSON string.
SELECT p.json
FROM hush_span_payloads l
CROSS JOIN hush_payloads p ON p.id = l.payload
WHERE l.span = :span AND l.key = :key;
