//! The golden signals of what is stored, asked in SQL.

use std::fmt::Write;

use anyhow::{Context, Result};
use canopy_clickhouse::ClickHouse;
use serde::Deserialize;

use crate::text;

#[derive(Debug, Deserialize)]
struct Signals {
    since: String,
    until: String,
    requests: f64,
    errors_4xx: f64,
    errors_5xx: f64,
    hits: f64,
    cacheable: f64,
    bytes: f64,
    taken: [f64; 3],
    first_byte: [f64; 3],
}

/// Counts are weighed by the sampling rate. A hit is what CloudFront answered
/// from a cache; redirects and refusals by limits are not counted either way.
const SIGNALS: &str = "
SELECT
    toString(min(timestamp)) AS since,
    toString(max(timestamp)) AS until,
    toFloat64(sum(sample_weight)) AS requests,
    toFloat64(sumIf(sample_weight, sc_status >= 400 AND sc_status < 500)) AS errors_4xx,
    toFloat64(sumIf(sample_weight, sc_status >= 500)) AS errors_5xx,
    toFloat64(sumIf(sample_weight, x_edge_result_type IN ('Hit', 'RefreshHit')
        OR x_edge_detailed_result_type = 'OriginShieldHit')) AS hits,
    toFloat64(sumIf(sample_weight, x_edge_result_type NOT IN
        ('Redirect', 'LimitExceeded', 'CapacityExceeded'))) AS cacheable,
    toFloat64(sum(sc_bytes * sample_weight)) AS bytes,
    arrayMap(x -> toFloat64(x), quantiles(0.5, 0.95, 0.99)(time_taken)) AS taken,
    arrayMap(x -> toFloat64(x), quantiles(0.5, 0.95, 0.99)(time_to_first_byte)) AS first_byte
FROM cloudfront_logs";

#[derive(Debug, Deserialize)]
struct Path {
    path: String,
    requests: f64,
    share_5xx: f64,
    p95: f64,
    bytes: f64,
}

/// How many paths are shown.
const TOP: usize = 8;

/// Returns requests, error rates, hit ratio, latencies and the paths asked
/// for most, over everything stored.
pub(crate) async fn golden(clickhouse: &ClickHouse) -> Result<String> {
    let signals: Vec<Signals> = clickhouse
        .query_rows(SIGNALS)
        .await
        .context("cannot ask for the golden signals")?;
    let Some(signals) = signals.first().filter(|signals| signals.requests > 0.0) else {
        return Ok("nothing is stored yet\n".to_owned());
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "requests              {:>12}   {} to {} UTC, {} sent",
        text::count(signals.requests as u64),
        signals.since,
        signals.until,
        text::bytes(signals.bytes as u64),
    );
    let _ = writeln!(
        out,
        "errors                {:>12}   5xx; {} 4xx",
        text::percent(signals.errors_5xx, signals.requests),
        text::percent(signals.errors_4xx, signals.requests),
    );
    let _ = writeln!(
        out,
        "cache hits            {:>12}",
        text::percent(signals.hits, signals.cacheable),
    );
    let latency = |name: &str, [p50, p95, p99]: [f64; 3]| {
        vec![
            name.to_owned(),
            format!("{p50:.3} s"),
            format!("{p95:.3} s"),
            format!("{p99:.3} s"),
        ]
    };
    out.push_str(&text::table(
        &["latency", "p50", "p95", "p99"],
        &[
            latency("time taken", signals.taken),
            latency("time to first byte", signals.first_byte),
        ],
        &[1, 2, 3],
    ));
    out.push_str("\n\n");
    out.push_str(&worst_minutes(clickhouse).await?);
    out.push('\n');
    out.push_str(&top_paths(clickhouse).await?);
    Ok(out)
}

#[derive(Debug, Deserialize)]
struct Minute {
    what: String,
    minute: String,
    then: f64,
    usual: f64,
}

