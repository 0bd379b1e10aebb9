//! Sealed secrets on their way between fetchers and the store's side, by request and reply over core NATS.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};
use crate::vocabulary::words;

pub use crate::generated::{SecretKept, SecretReplaced, SecretsRead, SecretsWanted};

words! {
    /// What became of a brought secret.
    Kept {
        /// It is the newest version now.
        Done = "kept",
        /// Another version is newer, or it is not the next one.
        Conflict = "conflict",
        /// It is no connection's refresh token.
        Refused = "refused",
    }
}

macro_rules! of_a_workspace {
    ($($message:ident on $subject:path;)+) => {$(
        impl Message for $message {
            const NAME: &'static str = stringify!($message);

            fn subject(&self) -> Result<Subject, InvalidToken> {
                $subject(&self.workspace)
            }

            fn workspace(&self) -> &str {
                &self.workspace
            }

            fn identity(&self) -> Vec<(&'static str, &str)> {
                vec![("workspace", &self.workspace)]
            }
        }
    )+};
}

of_a_workspace! {
    SecretsWanted on subject::secrets_wanted;
    SecretsRead on subject::secrets_wanted;
    SecretReplaced on subject::secret_replaced;
    SecretKept on subject::secret_replaced;
}
