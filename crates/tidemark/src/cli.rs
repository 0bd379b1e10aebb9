//! The words of the command line.

mod numbers;

use std::path::PathBuf;

use crate::egress_args::EgressArgs;
use crate::mail_args::MailArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use numbers::{Deliveries, NewNote, Notes, Provenance, Purge, Push, Query, ShowOne};

/// Any REST API in, live metrics out.
#[derive(Debug, Parser)]
#[command(name = "tidemark", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process, with a nats-server child and SQLite
    Standalone(Standalone),
    /// Show Tidemark at work on a sample API
    Demo(Demo),
    /// Run the service that decides what is due
    Scheduler(Service),
    /// Run the service that calls APIs
    Fetcher(Service),
    /// Run the service that turns pages into numbers
    Evaluator(Service),
    /// Run the HTTP API
    Gateway(Service),
    /// Bring the store's tables up to date
    Migrate(Service),
    /// Create or check the streams and consumers in NATS
    Provision(Provision),
    /// Check definitions without applying them
    Validate(Files),
    /// Apply definitions, all or nothing
    Apply(Apply),
    /// Show definitions of a kind, or one of them
    Get(Get),
    /// Delete a definition
    Delete(Delete),
    /// Call an address once and draft a metric from the answer
    Try(Try),
    /// Fetch a few pages of a draft metric and show what becomes of them
    Preview(Preview),
    /// Keep the pages of a metric's last run as files, to test definitions with
    Record(Record),
    /// Evaluate definitions over recordings and compare with the rows they gave
    Test(Test),
    /// Sync a metric now
    Sync(Sync),
    /// Fetch a past range again
    Backfill(Backfill),
    /// Evaluate the kept pages again, without calling the API
    Recompute(Named),
    /// List a metric's runs
    Runs(Runs),
    /// Ask for a metric's numbers
    Query(Query),
    /// Tell which runs, pages, requests and records made a number
    Provenance(Provenance),
    /// List messages to people and what became of them
    Deliveries(Deliveries),
    /// Tell how far a goal is
    Goal(ShowOne),
    /// Show all numbers of a board
    Board(ShowOne),
    /// Send values to a metric with `source: push`: JSON rows from a file or stdin
    Push(Push),
    /// Keep a note on a point or a range of a metric
    Note(NewNote),
    /// List what is noted of a metric, edits and outages included
    Notes(Notes),
    /// Delete all points of a metric
    Purge(Purge),
    /// Follow updates as they happen
    Watch(Watch),
    /// Keep credentials, write only
    Secret(Secret),
    /// Try a connection, or let a person authorize it
    Connection(Connection),
    /// List the known APIs, show one, or write a ready definition of it
    Connectors(Connectors),
    /// Draft definitions from what an API's documentation shows; nothing is sent
    Import(Import),
    /// Print the JSON Schema of definitions
    Schema,
    /// Make, list and revoke tokens
    Token(Token),
    /// Evaluate a JSONata expression on a page read from stdin
    Eval(Eval),
    /// Say whether the egress guard would allow an address, without connecting
    CheckUrl(CheckUrl),
    /// Evaluate expressions for an evaluator, over pipes
    #[command(hide = true)]
    Worker,
    /// Run a program that ends when stdin does
    #[command(hide = true)]
    Keep(Keep),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Keep {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) program: Vec<std::ffi::OsString>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
}

