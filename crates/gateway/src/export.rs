//! Latest values, for Prometheus and whatever reads OpenMetrics.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use rollup::{Decimal, SeriesKey};
use store::Kind;

use crate::auth::Caller;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;

/// How many metrics one read of the store names.
const PAGE: u32 = 500;

/// The latest value of every series of every metric, as OpenMetrics.
///
/// Each is the newest bucket with data, a day long or as long as the metric's resolution. A series that has none in
/// the 30 days up to the metric's newest bucket is left out, and so is a member of levels that the last sync did not
/// have. Names are `tidemark_metric_<name>`.
#[utoipa::path(get, path = "/api/v1/export/openmetrics", tag = "series",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn openmetrics(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let mut text = String::new();
    let mut after: Option<String> = None;
    loop {
        let page = gateway
            .store()
            .definitions(
                &caller.workspace,
                Kind::Metric,
                after.as_deref(),
                PAGE,
                None,
            )
            .await?;
        let full = page.len() == PAGE as usize;
        after = page.last().map(|stored| stored.name.clone());
        for stored in page {
            let latest = gateway
                .series()
                .latest(&gateway, &caller.workspace, &stored.name)
                .await;
            match latest {
                Ok((title, values)) => {
                    write_family(&mut text, &stored.name, title.as_deref(), &values);
                }
                // A metric deleted meanwhile, or one whose values have no common step, is no reason
                // to leave out the others.
                Err(problem) if problem.status().is_client_error() => {}
                Err(problem) => return Err(problem),
            }
        }
        if !full {
            break;
        }
    }
    text.push_str("# EOF\n");
    let kind = [(
        CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    Ok((kind, text).into_response())
}

fn write_family(
    text: &mut String,
    name: &str,
    title: Option<&str>,
    values: &[(SeriesKey, Decimal)],
) {
    if values.is_empty() {
        return;
    }
    // Writing to a String does not fail.
    let _ = writeln!(text, "# TYPE tidemark_metric_{name} gauge");
    if let Some(title) = title {
        let _ = writeln!(text, "# HELP tidemark_metric_{name} {}", escaped(title));
    }
    for (key, value) in values {
        let _ = write!(text, "tidemark_metric_{name}");
        let mut mark = '{';
        for (label, member) in &key.dimensions {
            let _ = write!(text, "{mark}{label}=\"{}\"", escaped(member));
            mark = ',';
        }
        if let Some(unit) = key
            .unit
            .as_deref()
            .filter(|_| key.dimensions.get("unit").is_none())
        {
            let _ = write!(text, "{mark}unit=\"{}\"", escaped(unit));
            mark = ',';
        }
        if mark == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

/// Returns text as OpenMetrics puts it into labels and help.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use rollup::Dimensions;

    use super::*;

    #[test]
    fn strangers_text_cannot_break_out_of_a_label() {
        let key = SeriesKey {
            dimensions: Dimensions::of([("state", "a\"} 1\nevil 2\\")]),
            unit: Some("USD".into()),
        };
        let mut text = String::new();
        write_family(
            &mut text,
            "sales",
            Some("Sales\n# EOF"),
            &[(key, Decimal::from(3_i64))],
        );
        assert_eq!(
            text,
            "# TYPE tidemark_metric_sales gauge\n# HELP tidemark_metric_sales Sales\\n# EOF\n\
             tidemark_metric_sales{state=\"a\\\"} 1\\nevil 2\\\\\",unit=\"USD\"} 3\n"
        );
    }

    #[test]
    fn a_series_without_labels_has_no_braces() {
        let mut text = String::new();
        write_family(
            &mut text,
            "sales",
            None,
            &[(SeriesKey::default(), Decimal::from(3_i64))],
        );
        assert_eq!(
            text,
            "# TYPE tidemark_metric_sales gauge\ntidemark_metric_sales 3\n"
        );
    }
}
