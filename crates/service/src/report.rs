//! An error and its causes, said once.

use std::error::Error;
use std::fmt;

/// Displays an error followed by its causes, each once, joined by `: `.
///
/// A cause whose text its parent already ends with is left out, since some libraries repeat
/// their source in their own text.
#[derive(Debug)]
pub struct Report<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !text.is_empty() && !said.ends_with(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// Returns the text of an error and its causes, for logs, ledgers and answers.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    Report(error).to_string()
}

/// Prints `error: …` with all causes to standard error, as the last words of a program.
pub fn to_stderr(error: &(dyn Error + 'static)) {
    use std::io::Write as _;
    // Nothing is left to do when even this cannot be written.
    let _ = writeln!(std::io::stderr().lock(), "error: {}", Report(error));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        cause: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().unwrap();
        let cause = (!rest.is_empty()).then(|| Box::new(layers(rest)));
        Layer { text, cause }
    }

    #[test]
    fn the_chain_is_said_from_the_outside_in() {
        let error = layers(&["request of page 3 failed", "no connection", "refused"]);
        assert_eq!(
            chain(&error),
            "request of page 3 failed: no connection: refused"
        );
    }

    #[test]
    fn a_cause_already_said_is_not_said_again() {
        let error = layers(&["cannot connect: refused", "refused", "os error 111"]);
        assert_eq!(chain(&error), "cannot connect: refused: os error 111");
    }
}
