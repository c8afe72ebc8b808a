-- Deliveries by state, in one pass without a sort.
SELECT coalesce(sum(state = 'pending'), 0) AS pending,
       coalesce(sum(state = 'sending'), 0) AS sending,
       coalesce(sum(state = 'delivered'), 0) AS delivered,
       coalesce(sum(state = 'paused'), 0) AS paused,
       coalesce(sum(state = 'dead'), 0) AS dead
FROM hush_deliveries;
