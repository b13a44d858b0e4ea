CREATE DATABASE IF NOT EXISTS `logs` ON CLUSTER `main`;

-- One row for one request. Columns, types and comments are those of
-- `canopy_batch::schema::base_columns()`; plugins add theirs at the end. The
-- choice of codecs, sorting key and partition is measured in docs/schema.md.
-- An insert is on the disk before it is answered: the ledger says `done` after
-- it, and a power cut must not leave that without the rows. It takes its time:
-- 300,000 lines of the sample traffic 4.2 s in place of 3.7 s on two cores.
CREATE TABLE IF NOT EXISTS `logs`.cloudfront_logs_local ON CLUSTER `main`
(
    timestamp DateTime64(3, 'UTC') COMMENT 'When the edge finished responding, UTC, in milliseconds.' CODEC(Delta, ZSTD(1)),
    c_ip IPv6 COMMENT 'The viewer''s IP address, or its proxy''s.' CODEC(ZSTD(3)),
    s_ip IPv6 COMMENT 'The IP address of the CloudFront server; only in real-time logs.' CODEC(ZSTD(3)),
    time_to_first_byte Float32 COMMENT 'Seconds from receiving the request to the first byte of the response.' CODEC(ZSTD(3)),
    sc_status UInt16 COMMENT 'The HTTP status returned; 0 where the viewer closed before a response.' CODEC(ZSTD(1)),
    sc_bytes UInt64 COMMENT 'Bytes sent to the viewer, headers included.' CODEC(T64, ZSTD(1)),
    cs_method LowCardinality(String) COMMENT 'The HTTP method.' CODEC(ZSTD(1)),
    cs_protocol LowCardinality(String) COMMENT 'The viewer''s protocol: http, https, grpcs, ws or wss.' CODEC(ZSTD(1)),
    cs_host LowCardinality(String) COMMENT 'The Host header the viewer sent: an alternate name or the distribution''s domain.' CODEC(ZSTD(1)),
    cs_uri_stem String COMMENT 'The path of the URL, without the query string.' CODEC(ZSTD(1)),
    cs_bytes UInt64 COMMENT 'Bytes received from the viewer, headers included.' CODEC(T64, ZSTD(1)),
    x_edge_location LowCardinality(String) COMMENT 'The edge location''s code, such as SFO53-P9.' CODEC(ZSTD(1)),
    x_edge_request_id String COMMENT 'CloudFront''s opaque, unique id of the request.' CODEC(ZSTD(1)),
    x_host_header LowCardinality(String) COMMENT 'The distribution''s domain name.' CODEC(ZSTD(1)),
    time_taken Float32 COMMENT 'Seconds from receiving the request to the last byte queued.' CODEC(ZSTD(3)),
    cs_protocol_version LowCardinality(String) COMMENT 'The HTTP version the viewer spoke.' CODEC(ZSTD(1)),
    c_ip_version LowCardinality(String) COMMENT 'IPv4 or IPv6.' CODEC(ZSTD(1)),
    cs_user_agent String COMMENT 'The User-Agent header.' CODEC(ZSTD(3)),
    cs_referer String COMMENT 'The Referer header.' CODEC(ZSTD(1)),
    cs_cookie String COMMENT 'The Cookie header, cut at 800 bytes by CloudFront.' CODEC(ZSTD(1)),
    cs_uri_query String COMMENT 'The query string, without the question mark.' CODEC(ZSTD(1)),
    x_edge_response_result_type LowCardinality(String) COMMENT 'How the response was classified just before it was sent.' CODEC(ZSTD(1)),
    x_forwarded_for String COMMENT 'The viewer''s address as reported by proxies.' CODEC(ZSTD(1)),
    ssl_protocol LowCardinality(String) COMMENT 'The TLS version; empty for plain http.' CODEC(ZSTD(1)),
    ssl_cipher LowCardinality(String) COMMENT 'The TLS cipher; empty for plain http.' CODEC(ZSTD(1)),
    x_edge_result_type LowCardinality(String) COMMENT 'How the response was classified after the last byte: Hit, RefreshHit, Miss, Error and so on.' CODEC(ZSTD(1)),
    fle_encrypted_fields Nullable(UInt16) COMMENT 'How many fields field-level encryption encrypted.' CODEC(ZSTD(1)),
    fle_status LowCardinality(String) COMMENT 'The outcome of field-level encryption.' CODEC(ZSTD(1)),
    sc_content_type LowCardinality(String) COMMENT 'The response''s Content-Type.' CODEC(ZSTD(1)),
    sc_content_len Nullable(UInt64) COMMENT 'The response''s Content-Length; null where it had none.' CODEC(T64, ZSTD(1)),
    sc_range_start Nullable(UInt64) COMMENT 'Start of the response''s Content-Range; null where it had none.' CODEC(ZSTD(1)),
    sc_range_end Nullable(UInt64) COMMENT 'End of the response''s Content-Range; null where it had none.' CODEC(ZSTD(1)),
    c_port UInt16 COMMENT 'The viewer''s port.' CODEC(ZSTD(1)),
    x_edge_detailed_result_type LowCardinality(String) COMMENT 'The result type with the detail of errors.' CODEC(ZSTD(1)),
    c_country LowCardinality(String) COMMENT 'The viewer''s country by its address, ISO 3166-1 alpha-2.' CODEC(ZSTD(1)),
    cs_accept_encoding LowCardinality(String) COMMENT 'The Accept-Encoding header.' CODEC(ZSTD(1)),
    cs_accept String COMMENT 'The Accept header.' CODEC(ZSTD(3)),
    cache_behavior_path_pattern LowCardinality(String) COMMENT 'The path pattern of the cache behavior that matched.' CODEC(ZSTD(1)),
    cs_headers String COMMENT 'The request''s headers, name:value, one a line, cut at 800 bytes by CloudFront.' CODEC(ZSTD(1)),
    cs_header_names String COMMENT 'The names of the request''s headers, one a line, cut at 800 bytes by CloudFront.' CODEC(ZSTD(3)),
    cs_headers_count UInt16 COMMENT 'How many headers the request had.' CODEC(T64, ZSTD(1)),
    primary_distribution_id LowCardinality(String) COMMENT 'The primary distribution''s id, under continuous deployment.' CODEC(ZSTD(1)),
    primary_distribution_dns_name LowCardinality(String) COMMENT 'The primary distribution''s domain, under continuous deployment.' CODEC(ZSTD(1)),
    origin_fbl Nullable(Float32) COMMENT 'Seconds from CloudFront''s request to the origin to its first byte; null where the origin was not asked.' CODEC(ZSTD(3)),
    origin_lbl Nullable(Float32) COMMENT 'Seconds from CloudFront''s request to the origin to its last byte; null where the origin was not asked.' CODEC(ZSTD(3)),
    asn UInt32 COMMENT 'The viewer''s autonomous system number; 0 where unknown.' CODEC(T64, ZSTD(1)),
    cmcd_encoded_bitrate Nullable(UInt32) COMMENT 'CMCD br: encoded bitrate, kbit/s.' CODEC(ZSTD(1)),
    cmcd_buffer_length Nullable(UInt32) COMMENT 'CMCD bl: buffer length, milliseconds.' CODEC(ZSTD(1)),
    cmcd_buffer_starvation LowCardinality(String) COMMENT 'CMCD bs: whether the buffer ran dry since the last request.' CODEC(ZSTD(1)),
    cmcd_content_id String COMMENT 'CMCD cid: the content''s id.' CODEC(ZSTD(1)),
    cmcd_object_duration Nullable(UInt32) COMMENT 'CMCD d: duration of the object, milliseconds.' CODEC(ZSTD(1)),
    cmcd_deadline Nullable(UInt32) COMMENT 'CMCD dl: deadline from the request, milliseconds.' CODEC(ZSTD(1)),
    cmcd_measured_throughput Nullable(UInt32) COMMENT 'CMCD mtp: throughput measured by the player, kbit/s.' CODEC(ZSTD(1)),
    cmcd_next_object_request String COMMENT 'CMCD nor: relative path of the next object.' CODEC(ZSTD(1)),
    cmcd_next_range_request String COMMENT 'CMCD nrr: byte range of the next request.' CODEC(ZSTD(1)),
    cmcd_object_type LowCardinality(String) COMMENT 'CMCD ot: type of the media object.' CODEC(ZSTD(1)),
    cmcd_playback_rate Nullable(Float32) COMMENT 'CMCD pr: playback rate; 1 is real time, 0 stopped.' CODEC(ZSTD(1)),
    cmcd_requested_maximum_throughput Nullable(UInt32) COMMENT 'CMCD rtp: throughput that suffices, kbit/s.' CODEC(ZSTD(1)),
    cmcd_streaming_format LowCardinality(String) COMMENT 'CMCD sf: streaming format.' CODEC(ZSTD(1)),
    cmcd_session_id String COMMENT 'CMCD sid: the playback session''s id.' CODEC(ZSTD(1)),
    cmcd_stream_type LowCardinality(String) COMMENT 'CMCD st: v for on demand, l for live.' CODEC(ZSTD(1)),
    cmcd_startup LowCardinality(String) COMMENT 'CMCD su: whether the object was needed urgently.' CODEC(ZSTD(1)),
    cmcd_top_bitrate Nullable(UInt32) COMMENT 'CMCD tb: highest bitrate the player could play, kbit/s.' CODEC(ZSTD(1)),
    cmcd_version Nullable(UInt8) COMMENT 'CMCD v: version of the specification.' CODEC(ZSTD(1)),
    r_host LowCardinality(String) COMMENT 'The origin asked; empty where none was.' CODEC(ZSTD(1)),
    sr_reason LowCardinality(String) COMMENT 'Why that origin was chosen, such as Failover:503.' CODEC(ZSTD(1)),
    x_edge_mqcs Nullable(UInt8) COMMENT 'Media quality confidence score, 0 to 100.' CODEC(ZSTD(1)),
    distribution_tenant_id LowCardinality(String) COMMENT 'The distribution tenant''s id.' CODEC(ZSTD(1)),
    connection_id String COMMENT 'The TLS connection''s id, where mutual TLS is on.' CODEC(ZSTD(1)),
    viewer_request_log_data String COMMENT 'What a CloudFront function logged on the viewer''s request, at most 800 bytes.' CODEC(ZSTD(1)),
    viewer_response_log_data String COMMENT 'What a CloudFront function logged on the response, at most 800 bytes.' CODEC(ZSTD(1)),
    sample_weight Float32 DEFAULT 1 COMMENT 'How many requests this row stands for; 1 where nothing is sampled.' CODEC(ZSTD(1)),
    INDEX by_viewer c_ip TYPE bloom_filter(0.025) GRANULARITY 4,
    INDEX by_request x_edge_request_id TYPE bloom_filter(0.025) GRANULARITY 4
)
ENGINE = ReplicatedMergeTree
PARTITION BY toDate(timestamp)
ORDER BY (cs_host, timestamp)
TTL toDateTime(timestamp) + toIntervalDay(30)
SETTINGS
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    ttl_only_drop_parts = 1;

-- The log lines as one table over the cluster. The sharding key is a value of
-- the row, never rand(): an insert that is sent again must put each row on the
-- shard that has its first copy's token.
CREATE TABLE IF NOT EXISTS `logs`.cloudfront_logs ON CLUSTER `main`
AS `logs`.cloudfront_logs_local
ENGINE = Distributed(`main`, `logs`, cloudfront_logs_local, xxHash64(x_edge_request_id));

-- What went where: one row when a chunk of a source is planned, one when it is
-- done. Only ever added to, small, and kept for ever.
CREATE TABLE IF NOT EXISTS `logs`.ledger_local ON CLUSTER `main`
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
ENGINE = ReplicatedMergeTree
ORDER BY (source, start_offset, at)
SETTINGS
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- The ledger as one table over the cluster. A source's entries stay together,
-- and a repeated insert goes where the first one went.
CREATE TABLE IF NOT EXISTS `logs`.ledger ON CLUSTER `main`
AS `logs`.ledger_local
ENGINE = Distributed(`main`, `logs`, ledger_local, xxHash64(source));
