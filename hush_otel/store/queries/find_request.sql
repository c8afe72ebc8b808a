-- The request that a person means: rank 0 exact id, 1 trace id, 2 prefix (:id <= request_id < :id_end).
-- :trace_id is a BLOB of 16 bytes, or NULL when :id is no trace id.
SELECT request_id, min(rank) AS rank
FROM (
    SELECT r.request_id, 0 AS rank
    FROM hush_requests r
    WHERE r.request_id = :id
    UNION ALL
    SELECT r.request_id, 1
    FROM hush_traces t
    JOIN hush_requests r ON r.id = t.request
    WHERE t.trace_id = :trace_id
    UNION ALL
    SELECT request_id, 2
    FROM (
        SELECT r.request_id
        FROM hush_requests r
        WHERE r.request_id >= :id AND r.request_id < :id_end
        ORDER BY r.request_id
        LIMIT :limit
    )
)
GROUP BY request_id
ORDER BY rank, request_id;
