-- The attributes of one span but for its long texts, as one JSON object; NULL when that is longer than :chars.
SELECT CASE WHEN length(attributes) <= :chars THEN attributes END AS attributes
FROM hush_spans
WHERE id = :span;
