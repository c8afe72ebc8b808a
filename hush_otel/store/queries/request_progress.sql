-- How far one request is: the number of the last row of it that has ended.
SELECT max_seq
FROM hush_requests
WHERE request_id = :request_id;
