-- Input, output or metadata of one span as the view has them, whole.
SELECT CASE :of WHEN 'input' THEN input_data WHEN 'output' THEN output_data ELSE metadata END AS content
FROM node_traces
WHERE id = :span;
