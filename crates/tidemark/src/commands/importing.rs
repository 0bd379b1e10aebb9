//! `import`: drafts from a curl line or an OpenAPI document.

use definition::Problem;

use super::{Done, read_input};
use crate::cli::ImportFrom;
use crate::failure::Failure;
use crate::import::{self, Refused, Shown};
use crate::output;

/// Documents of large APIs are some megabytes.
const MOST: usize = 32 * 1024 * 1024;

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::invalid(refused.0)
    }
}

/// Prints a draft. Nothing is sent.
pub(crate) fn import(from: &ImportFrom) -> Done {
    let shown = match from {
        ImportFrom::Curl { line } => {
            let line = match line.as_slice() {
                [only] if only == "-" => vec![read_input(std::path::Path::new("-"))?],
                words => words.to_vec(),
            };
            import::from_curl(&line)?
        }
        ImportFrom::Openapi { file, operation } => {
            let text = read_input(file)?;
            if text.len() > MOST {
                return Err(Failure::invalid("the document is larger than 32 MiB"));
            }
            let (shown, others) = import::from_openapi(&text, operation.as_deref())?;
            if !others.is_empty() {
                eprintln!("drafted the first list; others, for --operation:");
                for other in others {
                    eprintln!("  {other}");
                }
            }
            shown
        }
    };
    output::say(format_args!("{}", checked(&shown)?));
    eprintln!("save this, look at what is `unsure`, and run `tidemark apply` on it");
    Ok(())
}

/// Writes the draft and makes sure that it is a valid definition.
fn checked(shown: &Shown) -> Result<String, Failure> {
    let text = import::write(shown);
    let problems: Vec<Problem> = match definition::parse(&text, "draft") {
        Ok(bundle) => {
            let mut problems = bundle.validate(&definition::NothingKnown);
            problems.extend(expression::check_bundle(&bundle));
            problems
        }
        Err(problems) => problems,
    };
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect();
    if errors.is_empty() {
        Ok(text)
    } else {
        Err(Failure::invalid(format!(
            "this cannot become a definition: {}",
            errors.join("; ")
        )))
    }
}
