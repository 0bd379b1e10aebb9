//! What an operator opened in a file: read again whenever it changes, without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::allow::{Allow, AllowError};

/// More is a mistake; reading it must not hold a fetcher.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file with one entry a line, as `--allow-host` takes them; `#` begins a comment.
#[derive(Debug)]
pub struct AllowList {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    entries: Arc<[Allow]>,
    /// Grows with every change, so that connections opened under an older list are not used again.
    generation: u64,
}

/// A file of the allow-list that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum AllowListError {
    /// It cannot be read.
    #[error("the allow-list {} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// One of its lines is wrong.
    #[error("line {line} of the allow-list {} is wrong", .path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: AllowError,
    },
}

impl AllowList {
    /// Reads the file for the first time.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, AllowListError> {
        let path = path.into();
        let text = read(&path)?;
        let entries = entries(&path, &text)?;
        Ok(Self {
            path,
            state: Mutex::new(State {
                text,
                entries,
                generation: 0,
            }),
        })
    }

    /// Reads the file again, and tells whether it has changed. What is wrong leaves the old list in force.
    pub fn reload(&self) -> Result<bool, AllowListError> {
        let text = read(&self.path)?;
        if self.state().text == text {
            return Ok(false);
        }
        let entries = entries(&self.path, &text)?;
        let mut state = self.state();
        state.text = text;
        state.entries = entries;
        state.generation += 1;
        Ok(true)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what is open now.
    pub(super) fn entries(&self) -> Arc<[Allow]> {
        Arc::clone(&self.state().entries)
    }

    /// Returns which list this is.
    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<String, AllowListError> {
    use std::io::Read as _;
    let unreadable = |source| AllowListError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let read = file
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if read as u64 > MAX_BYTES {
        return Err(unreadable(std::io::Error::other("it is larger than 1 MiB")));
    }
    Ok(text)
}

fn entries(path: &Path, text: &str) -> Result<Arc<[Allow]>, AllowListError> {
    let lines = text.lines().enumerate().map(|(index, line)| {
        let entry = line.split('#').next().unwrap_or_default().trim();
        (index + 1, entry)
    });
    lines
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(line, entry)| {
            entry.parse().map_err(|source| AllowListError::Entry {
                path: path.to_owned(),
                line,
                source,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Guard, GuardConfig, Verdict};
    use super::*;

    #[tokio::test]
    async fn a_changed_file_counts_at_once_and_a_wrong_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("allow");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write("# reports\n127.0.0.1:3000   # the first\n\n10.20.0.0/16\n");
        let list = Arc::new(AllowList::load(&path).expect("a list"));
        let guard = Guard::new(GuardConfig {
            allow_list: Some(Arc::clone(&list)),
            ..GuardConfig::default()
        });
        let is_open = async |url: &str| guard.verdict(url).await == Verdict::Allowed;
        assert!(is_open("http://127.0.0.1:3000/").await);
        assert!(is_open("https://10.20.1.1/").await);
        assert!(!is_open("http://127.0.0.1:4000/").await);

        assert!(!list.reload().expect("the same"));
        write("127.0.0.1:4000\n");
        assert!(list.reload().expect("another"));
        assert!(is_open("http://127.0.0.1:4000/").await);
        assert!(!is_open("http://127.0.0.1:3000/").await);
        assert_eq!(guard.generation(), 1);

        write("127.0.0.1:3000\n*:80\n");
        let error = service::report::chain(&list.reload().expect_err("a wildcard"));
        assert!(
            error.contains("line 2") && error.contains("`*:80`"),
            "{error}"
        );
        std::fs::remove_file(&path).expect("removed");
        assert!(list.reload().is_err());
        assert!(
            is_open("http://127.0.0.1:4000/").await,
            "the old list stays"
        );
        assert!(!is_open("http://127.0.0.1:3000/").await);
    }
}
