//! Calls the APIs.
pub mod egress;
pub mod decode;
pub mod http;
pub mod retry;
