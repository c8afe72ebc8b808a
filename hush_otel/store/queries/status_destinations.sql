-- Each destination: why it is held, what waits for it and for how long (created_at of the oldest), what is dead.
-- tried_at: since when the oldest that was tried and waits has been there; dead_at: the first that is dead.
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
       x.accepted_at,
       o.tried_at,
       (SELECT d.created_at FROM hush_deliveries d WHERE d.id = f.first_dead) AS dead_at
FROM hush_destinations x
LEFT JOIN (
    SELECT destination, count(*) AS pending, sum(span_count) AS pending_spans, min(created_at) AS oldest_at,
           min(CASE WHEN attempts > 0 THEN created_at END) AS tried_at
    FROM hush_deliveries
    WHERE state IN ('pending', 'sending', 'paused')
    GROUP BY destination
) o ON o.destination = x.id
LEFT JOIN (
    SELECT destination, count(*) AS dead, min(id) AS first_dead
    FROM hush_deliveries
    WHERE state = 'dead'
    GROUP BY destination
) f ON f.destination = x.id
ORDER BY x.name;
