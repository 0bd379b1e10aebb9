#![doc = include_str!("../README.md")]

mod ask;
mod bucket;
mod connect;
mod consume;
mod dead;
mod drafts;
mod error;
mod hand_over;
mod in_hand;
mod memory;
mod outcome;
mod pages;
mod provision;
mod publish;
mod publish_pages;
mod run_pages;
mod runs;
mod take_over;
mod trace_context;
mod updates;

#[cfg(feature = "testing")]
#[expect(
    clippy::missing_panics_doc,
    reason = "without its server a test can only panic"
)]
pub mod testing;

pub use ask::{Ask, Listening};
pub use bucket::{Budgets, Held, Swap, Tokens};
pub use connect::{Bus, BusConfig, OLDEST_SERVER};
pub use consume::Delivery;
pub use error::Error;
pub use in_hand::InHand;
pub use memory::Memory;
pub use outcome::{Outcome, Reason};
pub use pages::StoredPage;
pub use provision::Provision;
pub use publish::Published;
pub use publish_pages::{PageBody, PublishedPage};
pub use run_pages::RunPages;
pub use trace_context::{continue_trace, trace_parent};
pub use updates::{Announced, Updates};

/// The same error under a name that stands alone.
pub type BusError = Error;
