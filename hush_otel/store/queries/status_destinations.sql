-- Each destination: why it is held, what waits for it and for how long (created_at of the oldest), what is dead.
-- recovered: something was delivered after its last error. Walks back from the newest delivery, and stops there.
SELECT x.name,
       x.type,
       coalesce(x.config ->> 'endpoint', x.config ->> 'path') AS target,
       coalesce(x.config ->> 'verify' = 0, 0) AS unverified,
       x.paused,
       x.hold_until,
       x.delivered AS delivered_spans,
       x.rejected AS rejected_spans,
       x.minute,
       x.minute_spans,
       x.minute_before,
       coalesce(o.pending, 0) AS pending,
       coalesce(o.pending_spans, 0) AS pending_spans,
       o.oldest_at,
       coalesce(f.dead, 0) AS dead,
       x.last_error,
       x.last_error_at,
       CASE WHEN x.last_error_at IS NULL THEN 0 ELSE (
           SELECT count(*) FROM (
               SELECT 1 FROM hush_deliveries d NOT INDEXED
               WHERE d.destination = x.id AND d.state = 'delivered' AND d.settled_at > x.last_error_at
               ORDER BY d.id DESC LIMIT 1
           )
       ) END AS recovered
FROM hush_destinations x
LEFT JOIN (
    SELECT destination, count(*) AS pending, sum(span_count) AS pending_spans, min(created_at) AS oldest_at
    FROM hush_deliveries
    WHERE state IN ('pending', 'sending', 'paused')
    GROUP BY destination
) o ON o.destination = x.id
LEFT JOIN (
    SELECT destination, count(*) AS dead
    FROM hush_deliveries
    WHERE state = 'dead'
    GROUP BY destination
) f ON f.destination = x.id
ORDER BY x.name;
