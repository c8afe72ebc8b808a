-- The events of one span, their attributes cut to :chars characters.
SELECT value ->> 'name' AS name,
       value ->> 'time_ns' AS time_ns,
       substr(value -> 'attributes', 1, :chars) AS attributes,
       length(value -> 'attributes') AS size
FROM hush_spans s
CROSS JOIN json_each(s.events)
WHERE s.id = :span
LIMIT :limit;
