//! Secrets: sealed by the gateway to a public key, opened by the fetcher alone.
//!
//! A sealed secret carries what it is bound to (workspace, name, version, origins), so that
//! neither a renamed row nor an edited `base_url` can send it elsewhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// Holds a text that prints as `***` and is wiped from memory when dropped.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the text, to be handed on at once and never kept or printed.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// What could not be done with a secret; never holds its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The text is not an age X25519 identity (`AGE-SECRET-KEY-1…`).
    #[error("not an age identity: {0}")]
    Identity(&'static str),
    /// The text is not an age X25519 recipient (`age1…`).
    #[error("not an age recipient: {0}")]
    Recipient(&'static str),
    /// A file of identities could not be read or written.
    #[error("identity file `{}` cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// A file of identities holds none.
    #[error("identity file `{}` holds no identity", .0.display())]
    NoIdentity(PathBuf),
    /// Sealing failed.
    #[error("secret cannot be sealed")]
    Seal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// None of the identities opens it, or it was changed on its way.
    #[error("sealed secret cannot be opened with the loaded identities")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It opens, but holds something else than a secret of ours.
    #[error("sealed secret has an unknown content")]
    Content,
}

/// Opens what was sealed to its [`Recipient`]; prints as `***`.
#[derive(Clone)]
pub struct Identity(age::x25519::Identity);

impl Identity {
    /// Makes a new one from the system's randomness.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Returns the public half, to which the gateway seals.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    /// Returns the text to keep in a file of mode 600.
    pub fn to_text(&self) -> SecretString {
        self.0.to_string()
    }

    /// Reads a file of identities: one a line, `#` begins a comment; the first seals, all open.
    pub fn load(path: &Path) -> Result<Vec<Self>, SecretError> {
        let text = std::fs::read_to_string(path).map_err(|cause| SecretError::File {
            path: path.to_owned(),
            cause,
        })?;
        let text = Secret::new(text);
        let identities = text
            .expose()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::parse)
            .collect::<Result<Vec<Self>, _>>()?;
        if identities.is_empty() {
            return Err(SecretError::NoIdentity(path.to_owned()));
        }
        Ok(identities)
    }

    /// Reads a file of identities, or makes it (mode 600) with a new one when it does not exist.
    pub fn load_or_create(path: &Path) -> Result<Vec<Self>, SecretError> {
        use std::io::Write as _;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(mut file) => {
                let identity = Self::generate();
                writeln!(
                    file,
                    "# public key: {}\n{}",
                    identity.recipient(),
                    identity.to_text().expose_secret()
                )
                .and_then(|()| file.sync_all())
                .map_err(|cause| SecretError::File {
                    path: path.to_owned(),
                    cause,
                })?;
                Ok(vec![identity])
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::load(path),
            Err(cause) => Err(SecretError::File {
                path: path.to_owned(),
                cause,
            }),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(*** of {})", self.recipient())
    }
}

impl FromStr for Identity {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(SecretError::Identity)
    }
}

/// A public key, to which anybody may seal.
#[derive(Clone, Debug)]
pub struct Recipient(age::x25519::Recipient);

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Recipient {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(SecretError::Recipient)
    }
}

/// A secret with all it is bound to; prints its value as `***`.
#[derive(Clone, Debug)]
pub struct SealedSecret {
    /// The workspace it belongs to.
    pub workspace: String,
    /// Its name there.
    pub name: String,
    /// Its version there; a changed value is a new version.
    pub version: i64,
    /// The origins (`scheme://host:port`) it may be sent to, and no others.
    pub origins: Vec<String>,
    /// The value.
    pub value: SecretString,
}

impl SealedSecret {
    /// Whether the secret may be sent to `origin`, compared as written.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }
}

/// What travels inside the ciphertext; grows by addition.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    workspace: std::borrow::Cow<'a, str>,
    name: std::borrow::Cow<'a, str>,
    version: i64,
    origins: std::borrow::Cow<'a, [String]>,
    value: std::borrow::Cow<'a, str>,
}

/// Seals a secret to `recipient`; the text (base64) is safe to store and to send.
pub fn seal(recipient: &Recipient, secret: &SealedSecret) -> Result<String, SecretError> {
    let envelope = Envelope {
        workspace: (&*secret.workspace).into(),
        name: (&*secret.name).into(),
        version: secret.version,
        origins: (&*secret.origins).into(),
        value: secret.value.expose_secret().into(),
    };
    let plain = serde_json::to_string(&envelope)
        .map(Secret::new)
        .map_err(|error| SecretError::Seal(error.into()))?;
    let sealed = age::encrypt(&recipient.0, plain.expose().as_bytes())
        .map_err(|error| SecretError::Seal(error.into()))?;
    Ok(STANDARD.encode(sealed))
}

