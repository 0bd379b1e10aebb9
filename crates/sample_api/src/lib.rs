//! A deterministic API like ConvertKit's, for the demo, the tests and the benchmarks.
//!
//! It answers from records made by a seed: version 3 (`api_secret`, numbered pages), version 4
//! (`X-Kit-Api-Key`, cursors), and the same subscribers behind every other way of paging and
//! signing in (`/api/…`, `/secured/{basic|bearer|token|header|query}/api/…`, and with tokens
//! `/oauth/api/…` and `/session/api/…`). It goes wrong on request
//! ([`Fault`]), knows what it served ([`Ledger`]) and what is true ([`Truth`]).
//!
//! | file | holds |
//! |---|---|
//! | `server`, `socket` | listening and answering |
//! | `house` | what the server keeps, and the control routes |
//! | `api` | which answer belongs to which path: `v3`, `v4`, `generic` |
//! | `door` | who may come in with a token: a token server, a login, and what they guard |
//! | `world`, `random` | the records, and the chance they are made from |
//! | `listing` | which records a page shows, and how a list is written |
//! | `orders` | records that come, change, move and go while somebody reads them |
//! | `answer`, `body`, `encode` | what goes back, and how it travels |
//! | `fault`, `suffer` | what goes wrong on request, and how it does |
//! | `ledger`, `truth` | what was served, and what is true |
//! | `query`, `config` | what was asked |

mod answer;
mod api;
mod body;
mod config;
mod door;
mod encode;
mod fault;
mod house;
mod ledger;
mod listing;
mod orders;
mod query;
mod random;
mod server;
mod socket;
mod suffer;
mod truth;
mod world;

pub use config::Config;
pub use door::{CLIENT, LASTING_REFRESH, REFRESH};
pub use fault::{Fault, UnknownFault};
pub use ledger::{Ledger, Served};
pub use orders::Order;
pub use server::Server;
pub use truth::{By, Sums, Truth, Wanted};
