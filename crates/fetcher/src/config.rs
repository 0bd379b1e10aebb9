//! The fetcher's settings.

use std::time::Duration;

use service::Identity;

use crate::auth::Patience;
use crate::deliver::MailServer;
use crate::egress::GuardConfig;
use crate::http::{Limits, Proxy};
use crate::retry::Policy;

/// What a fetcher is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Open the secrets of connections; several for rotation.
    pub identities: Vec<Identity>,
    /// What may be called.
    pub guard: GuardConfig,
    /// How long and how much an answer may take.
    pub limits: Limits,
    /// How failures are tried again.
    pub retry: Policy,
    /// Authorities trusted beside Mozilla's, as PEM (`--extra-ca`).
    pub extra_authorities: Option<Vec<u8>>,
    /// Everything is fetched through it (`--egress-proxy`).
    pub proxy: Option<Proxy>,
    /// The mail server that messages go through.
    pub mail: Option<MailServer>,
    /// Runs at the same time.
    pub concurrency: usize,
    /// After so much fetching a run checkpoints and hands back, so that no run holds a slot for ever.
    pub checkpoint_after: Duration,
    /// The longest wait (for a retry or a budget) that is waited in hand. Longer ones wait in the ledger; the broker
    /// must hear of a page before its patience (120 s) ends.
    pub longest_wait: Duration,
    /// The longest wait for a budget, or for a pause before a run's first request, that is waited in hand: whoever
    /// waits here holds a place that others could use.
    pub longest_budget_wait: Duration,
    /// How long requests in hand may go on once shutdown is asked for; the rest of the drain is for publishing.
    pub grace: Duration,
    /// Previews at the same time; a person waits for each.
    pub previews: usize,
    /// How long the pages of previews stay.
    pub draft_life: Duration,
    /// How long tokens are waited for.
    pub patience: Patience,
    /// At this delivery by the broker a sync request is a dead letter.
    pub deliveries: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            identities: Vec::new(),
            guard: GuardConfig::default(),
            limits: Limits::default(),
            retry: Policy::default(),
            extra_authorities: None,
            proxy: None,
            mail: None,
            concurrency: 16,
            checkpoint_after: Duration::from_mins(5),
            longest_wait: Duration::from_secs(45),
            longest_budget_wait: Duration::from_secs(5),
            grace: Duration::from_secs(10),
            previews: 4,
            draft_life: wire::preview::LIFE,
            patience: Patience::default(),
            deliveries: 5,
        }
    }
}
