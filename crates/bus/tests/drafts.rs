//! Drafts: kept for a moment beside real pages, and gone by themselves.

use crate::support;

use async_nats::jetstream;
use bus::testing::TestServer;
use bus::{PageBody, Provision};
use bytes::Bytes;
use std::time::Duration;
use support::{page_headers, until};
use wire::{PageEntry, PreviewFetched, RunManifest};

const DRAFT: &str = "r_00000000000000000001";

fn fetched(page: bus::PublishedPage) -> PreviewFetched {
    let entry = PageEntry {
        number: 1,
        sequences: page.sequences,
        hash: page.hash,
        bytes: page.bytes,
        ..PageEntry::default()
    };
    PreviewFetched {
        workspace: "default".to_owned(),
        draft: DRAFT.to_owned(),
        manifest: Some(RunManifest {
            pages: vec![entry],
            ..RunManifest::default()
        }),
        ..PreviewFetched::default()
    }
}

#[tokio::test]
async fn a_draft_comes_back_with_its_pages_and_goes_by_itself() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let body = Bytes::from_static(br#"{"workspace":"default","draft":"r_00000000000000000001"}"#);
    let life = Duration::from_secs(2);
    let page = bus
        .publish_draft_page(
            "default",
            page_headers(DRAFT, 1),
            PageBody::of(body.clone()),
            life,
        )
        .await
        .unwrap();
    // A page that looks like a draft is still a page.
    assert_eq!(bus.draft("default", DRAFT).await.unwrap(), None);
    let real = bus
        .publish_page(
            "default",
            "d_1",
            page_headers("r_1", 1),
            1,
            PageBody::of(body.clone()),
        )
        .await
        .unwrap();

    let kept = fetched(page);
    bus.keep_draft(&kept, life).await.unwrap();
    let found = bus.draft("default", DRAFT).await.unwrap();
    assert_eq!(found.as_ref(), Some(&kept));
    let pages = kept.manifest.as_ref().unwrap().pages.clone();
    assert_eq!(bus.pages(&pages).await.unwrap(), Some(vec![body]));
    assert_eq!(bus.draft("acme", DRAFT).await.unwrap(), None, "another's");

    until("the draft is gone", || async {
        bus.draft("default", DRAFT).await.unwrap().is_none()
            && bus.pages(&pages).await.unwrap().is_none()
    })
    .await;
    let still = bus.page(real.sequences[0]).await.unwrap();
    assert!(still.is_some(), "real pages stay");
}

#[tokio::test]
async fn a_stream_of_an_older_version_learns_to_let_drafts_go() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let plain = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut config = plain
        .get_stream("TIDEMARK_PAGE")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    plain.delete_stream("TIDEMARK_PAGE").await.unwrap();
    config.allow_message_ttl = false;
    plain.create_stream(config).await.unwrap();

    assert!(bus.check().await.is_err());
    bus.provision(&Provision::default()).await.unwrap();
    bus.check().await.unwrap();
}
