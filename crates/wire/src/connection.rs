//! What gateways ask fetchers to do with a connection, by request and reply over core NATS.

use crate::message::Message;
use crate::subject::{self, InvalidToken, Subject};

pub use crate::generated::{
    ConnectionTest, ConnectionTested, ConsentGiven, ConsentRedeemed, TestStep,
};

/// Under this name the code of a person's consent is sealed; no secret can be called so.
pub const CONSENT: &str = "code of a consent";

/// Under this name the proof key's verifier is sealed, among the secrets.
pub const VERIFIER: &str = "verifier of a consent";

macro_rules! of_a_connection {
    ($($message:ident on $subject:path $(, needs $requires:ident)?;)+) => {$(
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

            $(fn requires(&self) -> &[String] {
                &self.$requires
            })?
        }
    )+};
}

of_a_connection! {
    ConnectionTest on subject::connection_test, needs requires;
    ConnectionTested on subject::connection_test;
    ConsentGiven on subject::connection_consent, needs requires;
    ConsentRedeemed on subject::connection_consent;
}
