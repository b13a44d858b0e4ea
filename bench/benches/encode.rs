//! From columns to the body of an insert, beside a copy of that body.

use canopy_bench::BATCH_RECORDS;
use canopy_bench::data::{Fields, lines, parse};
use canopy_bench::paired::{Pair, criterion, measure, work};
use canopy_clickhouse::encode;
// What the client compresses each piece of a body with; there is no public way.
use clickhouse::_priv::lz4_compress;

/// The piece that the sink compresses and sends at a time.
const PIECE_BYTES: usize = 1 << 20;

fn main() {
    let mut criterion = criterion();
    let batch = parse(Fields::All, lines(Fields::All, BATCH_RECORDS));
    let body = encode(&batch).expect("the batch can be encoded");
    let mut copy = vec![0; body.len()];
    let mut memcpy = work((), |()| copy.copy_from_slice(&body));
    let pair = Pair {
        name: "encode",
        base: "memcpy",
        records: BATCH_RECORDS,
        bytes: Some(body.len()),
    };
    let mut plain = work(batch.clone(), |batch| encode(&batch));
    measure(&mut criterion, pair, &mut memcpy, &mut plain);

    let mut compressed = work(batch, |batch| {
        let body = encode(&batch).expect("the batch can be encoded");
        let pieces: Vec<_> = body.chunks(PIECE_BYTES).map(lz4_compress).collect();
        pieces
    });
    let pair = Pair {
        name: "encode and LZ4",
        ..pair
    };
    measure(&mut criterion, pair, &mut memcpy, &mut compressed);
    criterion.final_summary();
}
