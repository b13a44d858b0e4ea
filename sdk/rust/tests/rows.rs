//! Rows in, rows out: what reaches a plugin, and what becomes of what it says.

use canopy_sdk::prelude::*;
use canopy_sdk::serde_json::Value;

#[derive(Clone, Copy, Input)]
struct Everything<'a> {
    text: &'a str,
    maybe_text: Option<&'a str>,
    int: i64,
    maybe_int: Option<i64>,
    float: f64,
    maybe_float: Option<f64>,
    time: Millis,
    maybe_time: Option<Millis>,
    flag: bool,
    maybe_flag: Option<bool>,
}

/// One column of each type.
#[derive(Output)]
struct Copies {
    /// Text.
    text: Text,
    /// Nullable text.
    maybe_text: Nullable<Text>,
    /// Int.
    int: Int,
    /// Nullable int.
    maybe_int: Nullable<Int>,
    /// Float.
    float: Float,
    /// Nullable float.
    maybe_float: Nullable<Float>,
    /// Time.
    time: Timestamp,
    /// Nullable time.
    maybe_time: Nullable<Timestamp>,
    /// Flag.
    flag: Boolean,
    /// Nullable flag.
    maybe_flag: Nullable<Boolean>,
}

struct Copy;

impl Plugin for Copy {
    type Config = NoConfig;
    type Input<'a> = Everything<'a>;
    type Output = Copies;

    fn new(_: NoConfig, _: &Data) -> Result<Self, Error> {
        Ok(Copy)
    }

    fn row(&mut self, input: Everything<'_>, row: &mut Row<Copies>) -> RowResult {
        row.text.set(input.text);
        row.maybe_text.set(input.maybe_text);
        row.int.set(input.int);
        row.maybe_int.set(input.maybe_int);
        row.float.set(input.float);
        row.maybe_float.set(input.maybe_float);
        row.time.set(input.time);
        row.maybe_time.set(input.maybe_time);
        row.flag.set(input.flag);
        row.maybe_flag.set(input.maybe_flag);
        Ok(Verdict::Keep)
    }
}

canopy_sdk::export!(Copy);

fn full() -> Value {
    json!({
        "text": "größe", "maybe_text": "", "int": i64::MIN, "maybe_int": 0,
        "float": -0.5, "maybe_float": 1.0, "time": 1_764_000_000_000_i64, "maybe_time": -1,
        "flag": true, "maybe_flag": false,
    })
}

fn empty() -> Value {
    json!({
        "text": "", "maybe_text": null, "int": 0, "maybe_int": null,
        "float": 0.0, "maybe_float": null, "time": 0, "maybe_time": null,
        "flag": false, "maybe_flag": null,
    })
}

#[test]
fn every_kind_goes_through_unchanged() {
    let rows = json!([full(), full()]);
    assert_eq!(Harness::<Copy>::default().run(rows.clone()).rows, rows);
}

#[test]
fn a_null_is_none_or_the_types_empty() {
    // Nulls before, between and after values, across a byte of the bitmap.
    let rows: Value = (0..20)
        .map(|index| if index % 3 == 1 { full() } else { json!({}) })
        .collect();
    let expected: Value = (0..20)
        .map(|index| if index % 3 == 1 { full() } else { empty() })
        .collect();
    assert_eq!(Harness::<Copy>::default().run(rows).rows, expected);
}

#[test]
fn a_plugin_starts_over_with_each_batch() {
    let mut copy = Harness::<Copy>::default();
    for _ in 0..3 {
        let made = copy.run(json!([full(), {}]));
        assert_eq!(made.rows, json!([full(), empty()]));
        assert_eq!(made.sources, [0, 1]);
    }
}

/// Does what `action` says.
struct Obey;

#[derive(Input)]
struct Order<'a> {
    action: &'a str,
}

#[derive(Output)]
struct Done {
    /// What was done.
    done: Text,
    /// How often it was done for this row.
    times: Nullable<Int>,
}

impl Plugin for Obey {
    type Config = NoConfig;
    type Input<'a> = Order<'a>;
    type Output = Done;

    fn new(_: NoConfig, _: &Data) -> Result<Self, Error> {
        Ok(Obey)
    }

