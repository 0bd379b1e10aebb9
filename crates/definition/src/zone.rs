use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The table that is compiled in, so that every machine agrees and no file is read.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Returns the zone of an IANA name such as `Europe/Paris`, or of `UTC`.
///
/// Abbreviations (`EST`), offsets (`GMT+1`, `Etc/GMT-3`) and POSIX rules are no names: they do not say when
/// the clocks change, or say it backwards.
pub fn find(name: &str) -> Option<TimeZone> {
    if name == "UTC" || name == "Etc/UTC" {
        return Some(TimeZone::UTC);
    }
    if !name.contains('/') || name.starts_with("Etc/") {
        return None;
    }
    let zone = ZONES.get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

/// Returns the name that `name` was probably meant to be.
pub(crate) fn suggest(name: &str) -> Option<String> {
    let wanted = name.trim().replace(' ', "_").to_lowercase();
    let names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
    let by_case = names.iter().find(|known| known.to_lowercase() == wanted);
    let by_city = || {
        names
            .iter()
            .find(|known| known.to_lowercase().rsplit('/').next() == Some(&wanted))
    };
    by_case
        .or_else(by_city)
        .map(String::as_str)
        .or_else(|| crate::problem::nearest(&wanted, names.iter().map(String::as_str)))
        .filter(|found| find(found).is_some())
        .map(str::to_owned)
}

/// The zone of a checked name; UTC without one.
pub fn find_or_utc(name: Option<&str>) -> TimeZone {
    name.and_then(find).unwrap_or(TimeZone::UTC)
}
