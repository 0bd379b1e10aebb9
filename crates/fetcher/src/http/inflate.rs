//! Decompresses one layer under a cap, whatever the compressed bytes claim.

use std::io::{self, Read};

/// No honest JSON shrinks further; a bomb does (zeros reach 1,000:1 in gzip).
const RATIO_LIMIT: usize = 200;

/// Small answers may shrink as they like: a page of 1 MiB harms nobody.
const RATIO_FREE: usize = 1024 * 1024;

/// zstd frames may ask for a window of gigabytes; 8 MiB is what browsers give.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why bytes could not be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// More comes out than may.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A name we do not know.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The data stops in the middle.
    #[error("cut short")]
    Truncated,
    /// The data is whole, and something else follows it.
    #[error("{bytes} bytes that are not {name} follow the compressed data")]
    Trailing {
        /// The encoding.
        name: &'static str,
        /// How many bytes follow.
        bytes: usize,
    },
    /// The data is no such data.
    #[error("damaged {0} data")]
    Damaged(&'static str),
}

/// Decompresses `compressed` (gzip, deflate, br or zstd) into at most `cap` bytes.
pub fn inflate(encoding: &str, compressed: &[u8], cap: usize) -> Result<Vec<u8>, InflateError> {
    if compressed.is_empty() {
        return Ok(Vec::new());
    }
    match encoding {
        "gzip" | "x-gzip" => drain(
            "gzip",
            flate2::bufread::MultiGzDecoder::new(compressed),
            compressed,
            cap,
        )
        .map_err(|error| match behind_gzip(compressed, cap) {
            Some(bytes) if !matches!(error, InflateError::TooLarge(_)) => InflateError::Trailing {
                name: "gzip",
                bytes,
            },
            _ => error,
        }),
        // The name means zlib; some servers send the bare stream, which has no header to tell by.
        "deflate" if is_zlib(compressed) => drain(
            "deflate",
            flate2::bufread::ZlibDecoder::new(compressed),
            compressed,
            cap,
        ),
        "deflate" => drain(
            "deflate",
            flate2::bufread::DeflateDecoder::new(compressed),
            compressed,
            cap,
        ),
        "br" => {
            let mut rest = compressed;
            match drain(
                "br",
                brotli::Decompressor::new(&mut rest, 4 * 1024),
                compressed,
                cap,
            ) {
                // The decoder says the same of both; one that wanted more had read everything.
                Err(InflateError::Damaged(_)) if rest.is_empty() => Err(InflateError::Truncated),
                other => other,
            }
        }
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)
                .map_err(|_| InflateError::Damaged("zstd"))?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG)
                .map_err(|_| InflateError::Damaged("zstd"))?;
            drain("zstd", decoder, compressed, cap)
        }
        other => Err(InflateError::Unsupported(other.chars().take(40).collect())),
    }
}

/// How many bytes that begin no member follow whole members of gzip: looked for only where the data is wrong.
fn behind_gzip(compressed: &[u8], cap: usize) -> Option<usize> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut rest = compressed;
    let mut left = cap as u64;
    while rest.starts_with(&MAGIC) {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        left -= io::copy(&mut (&mut member).take(left), &mut io::sink()).ok()?;
        if left == 0 {
            return None;
        }
        rest = member.into_inner();
    }
    let is_cut = rest.len() < MAGIC.len() && MAGIC.starts_with(rest);
    (rest.len() < compressed.len() && !is_cut).then_some(rest.len())
}

fn is_zlib(compressed: &[u8]) -> bool {
    let [first, second, ..] = compressed else {
        return false;
    };
    first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0
}

/// Reads all of `reader` into at most `cap` bytes; `compressed` is what it reads from, for the ratio.
pub(crate) fn drain(
    name: &'static str,
    mut reader: impl Read,
    compressed: &[u8],
    cap: usize,
) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::with_capacity(cap.min(compressed.len().saturating_mul(4)));
    let allowed = RATIO_FREE.max(compressed.len().saturating_mul(RATIO_LIMIT));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(out),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(describe(name, &error)),
        };
        if out.len() + read > cap {
            return Err(InflateError::TooLarge(format!(
                "more than {cap} bytes once decompressed"
            )));
        }
        if out.len() + read > allowed {
            return Err(InflateError::TooLarge(format!(
                "it expands more than {RATIO_LIMIT} times"
            )));
        }
        if out.capacity() < out.len() + read {
            // Doubling past the cap would cost up to twice the cap.
            let wanted = (out.capacity() * 2).clamp(out.len() + read, cap);
            out.reserve_exact(wanted - out.len());
        }
        out.extend_from_slice(&buffer[..read]);
    }
}

