//! Instants as answers write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) use store::instant;

/// Returns unix milliseconds as RFC 3339 in UTC.
pub(crate) fn text(milliseconds: i64) -> String {
    instant(milliseconds).to_string()
}

/// Returns an instant as RFC 3339 with the offset that `zone` has then.
pub(crate) fn in_zone(at: Timestamp, zone: &TimeZone) -> String {
    at.display_with_offset(zone.to_offset(at)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_carry_the_offset_of_their_zone() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at: Timestamp = "2026-07-01T00:00:00Z".parse().unwrap();
        assert_eq!(in_zone(at, &zone), "2026-07-01T02:00:00+02:00");
        assert_eq!(in_zone(at, &TimeZone::UTC), "2026-07-01T00:00:00+00:00");
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
    }
}
