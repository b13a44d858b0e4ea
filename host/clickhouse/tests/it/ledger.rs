//! What the ledger promises.

use canopy_clickhouse::Retries;
use canopy_clickhouse::ledger::{LedgerEntry, State, for_source, record};

use crate::harness::{database, number};

fn entry(at: i64, start: u64, state: State) -> LedgerEntry {
    LedgerEntry {
        at,
        source: "00ff".into(),
        label: "it's a \\ \"file\"\n.gz".into(),
        kind: "file".into(),
        start_offset: start,
        end_offset: start + 100,
        chain_before: "aa".into(),
        chain_after: "bb".into(),
        token: format!("t{start}"),
        state,
        records: 10,
        inserted_records: 7,
        inserted_rows: 8,
        dropped: 2,
        quarantined: 1,
        tail: start > 0,
    }
}

#[tokio::test]
async fn entries_come_back_as_they_went_in() {
    let clickhouse = database("entries_come_back_as_they_went_in").await;
    let now = 1_780_000_000_123;
    let entries = [
        entry(now, 0, State::Planned),
        entry(now + 5, 0, State::Done),
        entry(now + 6, u64::MAX / 2, State::Planned),
    ];
    let other = LedgerEntry {
        source: "ee".into(),
        ..entry(now, 0, State::Done)
    };
    record(&clickhouse, &entries[1..], Retries::default())
        .await
        .unwrap();
    record(
        &clickhouse,
        std::slice::from_ref(&other),
        Retries::default(),
    )
    .await
    .unwrap();
    record(&clickhouse, &entries[..1], Retries::default())
        .await
        .unwrap();
    assert_eq!(for_source(&clickhouse, "00ff").await.unwrap(), entries);
    assert_eq!(for_source(&clickhouse, "ee").await.unwrap(), [other]);
    assert_eq!(for_source(&clickhouse, "' OR 1 --").await.unwrap(), []);
}

#[tokio::test]
async fn an_entry_sent_twice_is_there_once() {
    let clickhouse = database("an_entry_sent_twice_is_there_once").await;
    let entries = [entry(1_780_000_000_000, 0, State::Done)];
    for _ in 0..2 {
        record(&clickhouse, &entries, Retries::default())
            .await
            .unwrap();
    }
    assert_eq!(
        number(&clickhouse, "SELECT count() AS n FROM ledger").await,
        1
    );
}
