//! The trail of a run: what a process that is killed would have known, so that whoever gets the request next goes on
//! behind the pages that are already kept.
//!
//! It is written in pieces while pages arrive. Each piece names the one before it, so that two processes that work
//! on one request at the same time cannot mix theirs: what is read back is always the whole trail of one of them up
//! to some moment. A trail that is lost, too long or torn costs requests, never numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wire::{Json, PageEntry, SyncRequest};

use super::Outlet;
use super::walks::Run;

/// How much work a kill may cost, and how often a run is held up for a moment.
const EVERY: Duration = Duration::from_secs(1);

/// Longest piece: a NATS message holds twice as much. A run with more to say in one piece leaves no further trail.
const MOST_BYTES: usize = 512 * 1024;

/// Most pieces of one trail: a run checkpoints long before.
const MOST_PIECES: u32 = 2_000;

/// One step of a trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Piece {
    id: u64,
    /// The piece before it; nothing in the first.
    after: Option<u64>,
    /// The pages kept since then.
    pages: Vec<PageEntry>,
    /// Where the pagination stands behind all pages so far.
    next: serde_json::Value,
}

/// A trail while it is written.
#[derive(Debug)]
pub(super) struct Trail {
    due: Instant,
    /// Pages of the manifest that the trail, or the request itself, knows already.
    told: usize,
    pieces: u32,
    last: Option<u64>,
    is_open: bool,
}

impl Trail {
    /// A trail that goes on behind `found`; nothing in it for a run that begins with its request.
    pub(super) fn behind(found: Found) -> Self {
        Trail {
            due: Instant::now() + EVERY,
            told: 0,
            pieces: found.pieces,
            last: found.last,
            is_open: found.pieces < MOST_PIECES,
        }
    }

    /// Takes in how the run began: with the `known` pages that its request holds, or without them.
    pub(super) fn begin(&mut self, known: Option<usize>, resumed: bool) {
        match known {
            Some(pages) if resumed => self.told = pages,
            // What the request holds was of no use, so a trail behind it would be of none.
            Some(_) => self.is_open = false,
            None => {}
        }
    }

    /// Whether the next piece should be written, of a run with `pages` pages.
    pub(super) fn is_due(&self, pages: usize) -> bool {
        self.is_open && pages > self.told && Instant::now() >= self.due
    }
}

/// How much of a trail was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pieces: u32,
    last: Option<u64>,
}

impl<O: Outlet> Run<'_, O> {
    /// Writes the next piece. Every page that the walks have judged must be kept by now.
    pub(super) async fn leave_trail(&mut self) {
        let next = self.checkpoint();
        let piece = Piece {
            id: rand::random(),
            after: self.trail.last,
            pages: self
                .manifest
                .pages
                .get(self.trail.told..)
                .unwrap_or_default()
                .to_vec(),
            next,
        };
        let written = serde_json::to_vec(&piece).unwrap_or_default();
        // A cursor that holds a secret must not travel.
        let is_safe = !self
            .plan
            .redactor
            .finds_in(piece.next.to_string().as_bytes());
        if !is_safe || written.is_empty() || written.len() > MOST_BYTES {
            self.trail.is_open = false;
            return;
        }
        let left = self
            .outlet
            .leave(self.request, self.trail.pieces, written.into());
        if left.await {
            self.trail.told = self.manifest.pages.len();
            self.trail.last = Some(piece.id);
            self.trail.pieces += 1;
            self.trail.is_open = self.trail.pieces < MOST_PIECES;
        }
        self.trail.due = Instant::now() + EVERY;
    }
}

