-- The log lines as one table over the cluster. The sharding key is a value of
-- the row, never rand(): an insert that is sent again must put each row on the
-- shard that has its first copy's token.
CREATE TABLE IF NOT EXISTS {database}.cloudfront_logs{on_cluster}
AS {database}.cloudfront_logs_local
ENGINE = Distributed({cluster}, {database}, cloudfront_logs_local, xxHash64(x_edge_request_id));
