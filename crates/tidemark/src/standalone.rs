//! Everything in one process: a nats-server child, SQLite, the four services.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bus::Bus;
use service::{Context, Identity, Shutdown};
use store::Store;
use tokio::net::TcpListener;

use crate::cli;
use crate::failure::Failure;
use crate::local::{self, Instance};
use crate::nats_server::NatsServer;
use crate::serve;

/// Readiness comes within a second; recovery of a large store takes longer.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// What runs in this process.
pub(crate) struct Standalone {
    /// Where the gateway answers, such as `http://127.0.0.1:8080`.
    pub(crate) url: String,
    /// Where NATS listens.
    pub(crate) nats_url: String,
    /// The admin token.
    pub(crate) token: String,
    /// Says when to stop.
    pub(crate) shutdown: Shutdown,
    context: Context,
    nats: Option<NatsServer>,
    store: Store,
    instance: Instance,
    drain: Duration,
    /// Held as long as this process uses the data folder.
    _lock: fs::File,
}

/// Runs until a signal.
pub(crate) async fn run(arguments: cli::Standalone) -> Result<(), Failure> {
    arguments.egress.check()?;
    serve::resolve(&arguments.listen).await?;
    if let Some(store) = &arguments.store {
        serve::check_store(store)?;
    }
    let _telemetry = serve::telemetry("standalone", &arguments.process)?;
    let shutdown = Shutdown::on_signals()?;
    let running = Standalone::start(&arguments, shutdown).await?;
    // Whoever read the address may have closed the pipe behind it; the service goes on.
    let _ = writeln!(
        std::io::stdout(),
        "nats: {}\nready: {}\ntoken: {} (kept in {})",
        running.nats_url,
        running.url,
        running.token,
        running.instance.token_file.display()
    );
    running.shutdown.requested().await;
    running.stop().await;
    Ok(())
}

impl Standalone {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(
        arguments: &cli::Standalone,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let data = arguments
            .data
            .clone()
            .unwrap_or_else(local::default_data_directory);
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let data = data
            .canonicalize()
            .with_context(|| format!("cannot use {}", data.display()))?;
        only_for_me(&data);
        let lock = lock(&data)?;

        let listen = serve::resolve(&arguments.listen).await?;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen}: is something else using the port?")
        })?;
        let address = listener.local_addr()?;

        let (nats, nats_url) = if let Some(url) = &arguments.nats {
            (None, url.clone())
        } else {
            let server = NatsServer::start(&data.join("nats")).await?;
            let url = server.url().to_owned();
            (Some(server), url)
        };
        let starting = start_services(
            arguments,
            &data,
            listener,
            address,
            &nats_url,
            shutdown.clone(),
        );
        let started = tokio::select! {
            started = starting => started,
            () = shutdown.requested() => Err(anyhow::anyhow!("stopped before it was ready")),
        };
        let (context, store, token, token_file) = match started {
            Ok(started) => started,
            Err(error) => {
                shutdown.request();
                if let Some(nats) = &nats {
                    nats.stop().await;
                }
                return Err(error);
            }
        };
        let url = format!("http://{address}");
        let instance = Instance {
            url: url.clone(),
            token_file,
            pid: std::process::id(),
            allow_host: arguments.egress.opened(),
        };
        if let Err(error) = instance.announce() {
            tracing::warn!("the command line will not find this instance by itself: {error:#}");
        }
        let drain = arguments.process.drain();
        Ok(Self {
            url,
            nats_url,
            token,
            shutdown,
            context,
            nats,
            store,
            instance,
            drain,
            _lock: lock,
        })
    }

    /// Finishes what is in hand and ends everything, NATS last.
    pub(crate) async fn stop(self) {
        self.shutdown.request();
        self.context.tasks.drain(self.drain).await;
        self.store.close().await;
        if let Some(nats) = &self.nats {
            nats.stop().await;
        }
        self.instance.withdraw();
    }
}

type Started = (Context, Store, String, PathBuf);

