use std::sync::OnceLock;

use definition::{Connection, Definition, Problem};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The catalogue's files: the name is the file's.
const FILES: &[(&str, &str)] = &[("convertkit", include_str!("../catalogue/convertkit.yaml"))];

/// One public API as the catalogue knows it.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its name, as `connector:` says it.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Where its makers document it.
    pub documentation: Option<String>,
    /// How its lists are paged, as a request's `pagination` says it.
    pub pagination: Option<Value>,
    /// What a connection to it looks like.
    pub connection: Connection,
}

/// A file of the catalogue that cannot be read; a test keeps such a file out.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is not the YAML it should be.
    #[error("connector `{name}` is not readable")]
    Yaml {
        /// The file's name.
        name: &'static str,
        /// Where and why.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// Its connection is not valid.
    #[error("connector `{name}` is not valid: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Connection {
        /// The file's name.
        name: &'static str,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    title: String,
    documentation: Option<String>,
    base_url: String,
    auth: Option<Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    rate_limit: Option<Value>,
    pagination: Option<Value>,
}

/// Returns every connector of the catalogue, by name.
pub fn all() -> &'static [Connector] {
    static CATALOGUE: OnceLock<Vec<Connector>> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        FILES
            .iter()
            .filter_map(|(name, text)| read(name, text).ok())
            .collect()
    })
}

/// Returns the connector of this name.
pub fn find(name: &str) -> Option<&'static Connector> {
    all().iter().find(|connector| connector.name == name)
}

fn read(name: &'static str, text: &str) -> Result<Connector, CatalogueError> {
    let file: File = serde_saphyr::from_str(text).map_err(|source| CatalogueError::Yaml {
        name,
        source: Box::new(source),
    })?;
    let mut document = json!({
        "kind": "connection",
        "name": file.name,
        "title": file.title,
        "connector": file.name,
        "base_url": file.base_url,
    });
    if !file.headers.is_empty() {
        document["headers"] = Value::Object(file.headers);
    }
    for (key, value) in [("auth", file.auth), ("rate_limit", file.rate_limit)] {
        if let Some(value) = value {
            document[key] = value;
        }
    }
    match Definition::from_document(&document) {
        Ok(Definition::Connection(connection)) => Ok(Connector {
            name: file.name,
            title: file.title,
            documentation: file.documentation,
            pagination: file.pagination,
            connection,
        }),
        Ok(_) => Err(CatalogueError::Connection {
            name,
            problems: Vec::new(),
        }),
        Err(problems) => Err(CatalogueError::Connection { name, problems }),
    }
}

impl Connector {
    /// Gives `connection` what it leaves out: address, authentication, headers, rate limit, and how
    /// errors are told.
    pub fn fill(&self, connection: &mut Connection) {
        let known = &self.connection;
        if connection.base_url.is_empty() {
            connection.base_url.clone_from(&known.base_url);
        }
        if connection.auth.is_none() {
            connection.auth = known.auth.clone();
        }
        if connection.rate_limit.is_none() {
            connection.rate_limit.clone_from(&known.rate_limit);
        }
        for (name, variable) in &known.variables {
            if !connection.variables.contains_key(name) {
                connection.variables.insert(name.clone(), variable.clone());
            }
        }
        connection.conditions = connection.conditions.or(&known.conditions);
        for (name, value) in &known.headers {
            if !connection
                .headers
                .keys()
                .any(|given| given.eq_ignore_ascii_case(name))
            {
                connection.headers.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_catalogue_is_read_under_its_own_name() {
        for (name, text) in FILES {
            let connector = read(name, text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(connector.name, *name);
            assert!(connector.connection.origin().is_some());
        }
        assert_eq!(all().len(), FILES.len());
    }

    #[test]
    fn every_file_on_disk_is_in_the_catalogue() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogue");
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(files, FILES.len());
    }

    #[test]
    fn a_connection_keeps_what_it_says_and_gets_what_it_leaves_out() {
        let connector = find("convertkit").unwrap();
        let document = json!({
            "kind": "connection", "name": "kit", "connector": "convertkit",
            "base_url": "http://127.0.0.1:3000",
        });
        let Ok(Definition::Connection(mut connection)) = Definition::from_document(&document)
        else {
            panic!("a valid connection is read");
        };
        connector.fill(&mut connection);
        assert_eq!(connection.base_url, "http://127.0.0.1:3000");
        assert_eq!(connection.secrets().len(), 1);
        assert_eq!(connection.rate_limit.unwrap().requests, 120);
    }
}
