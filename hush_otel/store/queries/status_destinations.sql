-- Each destination: why it is held, what waits for it and for how long (created_at of the oldest).
SELECT x.name,
       x.type,
       x.paused,
       x.hold_until,
       x.delivered AS delivered_spans,
       x.rejected AS rejected_spans,
       coalesce(o.pending, 0) AS pending,
       o.oldest_at,
       x.last_error,
       x.last_error_at
FROM hush_destinations x
LEFT JOIN (
    SELECT destination, count(*) AS pending, min(created_at) AS oldest_at
    FROM hush_deliveries
    WHERE state IN ('pending', 'sending', 'paused')
    GROUP BY destination
) o ON o.destination = x.id
ORDER BY x.name;
