use jiff::tz::TimeZone;
use serde::Serialize;

use crate::connection::is_false;
use crate::fetch::Fetch;
use crate::name::Name;
use crate::parent::Parent;
use crate::request::Request;
use crate::schedule::Schedule;
use crate::selection::{DateSelect, Records};
use crate::window::Window;

/// One request, its pages and its schedule; several metrics may read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dataset {
    /// Its name.
    pub name: Name,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The API it asks.
    pub connection: Name,
    /// What it asks.
    pub request: Request,
    /// The dates it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// When it asks, besides its metrics' own schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The zone of its templates and of its cron; an IANA name, `UTC` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The records of metrics that select none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// The filter of metrics that have none.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub where_: Option<String>,
    /// The date of metrics that select none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateSelect>,
    /// The key of metrics that select none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The dataset for each of whose records it asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Whether it rests.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
}

impl Dataset {
    /// Returns what is fetched: the part that decides which metrics share it.
    pub fn fetch(&self) -> Fetch {
        Fetch::new(
            &self.connection,
            &self.request,
            self.window,
            self.timezone.as_deref(),
            self.parent.as_ref(),
        )
    }

    /// Returns the zone of its templates and its cron.
    pub fn zone(&self) -> TimeZone {
        crate::zone::find_or_utc(self.timezone.as_deref())
    }
}
