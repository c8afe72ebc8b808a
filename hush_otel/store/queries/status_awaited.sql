-- Requests that were marked complete and of which no span has ended: how many, and when the oldest was marked.
SELECT count(*) AS requests, min(completed_at) AS oldest_at
FROM hush_requests
WHERE completed_by = 'mark' AND max_seq = 0;
