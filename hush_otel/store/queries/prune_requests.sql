-- For `prune`: one page of requests in the order in which they came, after (:after_at, :after_id), and what each is
-- kept for: 0 nothing, 1 some destination has not accepted all of it, 2 it is not complete or is being sent.
SELECT v.id, v.created_at, v.last_at, v.workflow_name, v.node_count, v.kept
FROM hush_prunable v
WHERE (v.created_at, v.id) > (:after_at, :after_id)
ORDER BY v.created_at, v.id
LIMIT :limit;
