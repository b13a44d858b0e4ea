-- The ledger as one table over the cluster. A source's entries stay together,
-- and a repeated insert goes where the first one went.
CREATE TABLE IF NOT EXISTS {database}.ledger{on_cluster}
AS {database}.ledger_local
ENGINE = Distributed({cluster}, {database}, ledger_local, xxHash64(source));
