-- For whoever follows: changes when another connection has committed something.
SELECT data_version FROM pragma_data_version();
