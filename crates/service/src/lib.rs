//! The process chassis: what every service needs before it can do its own work.
//!
//! | file | gives |
//! |---|---|
//! | [`mod@run`] | [`Context`], the handful of things a service is handed, and the start-to-stop sentence |
//! | [`config`] | the flags and variables that all services share |
//! | [`secret`] | age identities, sealed secrets, and a text that prints as `***` |
//! | [`telemetry`] | logs, traces, the meter and its registry |
//! | [`probes`] | `/livez`, `/readyz`, `/metrics`, and the states behind them |
//! | [`tasks`] | the only way to spawn |
//! | [`shutdown`] | the signal that everything waits for |
//! | [`clock`] | the time, handed in |
//! | [`report`] | an error and its causes, said once |

pub mod clock;
pub mod config;
pub mod probes;
pub mod report;
pub mod run;
pub mod secret;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;

pub use clock::Clock;
pub use probes::{Heartbeat, Liveness, Part, Readiness};
pub use run::{Context, Settings, run};
pub use secret::{Identity, Recipient, SealedSecret, Secret, SecretError, open, seal};
pub use shutdown::Shutdown;
pub use tasks::{TaskHandle, Tasks};