/// How the command line reaches a gateway.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// Address of the gateway [default: http://127.0.0.1:8080, or the only one running here]
    #[arg(long, env = "TIDEMARK_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Token; without it, the file that a local `standalone` keeps
    #[arg(
        long,
        env = "TIDEMARK_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// How answers are printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Standalone {
    /// Where data is kept [default: the user's data folder]
    #[arg(long, env = "TIDEMARK_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the HTTP API listens; port 0 takes a free one
    #[arg(
        long,
        env = "TIDEMARK_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "HOST:PORT"
    )]
    pub(crate) listen: String,
    /// The address people use: for links in messages, and to come back to after they authorized a connection [default:
    /// where it listens]
    #[arg(long, env = "TIDEMARK_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
    #[command(flatten)]
    pub(crate) mail: MailArgs,
    /// Use a running NATS instead of starting one
    #[arg(long, env = "TIDEMARK_NATS", value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Use this store instead of SQLite in the data folder
    #[arg(long, env = "TIDEMARK_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) process: service::config::ServiceArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Demo {
    /// Port of the HTTP API; a free one is taken if 8080 is busy
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Where data is kept [default: a new temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// End after the values are printed
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Service {
    /// NATS servers
    #[arg(
        long,
        env = "TIDEMARK_NATS",
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL"
    )]
    pub(crate) nats: String,
    /// The store: sqlite:PATH or postgres://… (the fetcher needs none)
    #[arg(
        long,
        env = "TIDEMARK_STORE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// Where the gateway listens (gateway only)
    #[arg(long, env = "TIDEMARK_LISTEN", value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// The address people use: for links in messages (evaluator), and to come back to after they authorized a connection
    /// (gateway) [default: where it listens]
    #[arg(long, env = "TIDEMARK_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
    #[command(flatten)]
    pub(crate) mail: MailArgs,
    /// Files with age identities that open secrets (fetcher only); may be repeated
    #[arg(
        long = "secret-identity",
        env = "TIDEMARK_SECRET_IDENTITY",
        value_delimiter = ',',
        value_name = "FILE"
    )]
    pub(crate) secret_identity: Vec<PathBuf>,
    /// The public key that secrets are sealed to (gateway only)
    #[arg(long, env = "TIDEMARK_SECRET_RECIPIENT", value_name = "age1…")]
    pub(crate) secret_recipient: Option<String>,
    /// How much one process does at a time: runs fetched, or expression workers
    #[arg(long, env = "TIDEMARK_CONCURRENCY")]
    pub(crate) concurrency: Option<usize>,
    #[command(flatten)]
    pub(crate) process: service::config::ServiceArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Provision {
    /// NATS servers
    #[arg(
        long,
        env = "TIDEMARK_NATS",
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL"
    )]
    pub(crate) nats: String,
    /// Copies of each stream in a NATS cluster
    #[arg(long, env = "TIDEMARK_NATS_REPLICAS", default_value_t = 1)]
    pub(crate) replicas: usize,
    /// Only compare; change nothing
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Files {
    /// Files of definitions (YAML or JSON); `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How problems are printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Apply {
    /// Files of definitions (YAML or JSON); `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Get {
    /// connection, dataset, metric, goal, alert, board or scorecard (plural is fine)
    pub(crate) kind: String,
    /// Show only this one
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Delete {
    /// connection, dataset, metric, goal, alert, board or scorecard
    pub(crate) kind: String,
    /// Which one
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Try {
    /// The address to call with GET
    #[arg(value_name = "URL")]
    pub(crate) address: String,
    /// A request header, `Name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Preview {
    /// A file with a draft metric, and its connection unless that is applied; `-` is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Which metric of the file; without a file, an applied one
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Option<String>,
    /// How many pages to fetch [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) pages: Option<u32>,
    /// Evaluate the pages of an earlier preview again, without a request
    #[arg(long, value_name = "ID")]
    pub(crate) draft: Option<String>,
    /// JSONata in place of the metric's own
    #[arg(long, value_name = "JSONATA")]
    pub(crate) expression: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Record {
    /// The metric
    pub(crate) name: String,
    /// Where the recording is kept, in a folder of the metric's name
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// The run, as `runs` shows it [default: the last that ended well]
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// A field whose values are masked, wherever it stands; may be repeated
    #[arg(long, value_name = "FIELD")]
    pub(crate) mask: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Test {
    /// A folder with recordings
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Files of definitions to test, instead of those recorded; may be repeated
    #[arg(short, long, value_name = "FILE")]
    pub(crate) definitions: Vec<PathBuf>,
    /// Keep the rows that come out now as the right ones
    #[arg(long)]
    pub(crate) update: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Sync {
    /// The metric
    pub(crate) name: String,
    /// Wait for the end and show progress
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Backfill {
    /// The metric
    pub(crate) name: String,
    /// First day or instant
    #[arg(long)]
    pub(crate) from: String,
    /// First day or instant that is not fetched any more
    #[arg(long)]
    pub(crate) until: String,
    /// Wait for the end and show progress
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Named {
    /// The metric
    pub(crate) name: String,
    /// Wait for the end
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Runs {
    /// The metric
    pub(crate) name: String,
    /// How many, newest first
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Watch {
    /// Only these metrics
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    #[command(subcommand)]
    pub(crate) action: ConnectionAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConnectionAction {
    /// Say in plain words whether it works, and what fails
    Test {
        /// The connection
        name: String,
        /// A path below its base address [default: what one of its metrics asks for, else the base address itself]
        #[arg(long)]
        path: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print the address where a person consents, and wait until they have
    Authorize {
        /// The connection
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Secret {
    #[command(subcommand)]
    pub(crate) action: SecretAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SecretAction {
    /// Keep a value, read from stdin
    Set {
        /// The name that connections refer to
        name: String,
        /// An origin the value may be sent to; by default those of the connections that use it
        #[arg(long)]
        origin: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List names, never values
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Forget a value
    Delete {
        /// The name
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Connectors {
    /// Show only this one
    pub(crate) name: Option<String>,
    /// Only those that hold these words, in their names, metrics or endpoints
    #[arg(long, value_name = "TEXT", conflicts_with = "name")]
    pub(crate) search: Option<String>,
    /// Write a ready definition: the connection and this metric
    #[arg(long, value_name = "METRIC", requires = "name")]
    pub(crate) metric: Option<String>,
    /// How answers are printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) from: ImportFrom,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ImportFrom {
    /// A curl line in quotes, its words, or `-` for stdin
    Curl {
        /// The line as the documentation shows it
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "LINE"
        )]
        line: Vec<String>,
    },
    /// An OpenAPI 3 document, JSON or YAML
    Openapi {
        /// The document; `-` is stdin
        file: PathBuf,
        /// Which operation: its operationId, or method and path such as `GET /orders`
        #[arg(long, value_name = "ID")]
        operation: Option<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) action: TokenAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token; its value is shown once
    Create {
        /// viewer, editor or admin
        #[arg(long, default_value = "viewer")]
        role: String,
        /// What it is for
        #[arg(long, default_value = "token")]
        name: String,
        /// When it ends, such as 30d
        #[arg(long)]
        expires: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List tokens, never their values
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// End a token at once
    Revoke {
        /// The token's id, as `list` shows it
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Eval {
    /// The JSONata expression
    #[arg(allow_hyphen_values = true)]
    pub(crate) expression: String,
    /// Show rows and rejected rows instead of what the engine returns
    #[arg(long)]
    pub(crate) rows: bool,
    /// Evaluate in this very process, within the limits of a worker
    #[arg(long, hide = true)]
    pub(crate) bounded: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckUrl {
    /// The address
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
}