    fn row(&mut self, order: Order<'_>, row: &mut Row<Done>) -> RowResult {
        row.done.set(order.action);
        match order.action {
            "drop" => Ok(Verdict::Drop),
            "twice" => {
                row.times.set(1);
                row.emit();
                row.done.set(order.action);
                row.times.set(2);
                Ok(Verdict::Keep)
            }
            "emit, then drop" => {
                row.emit();
                row.done.set("never seen");
                Ok(Verdict::Drop)
            }
            "emit, then fail" => {
                row.emit();
                Err(Reject::new("changed my mind"))
            }
            "leave empty" => {
                row.done.clear();
                Ok(Verdict::Keep)
            }
            "keep" => Ok(Verdict::Keep),
            number => {
                let number: i64 = number.parse()?;
                row.times.set(number);
                Ok(Verdict::Keep)
            }
        }
    }
}

canopy_sdk::export!(Obey);

fn obey(actions: &[&str]) -> canopy_sdk::testing::Made {
    let rows = actions
        .iter()
        .map(|action| json!({ "action": action }))
        .collect();
    Harness::<Obey>::default().run(rows)
}

fn done(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().expect("rows are an array");
    rows.iter().filter_map(|row| row["done"].as_str()).collect()
}

#[test]
fn rows_are_kept_dropped_and_doubled() {
    let made = obey(&["keep", "drop", "twice", "emit, then drop", "leave empty"]);
    assert_eq!(
        done(&made.rows),
        ["keep", "twice", "twice", "emit, then drop", ""]
    );
    assert_eq!(made.sources, [0, 2, 2, 3, 4]);
    assert_eq!(made.rows[1]["times"], 1);
    assert_eq!(made.rows[2]["times"], 2);
    assert_eq!(made.rows[3]["times"], Value::Null);
    assert_eq!(made.rejected, []);
}

#[test]
fn any_error_rejects_its_row_and_no_other() {
    let made = obey(&["keep", "seven", "8"]);
    assert_eq!(made.sources, [0, 2]);
    assert_eq!(done(&made.rows), ["keep", "8"]);
    assert_eq!(made.rows[1]["times"], 8);
    assert_eq!(
        made.rejected,
        [(1, "invalid digit found in string".to_owned())]
    );
}

#[test]
fn a_rejected_row_takes_back_what_it_emitted() {
    for before in ["keep", "drop", "twice"] {
        let made = obey(&[before, "emit, then fail", "keep"]);
        assert!(!done(&made.rows).contains(&"emit, then fail"), "{made:?}");
        assert_eq!(made.rejected, [(1, "changed my mind".to_owned())]);
        assert_eq!(made.sources.last(), Some(&2));
    }
}

#[test]
fn a_rejected_row_is_no_source_of_rows_once_others_are_dropped_or_doubled() {
    for (later, sources) in [
        ("drop", vec![1, 4]),
        ("twice", vec![1, 3, 3, 4]),
        ("emit, then drop", vec![1, 3, 4]),
        ("emit, then fail", vec![1, 4]),
    ] {
        let made = obey(&["seven", "5", "emit, then fail", later, "9"]);
        assert_eq!(made.sources, sources, "{later}");
        let rows = made.rows.as_array().expect("rows are an array");
        assert_eq!(rows.len(), sources.len(), "{later}");
        assert_eq!(rows[0], json!({ "done": "5", "times": 5 }));
        assert_eq!(rows[rows.len() - 1], json!({ "done": "9", "times": 9 }));
        assert_eq!(made.rejected[0].0, 0);
        assert_eq!(made.rejected[1].0, 2);
    }
}

#[test]
fn every_kind_of_column_leaves_rejected_rows_out() {
    /// Copies a row, rejects one without an int, drops one without a float.
    struct Choose;

    impl Plugin for Choose {
        type Config = NoConfig;
        type Input<'a> = Everything<'a>;
        type Output = Copies;

        fn new(_: NoConfig, _: &Data) -> Result<Self, Error> {
            Ok(Choose)
        }

        fn row(&mut self, input: Everything<'_>, row: &mut Row<Copies>) -> RowResult {
            Copy.row(input, row)?;
            match (input.maybe_int, input.maybe_float) {
                (None, _) => Err(Reject::new("there is no int")),
                (_, None) => Ok(Verdict::Drop),
                _ => Ok(Verdict::Keep),
            }
        }
    }

    let kept = |text: &str, int: i64| {
        let mut row = full();
        row["text"] = text.into();
        row["int"] = int.into();
        row["flag"] = (int % 2 == 0).into();
        row["maybe_text"] = Value::Null;
        row
    };
    let mut rows = vec![json!({}), kept("one", 1), json!({}), json!({})];
    rows.extend((0..12).map(|index| kept("more", index)));
    rows.push(json!({ "maybe_int": 1 }));
    rows.push(kept("last", 4));
    let expected: Value = rows
        .iter()
        .filter(|row| row.get("text").is_some())
        .cloned()
        .collect();
    let made = Harness::<Choose>::default().run(Value::Array(rows));
    assert_eq!(made.rows, expected);
}

