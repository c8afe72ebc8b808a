-- One request, the columns of the public view.
SELECT *
FROM requests
WHERE request_id = :request_id;
