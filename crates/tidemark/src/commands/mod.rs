//! One file for each noun of the command line.

pub(crate) mod care;
pub(crate) mod catalogue;
pub(crate) mod connections;
pub(crate) mod definitions;
pub(crate) mod deliveries;
pub(crate) mod expressions;
pub(crate) mod importing;
pub(crate) mod numbers;
pub(crate) mod preview;
pub(crate) mod provenance;
pub(crate) mod push;
pub(crate) mod recordings;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod tokens;
pub(crate) mod trying;
pub(crate) mod watch;

use std::io::Read as _;
use std::path::Path;

use crate::failure::Failure;

/// Bundles and pages are far smaller; stdin has no other end.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// What a command returns when it went well.
pub(crate) type Done = Result<(), Failure>;

/// Reads a file, or stdin for `-`.
pub(crate) fn read_input(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return String::from_utf8(read_stdin()?)
            .map_err(|_| Failure::invalid("stdin is not UTF-8 text"));
    }
    std::fs::read_to_string(path)
        .map_err(|error| Failure::invalid(format!("cannot read {}: {error}", path.display())))
}

/// Reads all of stdin, within bounds.
pub(crate) fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_INPUT + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::invalid("stdin holds more than 64 MiB"));
    }
    Ok(bytes)
}
