//! Content encodings, on request.

use std::io::Write as _;

use bytes::Bytes;

use crate::fault::Encoding;

/// Returns the body so encoded, and the header's word for it.
pub(crate) fn encode(encoding: Encoding, body: &[u8]) -> std::io::Result<(Bytes, &'static str)> {
    Ok(match encoding {
        Encoding::Gzip => (gzip(body, 0)?, "gzip"),
        Encoding::DoubleGzip => (gzip(&gzip(body, 0)?, 0)?, "gzip, gzip"),
        Encoding::Brotli => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 20).write_all(body)?;
            (out.into(), "br")
        }
        Encoding::Zstd => (zstd::encode_all(body, 3)?.into(), "zstd"),
    })
}

/// Returns gzip of the body with `padding` spaces behind it: much from little.
pub(crate) fn gzip(body: &[u8], padding: usize) -> std::io::Result<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body)?;
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(b' '), padding as u64),
        &mut encoder,
    )?;
    Ok(encoder.finish()?.into())
}
