//! The sample API as a program: prints its address, answers until Ctrl-C.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use clap::Parser;
use jiff::civil::Date;
use sample_api::{Config, Server};

/// A deterministic API like ConvertKit's
#[derive(Parser)]
struct Arguments {
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Decides every record
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The last day that has records; without it they end with the present hour
    #[arg(long)]
    today: Option<Date>,
    /// How many days the records span
    #[arg(long, default_value_t = 400)]
    days: u32,
    /// How many subscribers there are
    #[arg(long, default_value_t = 10_000)]
    subscribers: u32,
    /// Records on a page
    #[arg(long, default_value_t = 50)]
    page_size: u32,
    /// The secret that callers need
    #[arg(
        long,
        env = "SAMPLE_API_SECRET",
        default_value = "sample-secret",
        hide_env_values = true
    )]
    secret: String,
    /// How long every answer is held back, in milliseconds
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Requests answered in any 60 seconds; no limit by default
    #[arg(long)]
    requests_a_minute: Option<u32>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let server = Server::start(Config {
        seed: arguments.seed,
        host: arguments.host,
        port: arguments.port,
        today: arguments.today,
        days: arguments.days,
        subscribers: arguments.subscribers,
        page_size: arguments.page_size,
        secret: arguments.secret,
        latency: Duration::from_millis(arguments.latency_ms),
        rate_limit: arguments
            .requests_a_minute
            .map(|requests| (requests, Duration::from_mins(1))),
    })
    .await?;
    writeln!(std::io::stdout(), "ready: {}", server.url())?;
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
