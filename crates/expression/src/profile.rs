//! What an answer of an unknown API holds: a tree with types, what each value looks like, and the metrics that it
//! seems to offer, each as a selection that works.
//!
//! A guess is made with the very readers that will read the rows, so what is suggested can be read.

mod looks;
mod suggest;
mod survey;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use suggest::{Suggestion, suggestions};
pub use survey::Survey;

/// What some pages of one request hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Pages looked at.
    pub pages: u32,
    /// Whether a bound was met, so that some of it is left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
    /// The answer.
    pub root: Field,
}

/// What some pages hold, and the metrics that they seem to offer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    /// What they hold.
    pub profile: Profile,
    /// The metrics, the likeliest first.
    pub suggestions: Vec<Suggestion>,
}

impl Look {
    /// Adds the suggestions to a profile.
    pub fn of(profile: Profile) -> Self {
        Self {
            suggestions: suggestions(&profile),
            profile,
        }
    }
}

/// One place in an answer: a field, or the items of a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The field's name; `$` for the answer, `[]` for items of a list.
    pub name: String,
    /// JSONata that finds it on a page.
    pub path: String,
    /// How many values there are of each type.
    pub kinds: BTreeMap<Kind, u64>,
    /// One of its values, masked and cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// Lists: how long they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Length>,
    /// What its values look like.
    #[serde(flatten)]
    pub looks: Looks,
    /// What is inside: fields of objects, fields of the objects in a list, or the items of another list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

/// The type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    Text,
    /// `1.5`
    Number,
    /// `true`, `false`
    Boolean,
    /// `null`
    Null,
}

/// How long lists are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Length {
    /// The shortest.
    pub shortest: u64,
    /// The longest.
    pub longest: u64,
    /// All together.
    pub total: u64,
}

/// What the values of a place look like; what is absent, they do not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Looks {
    /// Numbers, or text that is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberLook>,
    /// Dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<DateLook>,
    /// Something else with a name: `id`, `email`, `url` or `currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Meaning>,
    /// How many different values there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub different: Option<u64>,
    /// The values with their counts, most frequent first, where they are few: a dimension.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<(String, u64)>,
}

/// What a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// It tells records apart.
    Id,
    /// An e-mail address.
    Email,
    /// A web address.
    Url,
    /// A currency's code.
    Currency,
}

/// Numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberLook {
    /// What `number` has to say for text; absent for JSON numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The smallest.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
    /// What `scale` may have to say, such as 0.01 for cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

/// Dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateLook {
    /// What `date.format` has to say.
    pub format: String,
    /// Whether they carry a zone of their own.
    pub zoned: bool,
    /// Another format that reads them all as well, with other dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub or: Option<String>,
    /// The earliest, in UTC where they have no zone.
    pub earliest: String,
    /// The latest.
    pub latest: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Field {
    /// Tells whether all its values that are not null are of this type.
    pub fn is_all(&self, kind: Kind) -> bool {
        let others = |own: &Kind| *own != kind && *own != Kind::Null;
        self.kinds.contains_key(&kind) && !self.kinds.keys().any(others)
    }

    /// How many values there are, null among them.
    pub fn count(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Returns the field at these names below it.
    pub fn at(&self, names: &[&str]) -> Option<&Self> {
        match names.split_first() {
            None => Some(self),
            Some((name, rest)) => self
                .fields
                .iter()
                .find(|field| field.name == *name)?
                .at(rest),
        }
    }
}

#[cfg(test)]
mod tests;
