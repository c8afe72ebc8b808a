-- For whoever follows: the number of the newest row.
SELECT coalesce(max(id), 0) AS id
FROM hush_spans;
