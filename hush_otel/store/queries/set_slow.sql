-- For lists: requests that took :min_ns or more, in no order. Whoever gets :limit of them has not got all.
SELECT id, created_at
FROM hush_requests
WHERE end_ns IS NOT NULL
  AND end_ns - start_ns >= :min_ns
LIMIT :limit;