fn describe(name: &'static str, error: &io::Error) -> InflateError {
    let text = error.to_string();
    if text.contains("memory") {
        return InflateError::TooLarge("its compression window needs too much memory".to_owned());
    }
    if error.kind() == io::ErrorKind::UnexpectedEof
        || text.contains("incomplete")
        || text.contains("unexpected end")
    {
        return InflateError::Truncated;
    }
    InflateError::Damaged(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const CAP: usize = 32 * 1024 * 1024;

    fn compressed(encoding: &str, plain: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match encoding {
            "gzip" => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
                writer.write_all(plain).expect("write");
                writer.finish().expect("finish")
            }
            "deflate" => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
                writer.write_all(plain).expect("write");
                writer.finish().expect("finish")
            }
            "raw" => {
                let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), level);
                writer.write_all(plain).expect("write");
                writer.finish().expect("finish")
            }
            "br" => {
                let mut out = Vec::new();
                brotli::BrotliCompress(
                    &mut &plain[..],
                    &mut out,
                    &brotli::enc::BrotliEncoderParams::default(),
                )
                .expect("br");
                out
            }
            _ => zstd::encode_all(plain, 3).expect("zstd"),
        }
    }

    fn page() -> Vec<u8> {
        let records: Vec<_> = (0..2_000)
            .map(|id| serde_json::json!({"id": id, "state": "active"}))
            .collect();
        serde_json::to_vec(&records).expect("json")
    }

    #[test]
    fn each_encoding_gives_back_what_went_in() {
        for (encoding, writer) in [
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("deflate", "deflate"),
            ("deflate", "raw"),
            ("br", "br"),
            ("zstd", "zstd"),
        ] {
            assert_eq!(
                inflate(encoding, &compressed(writer, &page()), CAP).expect(encoding),
                page(),
                "{encoding}"
            );
        }
        assert!(matches!(
            inflate("compress", b"x", CAP),
            Err(InflateError::Unsupported(_))
        ));
    }

    #[test]
    fn a_cut_stream_is_truncated_and_never_a_short_page() {
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let whole = compressed(encoding, &page());
            for cut in [whole.len() / 2, whole.len() - 1, whole.len() - 5] {
                assert_eq!(
                    inflate(encoding, &whole[..cut], CAP),
                    Err(InflateError::Truncated),
                    "{encoding} {cut}"
                );
            }
        }
    }

    #[test]
    fn what_follows_a_whole_gzip_is_not_called_a_cut() {
        let whole = compressed("gzip", &page());
        for garbage in [
            &b"x"[..],
            b"garbage",
            b"and much more of it, longer than a header",
            &[0; 7],
        ] {
            let body = [&whole, garbage].concat();
            let expected = InflateError::Trailing {
                name: "gzip",
                bytes: garbage.len(),
            };
            assert_eq!(inflate("gzip", &body, CAP), Err(expected), "{garbage:?}");
        }
        // Two members are one text, and a cut second one is cut.
        let twice = [whole.clone(), whole.clone()].concat();
        assert_eq!(inflate("gzip", &twice, CAP), Ok([page(), page()].concat()));
        for cut in [whole.len() + 1, whole.len() + 5, twice.len() - 3] {
            assert_eq!(
                inflate("gzip", &twice[..cut], CAP),
                Err(InflateError::Truncated),
                "{cut}"
            );
        }
    }

    #[test]
    fn rubbish_is_damaged() {
        for encoding in ["gzip", "zstd"] {
            let error = inflate(
                encoding,
                b"{\"plain\":\"json\"} that was never compressed",
                CAP,
            )
            .expect_err(encoding);
            assert!(
                matches!(error, InflateError::Damaged(_)),
                "{encoding}: {error:?}"
            );
        }
        for encoding in ["br", "deflate"] {
            assert!(
                inflate(
                    encoding,
                    b"{\"plain\":\"json\"} that was never compressed",
                    CAP
                )
                .is_err()
            );
        }
    }

    #[test]
    fn bombs_stop_at_the_ratio_and_at_the_cap() {
        let zeros = vec![0; 64 * 1024 * 1024];
        for encoding in ["gzip", "zstd"] {
            let bomb = compressed(encoding, &zeros);
            assert!(
                matches!(
                    inflate(encoding, &bomb, CAP),
                    Err(InflateError::TooLarge(_))
                ),
                "{encoding}"
            );
        }
        let small = compressed("gzip", &page());
        assert!(matches!(
            inflate("gzip", &small, 1_000),
            Err(InflateError::TooLarge(_))
        ));
    }

    #[test]
    fn a_zstd_window_beyond_eight_mebibytes_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("encoder");
        encoder.window_log(27).expect("window");
        encoder.include_contentsize(false).expect("size");
        encoder.write_all(&page()).expect("write");
        let frame = encoder.finish().expect("finish");
        assert!(matches!(
            inflate("zstd", &frame, CAP),
            Err(InflateError::TooLarge(_))
        ));
    }
}
