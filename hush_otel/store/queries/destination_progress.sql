-- For `replay --wait`: what is not queued yet, and what a destination still has before it.
SELECT (SELECT count(*) FROM hush_requests WHERE due_at IS NOT NULL AND due_at <= :now) AS due,
       (SELECT coalesce(sum(d.span_count), 0) FROM hush_deliveries d INDEXED BY hush_deliveries_due
        WHERE d.destination = x.id AND d.state IN ('pending', 'sending', 'paused')) AS open_spans,
       x.delivered,
       x.paused
FROM hush_destinations x
WHERE x.name = :name;
