-- The newest requests, optionally of one status or workflow.
-- Walks hush_requests_created backwards and stops at :limit; a filter that matches little walks far.
SELECT *
FROM requests
WHERE (:status IS NULL OR status = :status)
  AND (:workflow IS NULL OR workflow_name = :workflow)
ORDER BY created_at DESC
LIMIT :limit;