/// Puts what an earlier process left of the same request into it, and says how much that was.
pub async fn follow<O: Outlet>(request: &mut SyncRequest, outlet: &O) -> Found {
    let mut found = Found::default();
    let mut pages = Vec::new();
    let mut next = None;
    while found.pieces < MOST_PIECES
        && let Some(read) = outlet.left(request, found.pieces).await
        && let Ok(piece) = serde_json::from_slice::<Piece>(&read)
        && piece.after == found.last
    {
        pages.extend(piece.pages);
        next = Some(piece.next);
        found = Found {
            pieces: found.pieces + 1,
            last: Some(piece.id),
        };
    }
    if let Some(next) = next {
        tracing::info!(
            run = request.run,
            pages = pages.len(),
            "the run goes on where a process that is gone left it"
        );
        let resume = request.resume.get_or_insert_default();
        resume.pages.extend(pages);
        resume.next = Some(Json::from(next));
        resume.manifest = None;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use bytes::Bytes;
    use wire::{PageHeaders, Progress, Resume};

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<BTreeMap<u32, Bytes>>);

    impl Kept {
        fn put(&self, place: u32, piece: &Piece) {
            let value = serde_json::to_vec(piece).unwrap();
            self.0.lock().unwrap().insert(place, value.into());
        }
    }

    impl Outlet for Kept {
        async fn page(
            &self,
            _: &str,
            _: &str,
            _: PageHeaders,
            _: bus::PageBody,
        ) -> Result<bus::PublishedPage, String> {
            Err("no pages here".to_owned())
        }

        async fn progress(&self, _: Progress) {}

        async fn in_hand(&self) {}

        async fn left(&self, _: &SyncRequest, piece: u32) -> Option<Bytes> {
            self.0.lock().unwrap().get(&piece).cloned()
        }
    }

    fn piece(id: u64, after: Option<u64>, numbers: &[u32]) -> Piece {
        let page = |number: &u32| PageEntry {
            number: *number,
            ..PageEntry::default()
        };
        Piece {
            id,
            after,
            pages: numbers.iter().map(page).collect(),
            next: serde_json::json!({"at": id}),
        }
    }

    fn pages(request: &SyncRequest) -> Vec<u32> {
        let resume = request.resume.as_ref().unwrap();
        resume.pages.iter().map(|page| page.number).collect()
    }

    #[tokio::test]
    async fn a_trail_is_followed_to_its_end_behind_what_the_request_holds() {
        let kept = Kept::default();
        kept.put(0, &piece(7, None, &[3, 4]));
        kept.put(1, &piece(8, Some(7), &[5]));
        let mut request = SyncRequest {
            resume: Some(Resume {
                pages: piece(0, None, &[1, 2]).pages,
                next: Some(Json::from(serde_json::json!({"at": "checkpoint"}))),
                manifest: None,
            }),
            ..SyncRequest::default()
        };
        let found = follow(&mut request, &kept).await;
        assert_eq!((found.pieces, found.last), (2, Some(8)));
        assert_eq!(pages(&request), [1, 2, 3, 4, 5]);
        let next = request.resume.unwrap().next.unwrap();
        assert_eq!(next.0, serde_json::json!({"at": 8}));
    }

    #[tokio::test]
    async fn pieces_of_two_processes_are_never_mixed() {
        let kept = Kept::default();
        kept.put(0, &piece(7, None, &[1]));
        kept.put(1, &piece(9, Some(7), &[2]));
        // Of a process that wrote another second piece.
        kept.put(2, &piece(10, Some(8), &[4]));
        let mut request = SyncRequest::default();
        let found = follow(&mut request, &kept).await;
        assert_eq!((found.pieces, found.last), (2, Some(9)));
        assert_eq!(pages(&request), [1, 2]);
    }

    #[tokio::test]
    async fn without_a_trail_the_request_stays_as_it_is() {
        let mut request = SyncRequest::default();
        let found = follow(&mut request, &Kept::default()).await;
        assert_eq!(found, Found::default());
        assert_eq!(request.resume, None);
    }

    #[tokio::test]
    async fn what_cannot_be_read_ends_the_trail() {
        let kept = Kept::default();
        kept.put(0, &piece(7, None, &[1]));
        kept.0.lock().unwrap().insert(1, Bytes::from_static(b"{"));
        let mut request = SyncRequest::default();
        assert_eq!(follow(&mut request, &kept).await.pieces, 1);
        assert_eq!(pages(&request), [1]);
    }

    #[tokio::test]
    async fn a_run_that_could_not_use_what_its_request_holds_leaves_no_trail() {
        let mut trail = Trail::behind(Found::default());
        trail.due = Instant::now();
        assert!(trail.is_due(1));
        trail.begin(Some(0), false);
        assert!(!trail.is_due(1));
    }
}
