-- For `export`: the columns of a view, for files that begin with them.
SELECT name
FROM pragma_table_info(:view);
