-- For lists: requests that are not complete, in no order. Whoever gets :limit of them has not got all.
SELECT id, created_at
FROM hush_requests
WHERE completed_by IS NULL
LIMIT :limit;
