//! Previews: a draft fetched once and evaluated as often as somebody types, by request and reply over core NATS.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::{
    PreviewEvaluate, PreviewEvaluated, PreviewExchange, PreviewFetch, PreviewFetched,
    PreviewHeader, PreviewParent, PreviewRecords, PreviewRejected, PreviewWarning,
};

/// What stands for the dataset of a draft: no dataset's id, since those begin with `d_`.
pub const DATASET: &str = "preview";

/// What stands for the kind of a draft's run.
pub const KIND: &str = "preview";

/// Pages of a draft, unless more are asked for.
pub const PAGES: u32 = 5;

/// Most pages of a draft: a look, not a sync.
pub const MOST_PAGES: u32 = 20;

/// How long a draft's pages stay in the stream; long enough to type, too short to be a copy of the data.
pub const LIFE: std::time::Duration = std::time::Duration::from_mins(10);

/// Required by a question whose request is made once for each record of a parent dataset.
pub const PARENTS: &str = "parents";

macro_rules! of_a_draft {
    ($($message:ident on $subject:path $(, needs $requires:ident, knows $abilities:expr)?;)+) => {$(
        impl Message for $message {
            const NAME: &'static str = stringify!($message);

            $(const ABILITIES: &'static [&'static str] = $abilities;)?

            fn subject(&self) -> Result<Subject, InvalidToken> {
                $subject(&self.workspace)
            }

            fn workspace(&self) -> &str {
                &self.workspace
            }

            fn identity(&self) -> Vec<(&'static str, &str)> {
                vec![("workspace", &self.workspace), ("draft", &self.draft)]
            }

            $(fn requires(&self) -> &[String] {
                &self.$requires
            })?
        }
    )+};
}

of_a_draft! {
    PreviewFetch on subject::preview_fetch, needs requires, knows &[PARENTS];
    PreviewFetched on subject::preview_fetch;
    PreviewEvaluate on subject::preview_evaluate, needs requires, knows &[PARENTS];
    PreviewEvaluated on subject::preview_evaluate;
}
