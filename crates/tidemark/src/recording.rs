//! A recorded run: its pages as files, the definition they were for, and the rows they gave, kept beside definitions.

mod mask;

use std::fs;
use std::path::{Path, PathBuf};

use definition::{Bundle, Dataset, Definition, Interval, Metric};
use expression::budget::Limits;
use expression::{Evaluator, Page, RunContext, Task, row_json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;

pub(crate) use mask::Masks;

/// What makes a folder a recording.
const MANIFEST: &str = "recording.json";
const DEFINITIONS: &str = "definitions.json";
const GOLDEN: &str = "golden.json";
const PAGES: &str = "pages";

/// Folders below the one that is named, in which recordings are looked for.
const DEPTH: usize = 4;

/// What is recorded about a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The metric.
    pub(crate) metric: String,
    /// The run.
    pub(crate) run: String,
    /// The window it asked for: `{start, end}`, or null.
    pub(crate) window: Option<Window>,
    /// Fields that are masked.
    pub(crate) masked: Vec<String>,
    /// Its pages in order.
    pub(crate) pages: Vec<RecordedPage>,
}

/// A half-open range of time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

/// A page and its file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordedPage {
    /// Its place in the run.
    pub(crate) number: u32,
    /// The file in `pages/`.
    pub(crate) file: String,
    /// When it was fetched: the clock of the expression.
    pub(crate) fetched_at: Timestamp,
    /// Where from, without secrets.
    pub(crate) url: String,
    /// The record of the parent dataset that it was asked for: `$parent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Value>,
    /// The number of that record, from 1; 0 without a parent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) parent_number: u32,
}

/// A folder with a recording.
#[derive(Debug)]
pub(crate) struct Recording {
    folder: PathBuf,
    pub(crate) manifest: Manifest,
}

impl Recording {
    /// Writes a recording with its pages and returns it; the golden rows follow with [`Recording::keep`].
    pub(crate) fn write(
        folder: &Path,
        manifest: Manifest,
        definitions: &Value,
        bodies: &[String],
    ) -> Result<Self, Failure> {
        let pages = folder.join(PAGES);
        fs::create_dir_all(&pages).map_err(|error| {
            Failure::failed(format!("cannot make {}: {error}", pages.display()))
        })?;
        for (page, body) in manifest.pages.iter().zip(bodies) {
            write(&pages.join(&page.file), body)?;
        }
        write(&folder.join(DEFINITIONS), &pretty(definitions))?;
        write(
            &folder.join(MANIFEST),
            &pretty(&serde_json::to_value(&manifest)?),
        )?;
        Ok(Self {
            folder: folder.to_owned(),
            manifest,
        })
    }

