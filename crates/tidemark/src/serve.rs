//! One service for each process: what Kubernetes runs.

use std::path::PathBuf;

use anyhow::Context as _;
use bus::{Bus, BusConfig};
use service::telemetry::{self, TelemetryConfig};
use service::{Context, Identity, Recipient, Settings, Shutdown};
use store::Store;

use crate::cli;
use crate::egress_args::EgressArgs;
use crate::failure::Failure;

/// Starts logs, traces and the meter of a process.
pub(crate) fn telemetry(
    service: &'static str,
    arguments: &service::config::ServiceArgs,
) -> anyhow::Result<telemetry::Telemetry> {
    let mut config = TelemetryConfig::new(service);
    config.log_format = arguments.log_format;
    config.otlp_endpoint.clone_from(&arguments.otlp_endpoint);
    if service == "demo" {
        // What happens is shown; only trouble is worth a line of log between it.
        "warn,bus=error".clone_into(&mut config.default_filter);
    }
    telemetry::init(&config).context("telemetry cannot start")
}

/// How this binary starts its own expression workers.
pub(crate) fn worker_program() -> anyhow::Result<evaluator::WorkerProgram> {
    let path = std::env::current_exe().context("this program does not know where it is")?;
    Ok(evaluator::WorkerProgram {
        path,
        arguments: vec!["worker".into()],
    })
}

/// Connects to NATS as `name`.
pub(crate) async fn connect(url: &str, name: &str) -> anyhow::Result<Bus> {
    Bus::connect(BusConfig::new(url, name))
        .await
        .context("NATS cannot be used")
}

/// Returns the address of the store that a service was given.
fn store_url(arguments: &cli::Service) -> Result<&str, Failure> {
    let url = arguments.store.as_deref().ok_or_else(|| {
        Failure::invalid("this service needs a store: --store sqlite:PATH or --store postgres://…")
    })?;
    check_store(url)?;
    Ok(url)
}

/// Refuses an address that no store has.
pub(crate) fn check_store(url: &str) -> Result<(), Failure> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(()),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(()),
        // What was given is not repeated: an address may hold a password.
        _ => Err(Failure::invalid(
            "--store: is no address of a store (write sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE)",
        )),
    }
}

async fn open_store(url: &str) -> anyhow::Result<Store> {
    Store::open(url).await.context("the store cannot be opened")
}

fn settings(arguments: &cli::Service) -> Settings {
    Settings {
        probes: arguments.process.probes,
        drain: arguments.process.drain(),
    }
}

/// Runs the scheduler.
pub(crate) async fn scheduler(arguments: cli::Service) -> Result<(), Failure> {
    let store_url = store_url(&arguments)?;
    let _telemetry = telemetry("scheduler", &arguments.process)?;
    let context = Context::new("scheduler", Shutdown::on_signals()?);
    let store = open_store(store_url).await?;
    let bus = connect(&arguments.nats, "tidemark-scheduler").await?;
    let start = |context| scheduler::run(scheduler::Config::default(), context, store, bus);
    finish(service::run(context, settings(&arguments), start).await)
}

/// Runs a fetcher.
pub(crate) async fn fetcher(arguments: cli::Service) -> Result<(), Failure> {
    arguments.egress.check()?;
    let identities = identities(&arguments.secret_identity)
        .map_err(|error| Failure::invalid(format!("--secret-identity: {error:#}")))?;
    let mail = arguments
        .mail
        .server()
        .map_err(|error| Failure::invalid(format!("{error:#}")))?;
    let _telemetry = telemetry("fetcher", &arguments.process)?;
    let context = Context::new("fetcher", Shutdown::on_signals()?);
    let bus = connect(&arguments.nats, "tidemark-fetcher").await?;
    let mut config = fetcher_config(&arguments.egress, identities)?;
    config.mail = mail;
    let start = |context| fetcher::run(config, context, bus);
    finish(service::run(context, settings(&arguments), start).await)
}

/// Runs an evaluator.
pub(crate) async fn evaluator(arguments: cli::Service) -> Result<(), Failure> {
    let store_url = store_url(&arguments)?;
    let _telemetry = telemetry("evaluator", &arguments.process)?;
    let context = Context::new("evaluator", Shutdown::on_signals()?);
    let store = open_store(store_url).await?;
    let bus = connect(&arguments.nats, "tidemark-evaluator").await?;
    let mut config = evaluator::Config::new(worker_program()?);
    config.workers = arguments.concurrency.unwrap_or(config.workers).max(1);
    config.public_url.clone_from(&arguments.public_url);
    let start = |context| evaluator::run(config, context, store, bus);
    finish(service::run(context, settings(&arguments), start).await)
}

