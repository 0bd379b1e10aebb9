//! The parameters of a question, as the OpenAPI document shows them.

use utoipa::IntoParams;

/// What a series is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct SeriesParameters {
    /// A range by name: today, yesterday, last_7_days, last_30_days, this_week, last_month, wtd, mtd,
    /// qtd, ytd, all_time … `last_7_days` ends with today, `last_7_complete_days` with yesterday.
    #[param(default = "last_30_days")]
    range: Option<String>,
    /// Of a range `last_N_…`: `include` the unit that is open now, or `exclude` it.
    #[param(default = "include")]
    current: Option<String>,
    /// The first instant, instead of `range`: a date in the answer's zone, or RFC 3339.
    from: Option<String>,
    /// The first instant past the range; now when only `from` is given.
    to: Option<String>,
    /// The step: hour, day, week, month, quarter, year or all. By default a day, or the metric's
    /// resolution where that is coarser.
    granularity: Option<String>,
    /// Dimensions to split by, joined by commas or repeated; all others are joined.
    group_by: Option<String>,
    /// `where.<dimension>=a,b` keeps only these members of a dimension; a comma in a member is written `\,`.
    #[param(rename = "where.<dimension>")]
    filter: Option<String>,
    /// `where.<dimension>!=a,b` leaves these members out; what lacks the dimension stays. `where_not.<dimension>=a,b`
    /// is the same.
    #[param(rename = "where.<dimension>!")]
    without: Option<String>,
    /// How many of the largest members to show, by their totals; all others become one series with `rest`,
    /// joined from their records. Needs `group_by`.
    #[param(minimum = 1, maximum = 1000)]
    top: Option<u32>,
    /// Each point holds everything from the start of the range on.
    cumulative: Option<bool>,
    /// Each point is the mean of the values of so many steps, its own the last.
    #[param(minimum = 2, maximum = 1000)]
    moving_average: Option<u32>,
    /// The zone of the answer's calendar; the metric's when absent.
    timezone: Option<String>,
    /// `previous_period` or `previous_year`.
    compare: Option<String>,
    /// What stands in empty buckets: none, zero or previous.
    #[param(default = "none")]
    fill: Option<String>,
}

/// What a value is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct ValueParameters {
    /// A range by name, as for a series.
    #[param(default = "last_30_days")]
    range: Option<String>,
    /// Of a range `last_N_…`: `include` the unit that is open now, or `exclude` it.
    #[param(default = "include")]
    current: Option<String>,
    /// The first instant, instead of `range`.
    from: Option<String>,
    /// The first instant past the range.
    to: Option<String>,
    /// `where.<dimension>=a,b` keeps only these members of a dimension; a comma in a member is written `\,`.
    #[param(rename = "where.<dimension>")]
    filter: Option<String>,
    /// `where.<dimension>!=a,b` leaves these members out; what lacks the dimension stays. `where_not.<dimension>=a,b`
    /// is the same.
    #[param(rename = "where.<dimension>!")]
    without: Option<String>,
    /// The zone of the range; the metric's when absent.
    timezone: Option<String>,
    /// `previous_period` or `previous_year`.
    compare: Option<String>,
}
