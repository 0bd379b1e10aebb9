//! What proves who we are: secrets that are put on requests as they are, and tokens that are given for them.
//!
//! Everything here goes only to the origins that the secrets were stored for. Tokens are kept in memory and, sealed to
//! the fetchers, in NATS KV; one fetcher at a time renews a connection's token.

mod access;
mod assertion;
mod fault;
mod lease;
mod login;
mod oauth2;
mod rotate;
mod shared;
mod tokens;

pub use access::{Access, SecretFault, open_secret, origin_of};
pub use fault::TokenFault;
pub use oauth2::{Code, Given};
pub use shared::Shared;
pub use tokens::{Patience, Token, Tokens};
