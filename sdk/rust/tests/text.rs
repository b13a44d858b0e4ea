//! Writing a text in place.

use canopy_sdk::prelude::*;

#[derive(Output)]
struct Host {
    /// The host, cut.
    cut: Text,
}

/// Cuts the host.
#[plugin]
fn cut(cs_host: &str, sc_bytes: i64, row: &mut Row<Host>) {
    row.cut.set(cs_host);
    row.cut
        .truncate(usize::try_from(sc_bytes).unwrap_or(usize::MAX));
}

#[test]
fn a_text_is_cut_to_no_more_than_it_has_and_the_row_before_it_stays() {
    let made = Harness::<Cut>::default().run(json!([
        { "cs_host": "first", "sc_bytes": 3 },
        { "cs_host": "second", "sc_bytes": 100 },
        { "cs_host": "third", "sc_bytes": -1 },
    ]));
    assert_eq!(
        made.rows,
        json!([{ "cut": "fir" }, { "cut": "second" }, { "cut": "third" }])
    );
}