/// Opens a sealed secret with the first of `identities` that fits.
pub fn open(identities: &[Identity], sealed: &str) -> Result<SealedSecret, SecretError> {
    use std::io::Read as _;
    let sealed = STANDARD
        .decode(sealed.trim())
        .map_err(|error| SecretError::Open(error.into()))?;
    let decryptor =
        age::Decryptor::new(sealed.as_slice()).map_err(|error| SecretError::Open(error.into()))?;
    let mut reader = decryptor
        .decrypt(
            identities
                .iter()
                .map(|identity| &identity.0 as &dyn age::Identity),
        )
        .map_err(|error| SecretError::Open(error.into()))?;
    let mut plain = String::new();
    reader
        .read_to_string(&mut plain)
        .map_err(|error| SecretError::Open(error.into()))?;
    let plain = Secret::new(plain);
    let envelope: Envelope<'_> =
        serde_json::from_str(plain.expose()).map_err(|_| SecretError::Content)?;
    Ok(SealedSecret {
        workspace: envelope.workspace.into_owned(),
        name: envelope.name.into_owned(),
        version: envelope.version,
        origins: envelope.origins.into_owned(),
        value: SecretString::from(envelope.value.into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary-8f2e-ünï \"quoted\"";

    fn secret() -> SealedSecret {
        SealedSecret {
            workspace: "default".into(),
            name: "kit_api_secret".into(),
            version: 3,
            origins: vec!["https://api.example.com:443".into()],
            value: CANARY.into(),
        }
    }

    #[test]
    fn what_is_sealed_opens_with_all_it_is_bound_to() {
        let (old, new) = (Identity::generate(), Identity::generate());
        let sealed = seal(&new.recipient(), &secret()).unwrap();
        let opened = open(&[old, new], &sealed).unwrap();
        assert_eq!(opened.value.expose_secret(), CANARY);
        assert_eq!(
            (
                opened.workspace.as_str(),
                opened.name.as_str(),
                opened.version
            ),
            ("default", "kit_api_secret", 3)
        );
        assert!(opened.allows("https://api.example.com:443"));
        assert!(!opened.allows("https://api.example.com.evil.test:443"));
        assert!(!opened.allows("http://api.example.com:443"));
    }

    #[test]
    fn a_stranger_and_a_changed_text_open_nothing_and_say_nothing() {
        let identity = Identity::generate();
        let sealed = seal(&identity.recipient(), &secret()).unwrap();
        assert!(!sealed.contains("canary"));
        assert!(matches!(
            open(&[Identity::generate()], &sealed),
            Err(SecretError::Open(_))
        ));
        assert!(matches!(open(&[], &sealed), Err(SecretError::Open(_))));
        assert!(matches!(
            open(std::slice::from_ref(&identity), "not base64 …"),
            Err(SecretError::Open(_))
        ));

        let mut bytes = STANDARD.decode(&sealed).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let error = open(&[identity], &STANDARD.encode(bytes)).unwrap_err();
        assert!(!crate::report::chain(&error).contains("canary"));
    }

    #[test]
    fn nothing_prints_a_value() {
        let identity = Identity::generate();
        let key = identity.to_text();
        let shown = format!(
            "{:?} {identity:?} {:?} {}",
            secret(),
            Secret::new(CANARY),
            Secret::new(CANARY)
        );
        assert!(!shown.contains("canary"), "{shown}");
        assert!(!shown.contains(key.expose_secret()));
    }

    #[test]
    fn an_identity_file_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.txt");
        let made = Identity::load_or_create(&path).unwrap();
        let read = Identity::load_or_create(&path).unwrap();
        assert_eq!(
            made[0].recipient().to_string(),
            read[0].recipient().to_string()
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn several_identities_are_read_for_rotation_and_bad_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identities.txt");
        let (first, second) = (Identity::generate(), Identity::generate());
        let text = format!(
            "# new\n{}\n\n# old\n{}\n",
            first.to_text().expose_secret(),
            second.to_text().expose_secret()
        );
        std::fs::write(&path, text).unwrap();
        assert_eq!(Identity::load(&path).unwrap().len(), 2);

        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(matches!(
            Identity::load(&path),
            Err(SecretError::NoIdentity(_))
        ));
        std::fs::write(&path, "secret-but-no-key\n").unwrap();
        let error = Identity::load(&path).unwrap_err();
        assert!(!error.to_string().contains("secret-but-no-key"));
        assert!(matches!(
            Identity::load(&folder.path().join("none")),
            Err(SecretError::File { .. })
        ));
    }
}
