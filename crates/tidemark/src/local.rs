//! Which Tidemark runs on this computer, so that the command line finds its address and token.
//!
//! `standalone` writes one small file for each address it serves; it holds where the token file is,
//! never the token.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What `standalone` leaves for the command line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// Where the gateway listens, such as `http://127.0.0.1:8080`.
    pub(crate) url: String,
    /// The file that holds the admin token (mode 600).
    pub(crate) token_file: PathBuf,
    /// The process that serves.
    pub(crate) pid: u32,
    /// The private addresses that its operator opened: `tidemark try` by the same user may call them.
    #[serde(default)]
    pub(crate) allow_host: Vec<String>,
}

impl Instance {
    /// Writes the instance down, replacing an older one of the same address.
    pub(crate) fn announce(&self) -> anyhow::Result<()> {
        let folder = folder().context("neither XDG_STATE_HOME nor HOME is set")?;
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join(file_name(&self.url));
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Takes the instance back, unless another process has taken the address over.
    pub(crate) fn withdraw(&self) {
        let Some(path) = folder().map(|folder| folder.join(file_name(&self.url))) else {
            return;
        };
        if read(&path).is_some_and(|found| found.pid == self.pid) {
            let _ = fs::remove_file(path);
        }
    }

    /// The token, when this user may read it.
    pub(crate) fn token(&self) -> Option<String> {
        let text = fs::read_to_string(&self.token_file).ok()?;
        Some(text.trim().to_owned())
    }

    fn is_alive(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

/// Returns the instance that serves `url`, if this computer runs it.
pub(crate) fn find(url: &str) -> Option<Instance> {
    read(&folder()?.join(file_name(url)))
}

/// Returns the only instance that runs here; none when there are several.
pub(crate) fn only_one() -> Option<Instance> {
    let mut running = fs::read_dir(folder()?)
        .ok()?
        .filter_map(|entry| read(&entry.ok()?.path()))
        .filter(Instance::is_alive);
    let first = running.next()?;
    running.next().is_none().then_some(first)
}

/// Where `standalone` keeps its data unless told otherwise.
pub(crate) fn default_data_directory() -> PathBuf {
    base("XDG_DATA_HOME", ".local/share").unwrap_or_else(|| PathBuf::from(".tidemark"))
}

fn folder() -> Option<PathBuf> {
    Some(base("XDG_STATE_HOME", ".local/state")?.join("local"))
}

fn base(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(below_home));
    Some(set.or_else(home)?.join("tidemark"))
}

fn file_name(url: &str) -> String {
    let address = url.trim_end_matches('/').rsplit('/').next().unwrap_or(url);
    let safe: String = address
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("{safe}.json")
}

fn read(path: &Path) -> Option<Instance> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
