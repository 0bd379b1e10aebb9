use serde::Serialize;

/// Where a token is put on requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Put {
    /// `{ header: X-Session, prefix: "Token " }`
    Header {
        /// The header.
        header: String,
        /// What comes before the token.
        #[serde(skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    /// `{ query: access_token }`
    Query {
        /// The parameter.
        query: String,
    },
    /// `{ cookie: sid }`
    Cookie {
        /// The cookie.
        cookie: String,
    },
}

impl Put {
    /// `Authorization: Bearer …`, where nothing else is said.
    pub fn bearer() -> Self {
        Self::Header {
            header: "Authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }
    }

    pub(crate) fn is_bearer(&self) -> bool {
        *self == Self::bearer()
    }
}
