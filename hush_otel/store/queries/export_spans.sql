-- For `export`: all rows of one request, the columns of the public view, in the order of hush_spans_request.
SELECT *
FROM spans
WHERE request_id = :request_id;
