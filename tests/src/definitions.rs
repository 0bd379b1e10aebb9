//! Definitions over the sample API that several tests use.

use sample_api::{Config, Server};

use crate::Standalone;

/// Starts the sample API and a house in which [`numbered_metric`] reads it, with its secret.
pub async fn numbered_house(config: Config) -> (Server, Standalone) {
    let secret = config.secret.clone();
    let api = Server::start(config).await.expect("the sample API starts");
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house.cli.secret("kit_api_secret", &secret).await;
    (api, house)
}

/// A connection `kit` and a metric of subscribers by day and state, numbered pages.
pub fn numbered_metric(base_url: &str) -> String {
    format!(
        r"
kind: connection
name: kit
base_url: {base_url}
auth: {{ query: {{ api_secret: {{ secret: kit_api_secret }} }} }}
---
kind: metric
name: new_subscribers
title: New subscribers
connection: kit
request:
  path: /v3/subscribers
  pagination: {{ page: {{ param: page, total_pages: total_pages }} }}
  max_pages: 1000
select:
  records: subscribers
  value: {{ count: true }}
  dimensions: {{ state: state }}
  date: created_at
  key: id
resolution: day
"
    )
}

/// A metric `all_subscribers` that counts subscribers by state, over cursors, on connection `kit_v4`.
pub fn cursor_metric(base_url: &str) -> String {
    format!(
        r"
kind: connection
name: kit_v4
base_url: {base_url}
auth: {{ header: {{ X-Kit-Api-Key: {{ secret: kit_api_key }} }} }}
---
kind: metric
name: all_subscribers
connection: kit_v4
request:
  path: /v4/subscribers
  query: {{ per_page: 500, status: all }}
  pagination: {{ cursor: {{ from: pagination.end_cursor, param: after, has_more: pagination.has_next_page }} }}
select:
  records: subscribers
  value: {{ count: true }}
  dimensions: {{ state: state }}
  key: id
type: levels
"
    )
}
