//! How a command ends when it does not end well: the text for people and the exit code.

use std::fmt;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// The thing failed: exit code 1.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 1,
        }
    }

    /// The input was wrong, such as an invalid definition: exit code 2.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: 2,
        }
    }

    /// The thing failed and everything about it was said: exit code 1, no more text.
    pub(crate) fn said() -> Self {
        Self {
            text: String::new(),
            code: 1,
        }
    }

    /// Another program has said everything and ended with `code`.
    pub(crate) fn said_with(code: u8) -> Self {
        Self {
            text: String::new(),
            code,
        }
    }

    /// Whether there is something left to say.
    pub(crate) fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::failed(format!("{error:#}")),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::failed(error.to_string())
    }
}
