//! The words of commands about a metric's numbers.

use clap::Args;

use super::Remote;

#[derive(Debug, Clone, Args)]
pub(crate) struct Provenance {
    /// The metric
    pub(crate) name: String,
    /// A day or an instant of the point
    #[arg(long)]
    pub(crate) start: String,
    /// A member of the point: state=active; may be repeated, and dimensions left out are joined
    #[arg(long = "where", value_name = "DIMENSION=MEMBER")]
    pub(crate) dimension: Vec<String>,
    /// The point's unit, where there are several
    #[arg(long)]
    pub(crate) unit: Option<String>,
    /// hour, day, week, month, quarter or year [default: the metric's resolution]
    #[arg(long)]
    pub(crate) granularity: Option<String>,
    /// Records listed of each run
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Deliveries {
    /// Only of the goal, alert or scorecard of this name
    pub(crate) name: Option<String>,
    /// Only those that are so far: waiting, queued, sent, dead or cancelled
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// How many, newest first
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowOne {
    /// Its name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Query {
    /// The metric
    pub(crate) name: String,
    /// A named range such as last_30_days, this_month, ytd or all_time
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(crate) range: Option<String>,
    /// First day or instant
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// First day or instant that is left out
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// hour, day, week, month, quarter, year or all
    #[arg(long)]
    pub(crate) granularity: Option<String>,
    /// Dimensions, separated by commas
    #[arg(long)]
    pub(crate) group_by: Option<String>,
    /// Keep only members of a dimension (state=active,new) or leave them out (state!=cancelled); may be repeated
    #[arg(long = "where", value_name = "DIMENSION=MEMBERS")]
    pub(crate) filter: Vec<String>,
    /// Leave the unit that is open now out of a range such as last_7_days
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(crate) exclude_current: bool,
    /// Show the largest members only, and all others as one
    #[arg(long, value_name = "N", requires = "group_by")]
    pub(crate) top: Option<u32>,
    /// Let each point hold everything from the start of the range on
    #[arg(long, conflicts_with = "moving_average")]
    pub(crate) cumulative: bool,
    /// Let each point be the mean of so many steps
    #[arg(long, value_name = "STEPS")]
    pub(crate) moving_average: Option<u32>,
    /// Zone of the answer's buckets
    #[arg(long)]
    pub(crate) timezone: Option<String>,
    /// previous_period or previous_year
    #[arg(long)]
    pub(crate) compare: Option<String>,
    /// none, zero or previous
    #[arg(long)]
    pub(crate) fill: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Push {
    /// The metric
    pub(crate) name: String,
    /// A file with rows: a JSON list of {value, date, dimensions, unit, key}, or one row a line; `-` is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: std::path::PathBuf,
    /// A name for these rows, so that those without date and key are not counted again when sent again
    #[arg(long)]
    pub(crate) batch: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct NewNote {
    /// The metric
    pub(crate) name: String,
    /// What to note
    pub(crate) text: String,
    /// First day or instant; without `--end`, the note is on the point that holds it
    #[arg(long)]
    pub(crate) start: String,
    /// First day or instant past it
    #[arg(long)]
    pub(crate) end: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Notes {
    /// The metric
    pub(crate) name: String,
    /// Delete the note of this number instead
    #[arg(long, value_name = "ID")]
    pub(crate) delete: Option<i64>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Purge {
    /// The metric
    pub(crate) name: String,
    /// Really do it
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}