async fn start_services(
    arguments: &cli::Standalone,
    data: &Path,
    listener: TcpListener,
    address: SocketAddr,
    nats_url: &str,
    shutdown: Shutdown,
) -> anyhow::Result<Started> {
    let context = Context::new("standalone", shutdown);
    let store_url = arguments
        .store
        .clone()
        .unwrap_or_else(|| format!("sqlite:{}", data.join("tidemark.db").display()));
    let store = Store::open(&store_url)
        .await
        .context("the store cannot be opened")?;
    store
        .migrate()
        .await
        .context("the store cannot be migrated")?;

    let bus: Bus = serve::connect(nats_url, "tidemark-standalone").await?;
    bus.hand_over_pages();
    bus.provision(&bus::Provision::default())
        .await
        .context("NATS cannot be provisioned")?;
    if arguments.nats.is_none() {
        // The broker is this process's own, and the folder is locked: nobody else has work in hand.
        bus.take_over()
            .await
            .context("the work of an earlier process cannot be taken over")?;
    }

    let identities = Identity::load_or_create(&data.join("identity.txt"))
        .context("the key for secrets cannot be read or made")?;
    let recipient = identities
        .first()
        .context("the identity file holds no key")?
        .recipient();
    let token_file = data.join("token");
    let token = admin_token(&store, &token_file).await?;

    let mut fetching = serve::fetcher_config(&arguments.egress, identities)?;
    fetching.mail = arguments.mail.server()?;
    let mut evaluating = evaluator::Config::new(serve::worker_program()?);
    let listening = || format!("http://{address}");
    evaluating.public_url = Some(arguments.public_url.clone().unwrap_or_else(listening));
    let mut serving = gateway::Config {
        listen: address,
        public_url: arguments.public_url.clone(),
        ..gateway::Config::default()
    };
    // There is no load balancer that would have to look away first.
    serving.limits.shutdown_notice = Duration::ZERO;
    scheduler::run(
        scheduler::Config::default(),
        context.named("scheduler"),
        store.clone(),
        bus.clone(),
    )
    .await
    .context("the scheduler cannot start")?;
    evaluator::run(
        evaluating,
        context.named("evaluator"),
        store.clone(),
        bus.clone(),
    )
    .await
    .context("the evaluator cannot start")?;
    fetcher::run(fetching, context.named("fetcher"), bus.clone())
        .await
        .context("the fetcher cannot start")?;
    let gateway_context = context.named("gateway");
    let gateway_store = store.clone();
    context.tasks.spawn_essential("gateway", async move {
        gateway::run_on(
            listener,
            serving,
            gateway_context,
            gateway_store,
            bus,
            recipient,
        )
        .await;
    });

    let waiting = async {
        while !context.readiness.is_ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(READY_TIMEOUT, waiting).await.is_err() {
        anyhow::bail!(
            "not ready after {READY_TIMEOUT:?}: waiting for {:?}",
            context.readiness.waiting_for()
        );
    }
    Ok((context, store, token, token_file))
}

/// Takes the data folder for this process alone: two would end each other's broker and share one SQLite file.
///
/// The lock goes with the process, however it ends.
fn lock(data: &Path) -> anyhow::Result<fs::File> {
    let path = data.join("lock");
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => anyhow::bail!(
            "{} is in use by another tidemark: end that one first, or give this one a folder of its own with --data DIR",
            data.display()
        ),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Returns the admin token: `TIDEMARK_TOKEN` when no admin exists yet, else the one in the data
/// folder, else a new one that is kept there.
async fn admin_token(store: &Store, file: &Path) -> anyhow::Result<String> {
    let given = std::env::var("TIDEMARK_TOKEN")
        .ok()
        .filter(|text| !text.is_empty());
    let kept = fs::read_to_string(file)
        .ok()
        .map(|text| text.trim().to_owned());
    let text = given.or(kept).unwrap_or_else(gateway::generate_token);
    let is_first = serve::first_admin(store, &text)
        .await
        .context("the first token cannot be kept")?;
    if is_first || !file.exists() {
        write_private(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(text)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Databases, pages and keys are nobody else's; a folder that already is stricter stays so.
fn only_for_me(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Err(error) = fs::set_permissions(folder, fs::Permissions::from_mode(0o700)) {
        tracing::warn!("{} may be readable by others: {error}", folder.display());
    }
}
