-- For `audit`: each destination's spans, asked for and by what became of them. asked, delivered and rejected are
-- counted when it happens; what is open or dead is summed over its deliveries.
SELECT x.name,
       x.asked,
       x.delivered,
       x.rejected,
       coalesce(o.pending, 0) AS pending,
       coalesce(o.sending, 0) AS sending,
       coalesce(o.paused, 0) AS paused,
       coalesce(f.dead, 0) AS dead,
       x.pruned
FROM hush_destinations x
LEFT JOIN (
    SELECT destination,
           sum(iif(state = 'pending', span_count, 0)) AS pending,
           sum(iif(state = 'sending', span_count, 0)) AS sending,
           sum(iif(state = 'paused', span_count, 0)) AS paused
    FROM hush_deliveries
    WHERE state IN ('pending', 'sending', 'paused')
    GROUP BY destination
) o ON o.destination = x.id
LEFT JOIN (
    SELECT destination, sum(span_count) AS dead
    FROM hush_deliveries
    WHERE state = 'dead'
    GROUP BY destination
) f ON f.destination = x.id
ORDER BY x.name;
