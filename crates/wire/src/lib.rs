#![doc = include_str!("../README.md")]

/// The messages as generated from `proto/tidemark/v1`.
#[allow(clippy::pedantic, reason = "generated from proto/")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tidemark.v1.rs"));
}

mod json;
mod vocabulary;

pub mod alert;
pub mod budget;
pub mod connection;
pub mod credential;
pub mod dead_letter;
pub mod delivery;
pub mod header;
pub mod message;
pub mod page;
pub mod preview;
pub mod progress;
pub mod provenance;
pub mod push;
pub mod run_manifest;
pub mod stream;
pub mod subject;
pub mod sync_request;
pub mod update;

pub use alert::Alert;
pub use budget::Budget;
pub use connection::{ConnectionTest, ConnectionTested, ConsentGiven, ConsentRedeemed, TestStep};
pub use credential::{SecretKept, SecretReplaced, SecretsRead, SecretsWanted};
pub use dead_letter::DeadLetter;
pub use delivery::{Delivered, Delivery};
pub use json::Json;
pub use message::{Malformed, Message};
pub use page::{PageEntry, PageHeaders};
pub use preview::{PreviewEvaluate, PreviewEvaluated, PreviewFetch, PreviewFetched};
pub use progress::{Progress, Wake};
pub use provenance::{RowsFound, RowsWanted};
pub use push::{RowsPushed, RowsTaken};
pub use run_manifest::{RunError, RunManifest};
pub use subject::{Filter, InvalidToken, Subject};
pub use sync_request::{ParentRecords, Resume, SealedSecret, SyncRequest, Window};
pub use update::{Change, MetricUpdate};
