-- The newest requests, optionally of one status or workflow.
-- Walks hush_requests_created backwards and stops at :limit; a filter that matches little walks far.
-- computed_usd: how much of cost_usd a price table says.
SELECT v.*,
       (SELECT r.computed_usd FROM hush_requests r WHERE r.request_id = v.request_id) AS computed_usd
FROM requests v
WHERE (:status IS NULL OR v.status = :status)
  AND (:workflow IS NULL OR v.workflow_name = :workflow)
ORDER BY v.created_at DESC
LIMIT :limit;
