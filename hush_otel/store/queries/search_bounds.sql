-- For the search: the lowest and the highest number of the requests begun in [:since, :before_at), and how many those
-- are. At most :limit are looked at.
SELECT min(id) AS first, max(id) AS last, count(*) AS requests
FROM (SELECT id FROM hush_requests WHERE created_at >= :since AND created_at < :before_at LIMIT :limit);