/// One minute each: that with the most requests, the most 5xx, the fewest
/// hits, the slowest answers, beside the median of all minutes. Minutes with
/// under a tenth of the usual requests say nothing and are left out.
const WORST: &str = "
WITH minutes AS (
    SELECT
        toStartOfMinute(timestamp) AS minute,
        toFloat64(sum(sample_weight)) AS requests,
        sumIf(sample_weight, sc_status >= 500) / requests AS errors,
        sumIf(sample_weight, x_edge_result_type IN ('Hit', 'RefreshHit')
            OR x_edge_detailed_result_type = 'OriginShieldHit') / requests AS hits,
        toFloat64(quantile(0.95)(time_taken)) AS slow
    FROM cloudfront_logs GROUP BY minute
), told AS (
    SELECT * FROM minutes WHERE requests >= 0.1 * (SELECT median(requests) FROM minutes)
)
SELECT what, minute, then, usual FROM (
    SELECT 'most requests' AS what, toString(argMax(minute, requests)) AS minute, max(requests) AS then, median(requests) AS usual, 1 AS place FROM told
    UNION ALL SELECT 'most 5xx', toString(argMax(minute, errors)), max(errors), median(errors), 2 FROM told
    UNION ALL SELECT 'fewest cache hits', toString(argMin(minute, hits)), min(hits), median(hits), 3 FROM told
    UNION ALL SELECT 'slowest (p95)', toString(argMax(minute, slow)), max(slow), median(slow), 4 FROM told
) ORDER BY place";

/// What stands out: an incident shows here.
async fn worst_minutes(clickhouse: &ClickHouse) -> Result<String> {
    let minutes: Vec<Minute> = clickhouse
        .query_rows(WORST)
        .await
        .context("cannot ask for the worst minutes")?;
    let number = |what: &str, value: f64| match what {
        "most requests" => text::count(value as u64),
        "slowest (p95)" => format!("{value:.3} s"),
        _ => text::percent(value, 1.0),
    };
    let rows: Vec<Vec<String>> = minutes
        .iter()
        .map(|row| {
            vec![
                row.what.clone(),
                row.minute.clone(),
                number(&row.what, row.then),
                number(&row.what, row.usual),
            ]
        })
        .collect();
    Ok(format!(
        "{}\n",
        text::table(&["worst minute", "UTC", "then", "usually"], &rows, &[2, 3])
    ))
}

/// The paths asked for most: by template where `normalize-path` makes it.
async fn top_paths(clickhouse: &ClickHouse) -> Result<String> {
    #[derive(Deserialize)]
    struct Found {
        found: u8,
    }
    let found: Vec<Found> = clickhouse
        .query_rows(
            "SELECT toUInt8(count() > 0) AS found FROM system.columns
             WHERE database = currentDatabase() AND table = 'cloudfront_logs' AND name = 'path_template'",
        )
        .await
        .context("cannot ask for the table's columns")?;
    let path = if found.first().is_some_and(|row| row.found == 1) {
        "if(ifNull(path_template, '') = '', cs_uri_stem, ifNull(path_template, ''))"
    } else {
        "cs_uri_stem"
    };
    let paths: Vec<Path> = clickhouse
        .query_rows(&format!(
            "SELECT toString({path}) AS path,
                    toFloat64(sum(sample_weight)) AS requests,
                    toFloat64(sumIf(sample_weight, sc_status >= 500) / requests) AS share_5xx,
                    toFloat64(quantile(0.95)(time_taken)) AS p95,
                    toFloat64(sum(sc_bytes * sample_weight)) AS bytes
             FROM cloudfront_logs GROUP BY path ORDER BY requests DESC, path LIMIT {TOP}"
        ))
        .await
        .context("cannot ask for the top paths")?;
    let rows: Vec<Vec<String>> = paths
        .iter()
        .map(|row| {
            vec![
                text::printable(&row.path),
                text::count(row.requests as u64),
                text::percent(row.share_5xx, 1.0),
                format!("{:.3} s", row.p95),
                text::bytes(row.bytes as u64),
            ]
        })
        .collect();
    Ok(format!(
        "{}\n",
        text::table(
            &["path", "requests", "5xx", "p95", "bytes"],
            &rows,
            &[1, 2, 3, 4]
        )
    ))
}
