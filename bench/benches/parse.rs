//! From lines to columns, beside a pass over the same bytes that only finds
//! their tabs and line ends.

use canopy_batch::formats::Parser;
use canopy_bench::BATCH_RECORDS;
use canopy_bench::data::{Fields, lines};
use canopy_bench::paired::{Pair, criterion, measure, work};

fn main() {
    let mut criterion = criterion();
    for (name, fields) in [("parse", Fields::All), ("parse 45 fields", Fields::First45)] {
        let data = lines(fields, BATCH_RECORDS);
        let pair = Pair {
            name,
            base: "memchr",
            records: BATCH_RECORDS,
            bytes: Some(data.len()),
        };
        let mut memchr = work(data.clone(), |data| {
            memchr::memchr2_iter(b'\t', b'\n', &data).count()
        });
        let mut parser = Parser::new(fields.format(), 100.0);
        let mut parse = work(data, |data| parser.parse_lines(data, 1));
        measure(&mut criterion, pair, &mut memchr, &mut parse);
    }
    criterion.final_summary();
}