/// Runs a gateway.
pub(crate) async fn gateway(arguments: cli::Service) -> Result<(), Failure> {
    let store_url = store_url(&arguments)?;
    let recipient: Recipient = arguments
        .secret_recipient
        .as_deref()
        .ok_or_else(|| Failure::invalid("the gateway seals secrets: --secret-recipient age1… (the public key of the fetchers' identity)"))?
        .parse()
        .map_err(|error| Failure::invalid(format!("--secret-recipient: {error}")))?;
    let mut config = gateway::Config::default();
    if let Some(listen) = &arguments.listen {
        config.listen = resolve(listen).await?;
    }
    let _telemetry = telemetry("gateway", &arguments.process)?;
    let context = Context::new("gateway", Shutdown::on_signals()?);
    let store = open_store(store_url).await?;
    let bus = connect(&arguments.nats, "tidemark-gateway").await?;
    first_token(&store).await?;
    config.public_url.clone_from(&arguments.public_url);
    config.serves_telemetry = arguments.process.probes.is_none();
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let start = |context| async move {
        gateway::run_on(listener, config, context, store, bus, recipient).await;
        Ok::<(), std::convert::Infallible>(())
    };
    finish(service::run(context, settings(&arguments), start).await)
}

/// Brings the store's tables up to date.
pub(crate) async fn migrate(arguments: cli::Service) -> Result<(), Failure> {
    let store = open_store(store_url(&arguments)?).await?;
    store
        .migrate()
        .await
        .context("the store cannot be migrated")?;
    store.close().await;
    say!("the store is up to date");
    Ok(())
}

/// Creates or checks streams and consumers.
pub(crate) async fn provision(arguments: cli::Provision) -> Result<(), Failure> {
    let bus = connect(&arguments.nats, "tidemark-provision").await?;
    let provision = bus::Provision {
        replicas: arguments.replicas,
        ..bus::Provision::default()
    };
    if arguments.check {
        bus.check().await.context("NATS is not provisioned")?;
        say!("streams and consumers are as they should be");
    } else {
        bus.provision(&provision)
            .await
            .context("NATS cannot be provisioned")?;
        say!("streams and consumers are ready");
    }
    Ok(())
}

/// Makes `TIDEMARK_TOKEN` the first admin token, when there is no admin yet.
async fn first_token(store: &Store) -> anyhow::Result<()> {
    let Some(text) = std::env::var("TIDEMARK_TOKEN")
        .ok()
        .filter(|text| !text.is_empty())
    else {
        return Ok(());
    };
    first_admin(store, &text)
        .await
        .context("the first token cannot be kept")?;
    Ok(())
}

/// Makes `text` the first admin token; false when there is an admin already.
pub(crate) async fn first_admin(store: &Store, text: &str) -> Result<bool, store::Error> {
    let token = store::NewToken {
        hash: gateway::hash_token(text),
        workspace: Some(store::DEFAULT_WORKSPACE.to_owned()),
        role: "admin".to_owned(),
        name: "first admin".to_owned(),
        expires_at: None,
    };
    Ok(store.insert_first_admin(&token).await?.is_some())
}

/// The fetcher's settings from flags.
pub(crate) fn fetcher_config(
    egress: &EgressArgs,
    identities: Vec<Identity>,
) -> anyhow::Result<fetcher::Config> {
    Ok(fetcher::Config {
        identities,
        guard: egress.guard()?,
        proxy: egress.proxy()?,
        extra_authorities: egress.authorities()?,
        ..fetcher::Config::default()
    })
}

fn identities(files: &[PathBuf]) -> anyhow::Result<Vec<Identity>> {
    let mut identities = Vec::new();
    for file in files {
        identities.extend(
            Identity::load(file)
                .with_context(|| format!("the identity in {} cannot be read", file.display()))?,
        );
    }
    Ok(identities)
}

/// Reads the `HOST:PORT` of `--listen`.
pub(crate) async fn resolve(text: &str) -> Result<std::net::SocketAddr, Failure> {
    let no_address = || {
        Failure::invalid(format!(
            "--listen: `{text}` is not an address to listen on, such as 127.0.0.1:8080"
        ))
    };
    let mut found = tokio::net::lookup_host(text)
        .await
        .map_err(|_| no_address())?;
    found.next().ok_or_else(no_address)
}

fn finish<E: std::error::Error + 'static>(
    outcome: Result<(), service::run::RunError<E>>,
) -> Result<(), Failure> {
    outcome.map_err(|error| Failure::failed(service::report::chain(&error)))
}
