use std::sync::OnceLock;

use definition::{Connection, Problem};
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::card::Connector;

/// Names the catalogue's files: what is not here is not compiled in.
macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../catalogue/", $name, ".yaml")))),+];
    };
}

files!(
    "airtable",
    "calendly",
    "chargebee",
    "convertkit",
    "github",
    "hubspot",
    "intercom",
    "jira",
    "kit",
    "linear",
    "mailchimp",
    "mailerlite",
    "notion",
    "open_meteo",
    "pipedrive",
    "shopify",
    "slack",
    "stripe",
    "twilio",
    "zoho_books",
);

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

/// Returns the connectors that hold every word of `text`, those that are called so first.
pub fn search(text: &str) -> Vec<&'static Connector> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let mut found: Vec<(usize, &Connector)> = all()
        .iter()
        .filter_map(|connector| {
            let places = places(connector);
            let ranks = words.iter().map(|word| {
                let holds = |place: &String| place.contains(word.as_str());
                places.iter().position(holds)
            });
            let worst = ranks.collect::<Option<Vec<_>>>()?.into_iter().max();
            Some((worst.unwrap_or_default(), connector))
        })
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, connector)| connector).collect()
}

/// Where words are looked for, the most telling first.
fn places(connector: &Connector) -> [String; 4] {
    let names = format!("{} {}", connector.name, connector.title);
    let about = format!("{} {}", connector.category, connector.summary);
    let mut metrics = String::new();
    for (name, title) in connector.metric_names() {
        metrics.push_str(name);
        metrics.push(' ');
        metrics.push_str(title);
        metrics.push(' ');
    }
    let endpoints: Vec<String> = connector
        .endpoints
        .iter()
        .map(|endpoint| format!("{} {}", endpoint.path, endpoint.what))
        .collect();
    [names, about, metrics, endpoints.join(" ")].map(|text| text.to_lowercase())
}

fn read(name: &'static str, text: &'static str) -> Result<Connector, CatalogueError> {
    let mut connector: Connector =
        serde_saphyr::from_str(text).map_err(|source| CatalogueError::Yaml {
            name,
            source: Box::new(source),
        })?;
    let document = connector.connection_document();
    let connection = Connection::from_document(&document)
        .map_err(|problems| CatalogueError::Connection { name, problems })?;
    connector.connection = Some(connection);
    connector.text = text;
    Ok(connector)
}

impl Connector {
    /// Returns the document of the connection it makes, without `kind`, with examples for variables.
    pub fn connection_document(&self) -> Value {
        let mut document = json!({
            "name": self.name,
            "title": self.title,
            "connector": self.name,
            "base_url": self.base_url,
        });
        if !self.variables.is_empty() {
            let examples = self.variables.iter();
            let examples = examples.map(|(name, variable)| (name, &variable.example));
            document["variables"] = json!(examples.collect::<IndexMap<_, _>>());
        }
        if let Some(auth) = self.auth.first() {
            document["auth"] = auth.shape.clone();
        }
        if !self.headers.is_empty() {
            document["headers"] = json!(self.headers);
        }
        if let Some(limit) = &self.rate_limit {
            document["rate_limit"] = limit.clone();
        }
        let conditions = [
            ("error_when", &self.error_when),
            ("retry_when", &self.retry_when),
            ("error_message", &self.error_message),
        ];
        for (key, text) in conditions {
            if let Some(text) = text {
                document[key] = text.as_str().into();
            }
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use definition::{Definition, Request};

    #[test]
    fn every_file_of_the_catalogue_is_read_under_its_own_name() {
        for (name, text) in FILES {
            let connector = read(name, text).unwrap_or_else(|error| panic!("{error}: {error:?}"));
            assert_eq!(connector.name, *name);
            let connection = connector.connection.unwrap();
            assert!(connection.origin().is_some(), "{name}");
        }
        assert_eq!(all().len(), FILES.len());
        assert!(FILES.is_sorted(), "the list is in order");
    }

    #[test]
    fn every_file_on_disk_is_in_the_catalogue() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogue");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let known: Vec<String> = FILES
            .iter()
            .map(|(name, _)| format!("{name}.yaml"))
            .collect();
        assert_eq!(files, known);
    }

    #[test]
    fn every_card_says_what_a_person_needs_to_know() {
        for one in all() {
            let name = &one.name;
            assert!(one.metrics.len() >= 2, "{name} has two metrics or more");
            assert!(
                !one.endpoints.is_empty() && !one.sources.is_empty(),
                "{name}"
            );
            for text in [&one.title, &one.summary, &one.category, &one.timezone] {
                assert!(!text.trim().is_empty(), "{name}");
            }
            let links = one
                .sources
                .iter()
                .chain(one.auth.iter().map(|auth| &auth.link));
            for link in links.chain([&one.links.documentation]) {
                assert!(link.starts_with("https://"), "{name}: {link}");
            }
            assert_eq!(one.auth.is_empty(), one.links.keys.is_none(), "{name}");
        }
    }

    #[test]
    fn every_way_to_authenticate_and_to_page_is_one_that_definitions_have() {
        for one in all() {
            for auth in &one.auth {
                let mut document = one.connection_document();
                document["auth"] = auth.shape.clone();
                let read = Connection::from_document(&document);
                assert!(read.is_ok(), "{}: {} {read:?}", one.name, auth.title);
            }
            let own = one.endpoints.iter().map(|endpoint| &endpoint.pagination);
            for pagination in own.chain([&one.pagination]).flatten() {
                let document = json!({ "path": "/x", "pagination": pagination });
                let read = Request::from_document(&document);
                assert!(read.is_ok(), "{}: {pagination} {read:?}", one.name);
            }
        }
    }

    #[test]
    fn every_metric_asks_an_endpoint_of_the_list_with_its_pagination() {
        for one in all() {
            for metric in &one.metrics {
                let request = Request::from_document(&metric["request"]).unwrap();
                let endpoint = one.endpoint(request.method.as_str(), &request.path);
                let endpoint = endpoint.unwrap_or_else(|| panic!("{}: {metric:?}", one.name));
                assert!(!endpoint.what.is_empty());
            }
        }
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

    #[test]
    fn words_are_searched_in_names_first() {
        let found = search("ConvertKit subscribers");
        assert_eq!(
            found.first().map(|one| one.name.as_str()),
            Some("convertkit")
        );
        assert!(search("no such thing anywhere").is_empty());
        assert_eq!(search("").len(), all().len());
    }
}
