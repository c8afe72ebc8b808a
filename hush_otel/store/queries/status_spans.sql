-- How many spans are stored: counted over hush_spans_request, the narrowest index.
SELECT count(*) AS spans
FROM hush_spans;
