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