    /// Finds the recordings in a folder and below it, sorted by path.
    pub(crate) fn find(folder: &Path) -> Result<Vec<Self>, Failure> {
        let mut found = Vec::new();
        look(folder, DEPTH, &mut found)?;
        found.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(found)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The definitions that were recorded with it.
    pub(crate) fn definitions(&self) -> Result<Bundle, Failure> {
        let path = self.folder.join(DEFINITIONS);
        parsed(&read(&path)?, &path.display().to_string())
    }

    /// What a metric makes of its pages: `{rows, rejected, error}`.
    pub(crate) fn evaluate(&self, bundle: &Bundle) -> Result<Value, Failure> {
        let (metric, dataset) = self.metric_in(bundle)?;
        let task = Task::of(metric, dataset, 0);
        let whole_run = task.whole_run;
        let context = RunContext {
            window: self
                .manifest
                .window
                .as_ref()
                .map(|window| Interval::new(window.start, window.end)),
            ..RunContext::default()
        };
        let (mut evaluator, problems) = Evaluator::new(vec![task], &context, Limits::default());
        if let Some((_, problem)) = problems.first() {
            return Ok(json!({ "error": problem.code, "rows": [], "rejected": [] }));
        }
        let bodies: Vec<String> = self
            .manifest
            .pages
            .iter()
            .map(|page| read(&self.folder.join(PAGES).join(&page.file)))
            .collect::<Result<_, _>>()?;
        let parents: Vec<Option<String>> = self
            .manifest
            .pages
            .iter()
            .map(|page| page.parent.as_ref().map(Value::to_string))
            .collect();
        let pages: Vec<Page<'_>> = self
            .manifest
            .pages
            .iter()
            .zip(bodies.iter().zip(&parents))
            .map(|(page, (body, parent))| Page {
                bytes: body.as_bytes(),
                number: page.number,
                first: self.is_first(page),
                fetched_at: page.fetched_at,
                parent: parent.as_deref(),
            })
            .collect();
        let results = if whole_run {
            evaluator.eval_run(&pages)
        } else {
            pages
                .iter()
                .flat_map(|page| evaluator.eval_page(page))
                .collect()
        };
        let (mut rows, mut rejected, mut error) = (Vec::new(), Vec::new(), Value::Null);
        for result in results {
            for row in &result.rows {
                let mut row = row.clone();
                if let (Some(key), number @ 1..) = (&row.key, self.parent_number(row.page)) {
                    // Records of two parents may have the same key.
                    row.key = Some(format!("{number}/{key}").into());
                }
                let row = &row;
                let mut shown = json!({ "page": row.page, "row": row.index });
                if let (Value::Object(shown), Value::Object(own)) = (&mut shown, row_json(row)) {
                    shown.extend(own);
                }
                rows.push(shown);
            }
            for row in &result.rejected {
                rejected.push(json!({ "page": row.page, "row": row.index, "code": row.code }));
            }
            if let Some(own) = result.error {
                error = own.code.into();
            } else if result.records_missing.is_some() {
                error = "records.missing".into();
            }
        }
        Ok(json!({ "error": error, "rows": rows, "rejected": rejected }))
    }

    /// Whether it is the first page of its record of the parent; of the run, without a parent.
    fn is_first(&self, page: &RecordedPage) -> bool {
        !self
            .manifest
            .pages
            .iter()
            .any(|other| other.parent_number == page.parent_number && other.number < page.number)
    }

    fn parent_number(&self, page: u32) -> u32 {
        let mut pages = self.manifest.pages.iter();
        pages
            .find(|one| one.number == page)
            .map_or(0, |one| one.parent_number)
    }

    fn metric_in<'b>(
        &self,
        bundle: &'b Bundle,
    ) -> Result<(&'b Metric, Option<&'b Dataset>), Failure> {
        let name = &self.manifest.metric;
        let metric = bundle
            .definitions
            .iter()
            .find_map(|located| match &located.definition {
                Definition::Metric(metric) if metric.name.as_str() == name => Some(metric),
                _ => None,
            });
        let metric = metric.ok_or_else(|| {
            Failure::invalid(format!("there is no metric `{name}` in the definitions"))
        })?;
        let dataset = metric.dataset.as_ref().and_then(|wanted| {
            bundle
                .definitions
                .iter()
                .find_map(|located| match &located.definition {
                    Definition::Dataset(dataset) if dataset.name == *wanted => Some(dataset),
                    _ => None,
                })
        });
        Ok((metric, dataset))
    }

    /// The rows it is to give.
    pub(crate) fn golden(&self) -> Result<Value, Failure> {
        let path = self.folder.join(GOLDEN);
        serde_json::from_str(&read(&path)?)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
    }

    /// Keeps these rows as the ones it is to give, a row on a line so that differences read well.
    pub(crate) fn keep(&self, golden: &Value) -> Result<(), Failure> {
        let lines = |name: &str| {
            let all = golden.get(name).and_then(Value::as_array);
            let lines: Vec<String> = all
                .into_iter()
                .flatten()
                .map(|row| format!("    {row}"))
                .collect();
            if lines.is_empty() {
                "[]".to_owned()
            } else {
                format!("[\n{}\n  ]", lines.join(",\n"))
            }
        };
        let error = golden.get("error").unwrap_or(&Value::Null);
        let text = format!(
            "{{\n  \"error\": {error},\n  \"rows\": {},\n  \"rejected\": {}\n}}\n",
            lines("rows"),
            lines("rejected")
        );
        write(&self.folder.join(GOLDEN), &text)
    }
}

/// Reads definitions from a text.
pub(crate) fn parsed(text: &str, source: &str) -> Result<Bundle, Failure> {
    definition::parse(text, source).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::invalid(lines.join("\n"))
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn look(folder: &Path, depth: usize, found: &mut Vec<Recording>) -> Result<(), Failure> {
    let manifest = folder.join(MANIFEST);
    if manifest.is_file() {
        let manifest = serde_json::from_str(&read(&manifest)?)
            .map_err(|error| Failure::failed(format!("{}: {error}", manifest.display())))?;
        found.push(Recording {
            folder: folder.to_owned(),
            manifest,
        });
        return Ok(());
    }
    let entries = fs::read_dir(folder)
        .map_err(|error| Failure::invalid(format!("cannot read {}: {error}", folder.display())))?;
    for entry in entries.flatten().filter(|_| depth > 0) {
        if entry.path().is_dir() {
            look(&entry.path(), depth - 1, found)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

fn pretty(value: &Value) -> String {
    let mut text = crate::output::json(value);
    text.push('\n');
    text
}
