//! Where a list goes on: opaque to callers, and refused when no list has given it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use sha2::{Digest as _, Sha256};

use crate::problem::{Problem, shown};

/// Enough to tell a cursor of ours from chance; it keeps no secret.
const CHECK_BYTES: usize = 4;

/// Returns the cursor behind `place` in a list called `list`.
pub(crate) fn write(list: &str, place: &str) -> String {
    let mut bytes = check(list, place).to_vec();
    bytes.extend_from_slice(place.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the place behind which the list called `list` goes on.
pub(crate) fn read(list: &str, cursor: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let place = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| {
        let (found, place) = bytes.split_at_checked(CHECK_BYTES)?;
        let place = std::str::from_utf8(place).ok()?;
        (found == check(list, place)).then(|| place.to_owned())
    });
    place.map(Some).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "request.cursor",
            "this cursor is not one that this list has given",
        )
        .detail(format!(
            "`cursor` is `{}`; take `next_cursor` of the page before, or leave it out to begin",
            shown(cursor)
        ))
    })
}

fn check(list: &str, place: &str) -> [u8; CHECK_BYTES] {
    let mut digest = Sha256::new();
    digest.update(list);
    digest.update([0]);
    digest.update(place);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest.finalize()[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place_in_its_own_list_only() {
        let cursor = write("metric", "new_subscribers");
        let place = read("metric", Some(&cursor)).unwrap();
        assert_eq!(place.as_deref(), Some("new_subscribers"));
        assert!(read("dataset", Some(&cursor)).is_err());
        assert!(read("metric", None).unwrap().is_none());
        for wrong in ["zzz", "", "new_subscribers", "AAAAAAA", "é", &cursor[1..]] {
            let problem = read("metric", Some(wrong)).unwrap_err();
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST, "{wrong}");
        }
    }
}
