-- For metrics: each destination's spans by what became of them, and where it is.
SELECT x.name,
       x.type,
       x.config ->> 'protocol' AS protocol,
       x.config ->> 'endpoint' AS endpoint,
       x.delivered,
       x.rejected,
       (SELECT coalesce(sum(d.span_count), 0) FROM hush_deliveries d
        WHERE d.destination = x.id AND d.state IN ('pending', 'sending', 'paused')) AS open,
       (SELECT coalesce(sum(d.span_count), 0) FROM hush_deliveries d
        WHERE d.destination = x.id AND d.state = 'dead') AS dead
FROM hush_destinations x
ORDER BY x.name;
