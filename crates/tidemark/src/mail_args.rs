//! The mail server that messages go through: the flags of `fetcher` and `standalone`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use fetcher::deliver::MailServer;
use service::Secret;

/// Where mail is handed over. Its address is judged like every other: a private one needs `--allow-host`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct MailArgs {
    /// Send mail through this server: smtps://USER@HOST, smtp://USER@HOST:587 (STARTTLS), or
    /// smtp://HOST:25?tls=none
    #[arg(long = "smtp", env = "TIDEMARK_SMTP", value_name = "URL")]
    pub(crate) smtp: Option<String>,
    /// Who mail is from, such as `Tidemark <alerts@example.com>`
    #[arg(long = "smtp-from", env = "TIDEMARK_SMTP_FROM", value_name = "ADDRESS")]
    pub(crate) smtp_from: Option<String>,
    /// A file with the password of the mail server; or set TIDEMARK_SMTP_PASSWORD
    #[arg(
        long = "smtp-password-file",
        env = "TIDEMARK_SMTP_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub(crate) smtp_password_file: Option<PathBuf>,
}

/// Where a password may stand instead of a file.
const PASSWORD: &str = "TIDEMARK_SMTP_PASSWORD";

impl MailArgs {
    /// Returns the server, if there is one.
    pub(crate) fn server(&self) -> anyhow::Result<Option<MailServer>> {
        let Some(url) = self.smtp.as_deref().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let from = self
            .smtp_from
            .as_deref()
            .filter(|from| !from.is_empty())
            .context("--smtp needs a sender: --smtp-from `Tidemark <alerts@example.com>`")?;
        let server = MailServer::parse(url, self.password()?, from)
            .map_err(|error| anyhow::anyhow!("--smtp: {error}"))?;
        Ok(Some(server))
    }

    fn password(&self) -> anyhow::Result<Option<Secret>> {
        let file = self
            .smtp_password_file
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("--smtp-password-file {}", path.display()))?;
            return Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))));
        }
        Ok(std::env::var(PASSWORD)
            .ok()
            .filter(|text| !text.is_empty())
            .map(Secret::new))
    }
}
