//! The flags and variables that all services share.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// Short lines for a person at a terminal.
    Text,
}

/// The settings that every service takes, as flags or `TIDEMARK_*` variables.
#[derive(Args, Clone, Debug)]
pub struct ServiceArgs {
    /// How log lines on standard error are written
    #[arg(
        long,
        env = "TIDEMARK_LOG_FORMAT",
        value_enum,
        default_value_t,
        global = true
    )]
    pub log_format: LogFormat,

    /// Where traces are sent by OTLP over HTTP, for instance http://127.0.0.1:4318; nowhere by default
    #[arg(
        long,
        env = "TIDEMARK_OTLP_ENDPOINT",
        value_name = "URL",
        global = true
    )]
    pub otlp_endpoint: Option<String>,

    /// Where /livez, /readyz and /metrics are served; nowhere by default
    #[arg(long, env = "TIDEMARK_PROBES", value_name = "ADDRESS", global = true)]
    pub probes: Option<SocketAddr>,

    /// How long, in seconds, work in hand may take to end after SIGTERM
    #[arg(long, env = "TIDEMARK_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = DRAIN.as_secs(), global = true)]
    pub drain_seconds: u64,
}

/// A page in hand ends within half of this; a pod is given 30 s before it is killed.
pub const DRAIN: Duration = Duration::from_secs(25);

impl ServiceArgs {
    /// Returns how long work in hand may take to end.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

impl Default for ServiceArgs {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Json,
            otlp_endpoint: None,
            probes: None,
            drain_seconds: DRAIN.as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        service: ServiceArgs,
    }

    #[test]
    fn flags_have_defaults_that_fit_a_pod() {
        let program = Program::parse_from(["x"]);
        assert_eq!(program.service.log_format, LogFormat::Json);
        assert_eq!(program.service.drain(), DRAIN);
        assert!(program.service.probes.is_none());
    }

    #[test]
    fn flags_are_read() {
        let program =
            Program::parse_from(["x", "--log-format", "text", "--probes", "127.0.0.1:9100"]);
        assert_eq!(program.service.log_format, LogFormat::Text);
        assert_eq!(program.service.probes.unwrap().port(), 9100);
    }
}
