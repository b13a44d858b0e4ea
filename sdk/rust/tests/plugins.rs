//! What a plugin declares, logs, counts and is given.

use canopy_sdk::prelude::*;
use canopy_sdk::{Error, Package};

#[derive(Output)]
struct Label {
    /// The first label
    /// of the host.
    #[canopy(low_cardinality)]
    label: Text,
}

/// Finds the first label.
#[plugin(per_distinct)]
fn first_label(cs_host: &str, row: &mut Row<Label>) -> Result<(), &'static str> {
    let (label, _) = cs_host.split_once('.').ok_or("the host has no dot")?;
    row.label.set(label);
    Ok(())
}

#[test]
fn a_function_is_a_whole_plugin() {
    let made = Harness::<FirstLabel>::default()
        .run(json!([{ "cs_host": "www.example.com" }, { "cs_host": "localhost" }]));
    assert_eq!(made.rows, json!([{ "label": "www" }]));
    assert_eq!(made.rejected, [(1, "the host has no dot".to_owned())]);
}

#[test]
fn a_function_declares_what_it_says() {
    assert_eq!(FirstLabel::NAME, "canopy-sdk");
    assert_eq!(FirstLabel::VERSION, env!("CARGO_PKG_VERSION"));
    assert_eq!(FirstLabel::SUMMARY, "Finds the first label.");
    assert_eq!(FirstLabel::PURITY, Purity::PerDistinct);
    let mut plugin = Harness::<FirstLabel>::default();
    let schema = plugin.configure().expect("there is nothing to configure");
    let (name, field) = schema.outputs().next().expect("there is one column");
    assert_eq!(name, "label");
    assert_eq!(field.doc, "The first label of the host.");
    assert!(field.low_cardinality && !field.nullable);
}

/// Drops rows although it says that it never does.
#[plugin(per_distinct)]
fn liar(sc_status: Option<i64>, _row: &mut Row<NoOutput>) -> Verdict {
    match sc_status {
        Some(_) => Verdict::Keep,
        None => Verdict::Drop,
    }
}

#[test]
fn a_per_distinct_plugin_may_not_drop_rows() {
    let run = || Harness::<Liar>::default().run(json!([{}]));
    let panic = std::panic::catch_unwind(run).unwrap_err();
    let message = panic.downcast_ref::<String>().expect("a formatted panic");
    assert!(message.contains("must neither drop nor emit"), "{message}");
}

/// Wants a data file.
struct Wordy {
    words: String,
    extra: Option<Vec<u8>>,
}

#[derive(Input)]
struct Nothing {}

impl Plugin for Wordy {
    type Config = NoConfig;
    type Input<'a> = Nothing;
    type Output = NoOutput;

    const DATA: &'static [DataFile] = &[
        DataFile::required("words", "The words to say."),
        DataFile::optional("extra", "More of them."),
    ];

    fn new(_: NoConfig, data: &Data) -> Result<Self, Error> {
        let words =
            String::from_utf8(data.read("words")?).map_err(|error| Error::data("words", error))?;
        let extra = data.read_optional("extra")?;
        Ok(Wordy { words, extra })
    }

    fn row(&mut self, _: Nothing, _: &mut Row<NoOutput>) -> RowResult {
        log(
            Level::Info,
            format_args!("{}, {:?}", self.words, self.extra),
        );
        count("words_said", 2);
        Ok(Verdict::Keep)
    }
}

canopy_sdk::export!(Wordy, name = "wordy", summary = "Says words.");

#[test]
fn a_test_gives_data_and_sees_log_and_counters() {
    let mut wordy = Harness::<Wordy>::default().with_data("words", "hello");
    let made = wordy.run(json!([{}, {}]));
    assert_eq!(made.rows, json!([{}, {}]));
    assert_eq!(made.log[1], (Level::Info, "hello, None".to_owned()));
    assert_eq!(made.counters["words_said"], 4);
    assert_eq!(wordy.run(json!([{}])).counters["words_said"], 2);
}

#[test]
fn a_missing_or_damaged_data_file_is_named() {
    let error = Harness::<Wordy>::default()
        .configure()
        .map(|_| ())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "data file `words`: no file is given for it"
    );
    let mut damaged = Harness::<Wordy>::default().with_data("words", [0xff]);
    let error = damaged.configure().map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Data { name, .. } if name == "words"));
}

#[test]
#[should_panic(expected = "row 0: the plugin does not read `cs_hots`")]
fn a_misspelled_column_in_a_test_is_found() {
    Harness::<FirstLabel>::default().run(json!([{ "cs_hots": "a.b" }]));
}
