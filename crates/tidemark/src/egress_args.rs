//! What an operator opens and closes for fetching: the flags of `fetcher`, `standalone`, `try` and
//! `check-url`, and the guard made of them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use fetcher::egress::{Allow, AllowList, Cidr, GuardConfig};
use fetcher::http::{Proxy, client_config};

use crate::failure::Failure;

/// Where fetching may go, and by which way.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct EgressArgs {
    /// Allow fetching from this private address (HOST:PORT or CIDR); may be repeated
    #[arg(
        long = "allow-host",
        env = "TIDEMARK_ALLOW_HOST",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub(crate) allow_host: Vec<String>,
    /// Allow fetching from this private network, such as 10.20.0.0/16 or 10.20.0.0/16:9000; may be repeated
    #[arg(
        long = "allow-cidr",
        env = "TIDEMARK_ALLOW_CIDR",
        value_delimiter = ',',
        value_name = "CIDR[:PORT]"
    )]
    pub(crate) allow_cidr: Vec<String>,
    /// Never fetch from this network, such as the cluster's own; may be repeated
    #[arg(
        long = "deny-cidr",
        env = "TIDEMARK_DENY_CIDR",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub(crate) deny_cidr: Vec<String>,
    /// A file of addresses to allow, one a line, read again when it changes
    #[arg(long = "allow-list", env = "TIDEMARK_ALLOW_LIST", value_name = "FILE")]
    pub(crate) allow_list: Option<PathBuf>,
    /// Fetch through this HTTP proxy; destinations are judged all the same
    #[arg(
        long = "egress-proxy",
        env = "TIDEMARK_EGRESS_PROXY",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) egress_proxy: Option<String>,
    /// Trust the certificate authorities in this PEM file too
    #[arg(long = "extra-ca", env = "TIDEMARK_EXTRA_CA", value_name = "FILE")]
    pub(crate) extra_ca: Option<PathBuf>,
}

impl EgressArgs {
    /// Finds what is wrong with the flags before anything starts: exit code 2, as for every wrong usage.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let checked = self
            .guard()
            .and_then(|_| self.proxy())
            .and_then(|_| self.authorities());
        checked
            .map(|_| ())
            .map_err(|error| Failure::invalid(format!("{error:#}")))
    }

    /// Returns the guard's settings.
    pub(crate) fn guard(&self) -> anyhow::Result<GuardConfig> {
        Ok(GuardConfig {
            allow: self.allowed()?,
            deny: self.denied()?,
            allow_list: self.list()?,
            ..GuardConfig::default()
        })
    }

    /// Returns the proxy, if there is one.
    pub(crate) fn proxy(&self) -> anyhow::Result<Option<Proxy>> {
        let proxy = self.egress_proxy.as_deref().filter(|url| !url.is_empty());
        proxy
            .map(str::parse)
            .transpose()
            .context("--egress-proxy cannot be used")
    }

    /// Returns the further authorities, as PEM that was tried.
    pub(crate) fn authorities(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = self.extra_ca.as_deref().filter(|path| is_given(path)) else {
            return Ok(None);
        };
        let context = || format!("--extra-ca {}", path.display());
        let pem = std::fs::read(path).with_context(context)?;
        client_config(Some(&pem)).with_context(context)?;
        Ok(Some(pem))
    }

    /// Returns every entry that opens something, as it was written.
    pub(crate) fn opened(&self) -> Vec<String> {
        let given = self.allow_host.iter().chain(&self.allow_cidr);
        given.filter(|text| !text.is_empty()).cloned().collect()
    }

    fn allowed(&self) -> anyhow::Result<Vec<Allow>> {
        let mut allowed = Vec::new();
        for (flag, texts) in [
            ("--allow-host", &self.allow_host),
            ("--allow-cidr", &self.allow_cidr),
        ] {
            for text in texts.iter().filter(|text| !text.is_empty()) {
                let allow: Allow = text
                    .parse()
                    .map_err(|error| anyhow::anyhow!("{flag} {text}: {error}"))?;
                if flag == "--allow-cidr" && matches!(allow, Allow::Host { .. }) {
                    anyhow::bail!(
                        "{flag} {text}: is no network (write 10.20.0.0/16 or 10.20.0.0/16:9000)"
                    );
                }
                allowed.push(allow);
            }
        }
        Ok(allowed)
    }

    fn denied(&self) -> anyhow::Result<Vec<Cidr>> {
        let given = self.deny_cidr.iter().filter(|text| !text.is_empty());
        given
            .map(|text| {
                Cidr::parse(text).with_context(|| {
                    format!("--deny-cidr {text}: is no network (write 10.96.0.0/12)")
                })
            })
            .collect()
    }

    fn list(&self) -> anyhow::Result<Option<Arc<AllowList>>> {
        let path = self.allow_list.as_deref().filter(|path| is_given(path));
        let list = path.map(AllowList::load).transpose();
        Ok(list.context("--allow-list")?.map(Arc::new))
    }
}

/// An empty variable of the environment counts as none.
fn is_given(path: &std::path::Path) -> bool {
    !path.as_os_str().is_empty()
}
