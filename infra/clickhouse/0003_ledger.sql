-- What went where: one row when a chunk of a source is planned, one when it is
-- done. Only ever added to, small, and kept for ever.
CREATE TABLE IF NOT EXISTS {database}.ledger{local}{on_cluster}
(
    at DateTime64(3, 'UTC') COMMENT 'When it was entered, UTC, in milliseconds.',
    source String COMMENT 'The identity of the source''s content, in hex.',
    label String COMMENT 'What to call the source: a file''s name.',
    kind LowCardinality(String) COMMENT 'What kind of source: file, stdin and so on.',
    start_offset UInt64 COMMENT 'Where in the source the chunk begins, in bytes.',
    end_offset UInt64 COMMENT 'Where it ends, in bytes, exclusive.',
    chain_before String COMMENT 'The hash chain over the source up to start_offset, in hex.',
    chain_after String COMMENT 'The hash chain over the source up to end_offset, in hex.',
    token String COMMENT 'The token under which the chunk is inserted.',
    state LowCardinality(String) COMMENT 'planned: about to be inserted. done: inserted, and the counts are final.',
    records UInt64 COMMENT 'How many records the chunk has: inserted_records + dropped + quarantined, once done.',
    inserted_records UInt64 COMMENT 'How many of them have rows in cloudfront_logs.',
    inserted_rows UInt64 COMMENT 'How many rows those are.',
    dropped UInt64 COMMENT 'How many records plugins dropped on purpose.',
    quarantined UInt64 COMMENT 'How many records were set aside.',
    tail Bool COMMENT 'Whether the source ended here, perhaps in the middle of a line.'
)
ENGINE = {engine}
ORDER BY (source, start_offset, at)
SETTINGS
    {deduplication},
    fsync_after_insert = 1,
    fsync_part_directory = 1;
