-- For `status` and `prune`: the bytes of the database file, and of its free pages.
SELECT pages.page_count * sizes.page_size AS total, unused.freelist_count * sizes.page_size AS free
FROM pragma_page_count() pages, pragma_freelist_count() unused, pragma_page_size() sizes;
