-- The links of one span, their attributes cut to :chars characters.
SELECT value ->> 'trace_id' AS trace_id,
       value ->> 'span_id' AS span_id,
       substr(value -> 'attributes', 1, :chars) AS attributes,
       length(value -> 'attributes') AS size
FROM hush_spans s
CROSS JOIN json_each(s.links)
WHERE s.id = :span
LIMIT :limit;
