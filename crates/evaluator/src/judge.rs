//! Whether the rows of a run may be used at all: a renamed field must not erase history.

use definition::Metric;

use crate::extract::Extracted;

/// A reason why a metric's part of a run is not used; its earlier data stays.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refused {
    /// As it is kept with the outcome.
    pub(crate) fn written(&self) -> String {
        serde_json::json!({ "code": self.code, "message": self.message }).to_string()
    }
}

/// Decides whether the rows of `metric` may be used.
pub(crate) fn judge(metric: &Metric, extracted: &Extracted) -> Result<(), Refused> {
    if let Some(error) = &extracted.error {
        return Err(Refused {
            code: error.code.clone(),
            message: error.message.clone(),
        });
    }
    if let Some(reason) = &extracted.records_missing {
        return Err(Refused {
            code: "records.missing".into(),
            message: format!(
                "the records are not in the first page: {reason}. \
                 Say `missing: empty` in `select` where that means there are none"
            ),
        });
    }
    let used = extracted.rows.len() as u64;
    let returned = used + extracted.rejected_count;
    let limit = metric.reject_limit.get();
    if returned > 0 && extracted.rejected_count as f64 > limit * returned as f64 {
        let first = extracted.rejected.first();
        let reason = first
            .map(|row| format!("; the first: {}", row.reason))
            .unwrap_or_default();
        return Err(Refused {
            code: "rows.rejected".into(),
            message: format!(
                "{} of {returned} rows could not be used, more than {} %{reason}",
                extracted.rejected_count,
                limit * 100.0
            ),
        });
    }
    Ok(())
}
