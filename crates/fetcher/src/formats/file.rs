//! Compressed files: gzip, and zip with one member, under the cap of a page.

use std::io::Cursor;

use bytes::Bytes;
use definition::Compression;

use super::Unusable;
use crate::http::{InflateError, drain, inflate};

/// Entries of an archive, folders included, beyond which it is not looked into.
const ENTRIES: usize = 1_000;

/// How every gzip file begins (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];

/// What a body is, by its first bytes and what was said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Gzip,
    Zip,
}

/// Returns what a body is.
pub(super) fn kind(body: &[u8], compression: Compression) -> Kind {
    match compression {
        Compression::Gzip => Kind::Gzip,
        Compression::Zip => Kind::Zip,
        Compression::Auto if body.starts_with(GZIP) => Kind::Gzip,
        Compression::Auto if body.starts_with(b"PK\x03\x04") || body.starts_with(b"PK\x05\x06") => {
            Kind::Zip
        }
        Compression::Auto => Kind::Plain,
    }
}

/// Returns what is in a file, and whether it was one.
pub(super) fn open(
    body: Bytes,
    compression: Compression,
    cap: usize,
) -> Result<(Bytes, bool), Unusable> {
    let kind = kind(&body, compression);
    let is_other = |name| damaged(&format!("as {name}: it is something else"), false);
    let opened = match kind {
        Kind::Plain => return Ok((body, false)),
        Kind::Gzip if !body.starts_with(GZIP) => return Err(is_other("gzip")),
        Kind::Zip if !body.starts_with(b"PK") => return Err(is_other("zip")),
        Kind::Gzip => inflate("gzip", &body, cap).map_err(|error| describe("gzip", error))?,
        Kind::Zip => unzip(&body, cap)?,
    };
    Ok((Bytes::from(opened), true))
}

fn unzip(body: &[u8], cap: usize) -> Result<Vec<u8>, Unusable> {
    let damaged = |error: zip::result::ZipError| damaged(&format!("as zip: {error}"), false);
    // Before a list of them is made: each costs some hundred bytes.
    let entries = memchr::memmem::find_iter(body, b"PK\x01\x02").take(ENTRIES + 1);
    if entries.count() > ENTRIES {
        return Err(self::damaged(
            &format!("a zip archive with more than {ENTRIES} files"),
            false,
        ));
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(body)).map_err(damaged)?;
    let files: Vec<usize> = (0..archive.len())
        .filter(|index| {
            let is_beside = |name: &str| name.ends_with('/') || name.starts_with("__MACOSX/");
            let name = archive.name_for_index(*index);
            !name.is_some_and(|name| name.is_ok_and(|name| is_beside(&name)))
        })
        .collect();
    let [only] = files.as_slice() else {
        return Err(self::damaged(
            &format!(
                "a zip archive with {} files, and only one with a single file can be read",
                files.len()
            ),
            false,
        ));
    };
    let member = archive.by_index(*only).map_err(damaged)?;
    if member.encrypted() {
        return Err(self::damaged("a zip archive with a password", false));
    }
    drain("zip", member, body, cap).map_err(|error| describe("zip", error))
}

fn describe(name: &str, error: InflateError) -> Unusable {
    match error {
        InflateError::TooLarge(reason) => Unusable::TooLarge(reason),
        InflateError::Truncated => damaged(&format!("as {name}: it is cut short"), true),
        InflateError::Trailing { bytes, .. } => damaged(
            &format!("as {name}: {bytes} bytes of something else follow its end"),
            false,
        ),
        InflateError::Unsupported(_) | InflateError::Damaged(_) => damaged(
            &format!("as {name}: it is damaged, or something else"),
            false,
        ),
    }
}

fn damaged(reason: &str, ends_early: bool) -> Unusable {
    Unusable::Compressed {
        reason: reason.to_owned(),
        ends_early,
    }
}
