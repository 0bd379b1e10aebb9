//! The `tidemark` binary.
//!
//! One program is every service, the whole of them at once (`standalone`), the demo, and the command
//! line of a running gateway.

#![expect(
    clippy::print_stderr,
    reason = "a command line speaks to its user on stderr"
)]

/// Prints a line to stdout. Where nobody reads any more (`| head`), the program ends without a word.
macro_rules! say {
    () => { $crate::output::say(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::say(format_args!("{}\n", format_args!($($text)*))) };
}

mod chart;
mod cli;
mod client;
mod commands;
mod demo;
mod draft;
mod egress_args;
mod failure;
mod import;
mod keep;
mod local;
mod mail_args;
mod nats_server;
mod output;
mod progress;
mod recording;
mod serve;
mod standalone;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use failure::Failure;

/// A third off the time of evaluating expressions; see the decision notes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Both TLS users, HTTP and NATS, take the same provider; with two of them installed by default
    // the first connection would not know which.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    match &cli.command {
        Command::Worker => return worker::run(),
        Command::Keep(arguments) => return keep::run(&arguments.program),
        Command::Eval(arguments) if arguments.bounded => {
            return ended(commands::expressions::eval_here(arguments));
        }
        _ => {}
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(dispatch(cli.command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended(outcome)
}

/// Says what is left to say and returns the exit code.
fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.has_text() {
                eprintln!("error: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Standalone(arguments) => standalone::run(arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Scheduler(arguments) => serve::scheduler(arguments).await,
        Command::Fetcher(arguments) => serve::fetcher(arguments).await,
        Command::Evaluator(arguments) => serve::evaluator(arguments).await,
        Command::Gateway(arguments) => serve::gateway(arguments).await,
        Command::Migrate(arguments) => serve::migrate(arguments).await,
        Command::Provision(arguments) => serve::provision(arguments).await,
        Command::Validate(arguments) => commands::definitions::validate(&arguments),
        Command::Apply(arguments) => commands::definitions::apply(&arguments).await,
        Command::Get(arguments) => commands::definitions::get(&arguments).await,
        Command::Delete(arguments) => commands::definitions::delete(&arguments).await,
        Command::Try(arguments) => commands::trying::run(&arguments).await,
        Command::Preview(arguments) => commands::preview::run(&arguments).await,
        Command::Record(arguments) => commands::recordings::record(&arguments).await,
        Command::Test(arguments) => commands::recordings::test(&arguments),
        Command::Sync(arguments) => commands::runs::sync(&arguments).await,
        Command::Backfill(arguments) => commands::runs::backfill(&arguments).await,
        Command::Recompute(arguments) => commands::runs::recompute(&arguments).await,
        Command::Runs(arguments) => commands::runs::runs(&arguments).await,
        Command::Query(arguments) => commands::numbers::query(&arguments).await,
        Command::Provenance(arguments) => commands::provenance::provenance(&arguments).await,
        Command::Deliveries(arguments) => commands::deliveries::deliveries(&arguments).await,
        Command::Goal(arguments) => commands::deliveries::goal(&arguments).await,
        Command::Board(arguments) => commands::deliveries::board(&arguments).await,
        Command::Push(arguments) => commands::push::push(&arguments).await,
        Command::Note(arguments) => commands::care::note(&arguments).await,
        Command::Notes(arguments) => commands::care::notes(&arguments).await,
        Command::Purge(arguments) => commands::care::purge(&arguments).await,
        Command::Watch(arguments) => commands::watch::watch(&arguments).await,
        Command::Connection(arguments) => {
            commands::connections::connection(&arguments.action).await
        }
        Command::Secret(arguments) => commands::secrets::secret(&arguments.action).await,
        Command::Connectors(arguments) => commands::catalogue::connectors(&arguments),
        Command::Import(arguments) => commands::importing::import(&arguments.from),
        Command::Schema => {
            commands::definitions::schema();
            Ok(())
        }
        Command::Token(arguments) => commands::tokens::token(&arguments.action).await,
        Command::Eval(arguments) => commands::expressions::eval(&arguments).await,
        Command::CheckUrl(arguments) => commands::trying::check_url(&arguments),
        Command::Worker | Command::Keep(_) => Ok(()),
    }
}