#[test]
fn all_rows_may_be_dropped() {
    let made = obey(&["drop", "drop"]);
    assert_eq!((made.rows, made.sources), (json!([]), vec![]));
}

/// Reads and makes the columns that the configuration names.
struct Renamed {
    config: RenamedConfig,
}

#[config]
#[derive(Clone)]
struct RenamedConfig {
    /// The columns to turn to lower case.
    columns: Vec<String>,
    /// What the length is called.
    length_column: Option<String>,
}

#[derive(Input)]
struct Columns<'a> {
    texts: TextList<'a>,
    #[canopy(rename = "cs_host")]
    host: &'a str,
    unread: Option<i64>,
}

#[derive(Output)]
struct Lowered {
    /// Lower case.
    texts: Texts,
    /// How long the host is.
    length: Int,
    /// Whether there was a number.
    #[canopy(rename = "was_there")]
    there: Boolean,
}

impl Plugin for Renamed {
    type Config = RenamedConfig;
    type Input<'a> = Columns<'a>;
    type Output = Lowered;

    fn new(config: RenamedConfig, _: &Data) -> Result<Self, Error> {
        Ok(Renamed { config })
    }

    fn columns(&self, schema: &mut Schema) {
        schema.input_list("texts", &self.config.columns);
        schema.output_list("texts", &self.config.columns);
        schema.leave_out_input("unread");
        match &self.config.length_column {
            Some(name) => schema.rename_output("length", name),
            None => schema.leave_out_output("length"),
        }
    }

    fn row(&mut self, input: Columns<'_>, row: &mut Row<Lowered>) -> RowResult {
        for (index, text) in input.texts.iter().enumerate() {
            if let Some(text) = text {
                row.texts.at(index).set(text.to_lowercase().as_str());
            }
        }
        row.length.set(input.host.len() as i64);
        row.there.set(input.unread.is_some());
        Ok(Verdict::Keep)
    }
}

canopy_sdk::export!(Renamed);

#[test]
fn columns_follow_from_the_configuration() {
    let mut renamed = Harness::<Renamed>::new(json!({
        "columns": ["a", "b"], "length-column": "host_length",
    }));
    let schema = renamed.configure().expect("it is a good configuration");
    let names: Vec<&str> = schema.inputs().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "cs_host"]);
    let names: Vec<&str> = schema.outputs().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "host_length", "was_there"]);
    let made = renamed.run(json!([{ "a": "X", "cs_host": "abc" }, { "b": "ÄÖ" }]));
    assert_eq!(
        made.rows,
        json!([
            { "a": "x", "b": null, "host_length": 3, "was_there": false },
            { "a": null, "b": "äö", "host_length": 0, "was_there": false },
        ])
    );
}

#[test]
fn a_column_left_out_is_neither_asked_for_nor_made() {
    let mut renamed = Harness::<Renamed>::new(json!({ "columns": [] }));
    let made = renamed.run(json!([{ "cs_host": "abc" }]));
    assert_eq!(made.rows, json!([{ "was_there": false }]));
}

#[test]
fn a_column_made_twice_is_a_wrong_configuration() {
    let mut renamed = Harness::<Renamed>::new(json!({ "columns": ["was_there"] }));
    let error = renamed.configure().map(|_| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`was_there` would be made twice"),
        "{error}"
    );
}

#[test]
fn the_schema_has_the_comments_and_refuses_unknown_keys() {
    let schema = Harness::<Renamed>::new(json!({})).config_schema();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    let column = &schema["properties"]["length-column"];
    assert_eq!(column["description"], "What the length is called.");
}
