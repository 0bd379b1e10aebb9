//! The pages of previews: kept in the stream of pages for minutes, then let go by the broker itself.
//!
//! Their subjects name no dataset, so neither the keeping of runs nor the reconciler ever meets them.

use crate::connect::Bus;
use crate::error::Error;
use crate::publish_pages::{PageBody, PublishedPage};
use async_nats::HeaderMap;
use async_nats::jetstream::stream::{DirectGetErrorKind, LastRawMessageErrorKind};
use std::time::Duration;
use wire::message::{self, id};
use wire::preview::DATASET;
use wire::stream::Stream;
use wire::{PageHeaders, PreviewFetched, header};

impl Bus {
    /// Stores a page of a draft for `life`, in whole seconds.
    pub async fn publish_draft_page(
        &self,
        workspace: &str,
        page: PageHeaders,
        body: PageBody,
        life: Duration,
    ) -> Result<PublishedPage, Error> {
        self.store_page(workspace, DATASET, page, 1, body, Some(life))
            .await
    }

    /// Keeps what was fetched for a draft beside its pages, for as long as those.
    pub async fn keep_draft(&self, fetched: &PreviewFetched, life: Duration) -> Result<(), Error> {
        let subject = wire::subject::page(&fetched.workspace, DATASET, &fetched.draft)?;
        let payload = message::encode(fetched).map_err(Error::Encode)?;
        let id = id::content(&fetched.draft, &payload);
        let headers = || {
            let mut headers = HeaderMap::new();
            headers.insert(header::MESSAGE_ID, id.as_str());
            headers.insert(header::LIFE, life.as_secs().max(1).to_string());
            headers
        };
        self.publish(&subject, headers, payload.into()).await?;
        Ok(())
    }

    /// Returns what was fetched for a draft; nothing when it is gone, or never was.
    pub async fn draft(
        &self,
        workspace: &str,
        draft: &str,
    ) -> Result<Option<PreviewFetched>, Error> {
        let subject = wire::subject::page(workspace, DATASET, draft)?;
        let failed = |cause| Error::Read {
            what: "a draft",
            cause,
        };
        let handle = self.stream(&self.live().await?, Stream::Page).await?;
        let last = match handle.direct_get_last_for_subject(subject.as_str()).await {
            Ok(last) => last,
            // A replica may lag behind; the leader decides.
            Err(error) if matches!(error.kind(), DirectGetErrorKind::NotFound) => {
                match handle
                    .get_last_raw_message_by_subject(subject.as_str())
                    .await
                {
                    Ok(last) => last,
                    Err(error) => match error.kind() {
                        LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                        _ => return Err(failed(Box::new(error))),
                    },
                }
            }
            Err(error) => return Err(failed(Box::new(error))),
        };
        // A page means that the fetcher went away before it was done.
        if last.headers.get(header::PAGE).is_some() {
            return Ok(None);
        }
        Ok(message::decode(subject.as_str(), &last.payload)
            .ok()
            .filter(|found: &PreviewFetched| found.draft == draft))
    }
}
