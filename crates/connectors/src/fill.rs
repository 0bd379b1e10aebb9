use definition::{Bundle, Connection, Dataset, Definition, Known, Located, Pagination, Request};
use serde_json::json;

use crate::catalogue::{Connector, find};

/// Gives a bundle what the catalogue knows: connections what they leave out, and requests on them
/// the connector's pagination where they say nothing of pages (`pagination: none` says something).
///
/// To be called before [`Bundle::validate`]; `known` is what is applied already.
pub fn fill(bundle: &mut Bundle, known: &dyn Known) {
    for located in &mut bundle.definitions {
        if let Definition::Connection(connection) = &mut located.definition
            && let Some(connector) = connector_of(connection)
        {
            connector.fill(connection);
        }
    }
    let proposals: Vec<Option<Pagination>> = bundle
        .definitions
        .iter()
        .map(|located| proposal(located, bundle, known))
        .collect();
    for (located, proposal) in bundle.definitions.iter_mut().zip(proposals) {
        if let (Some(pagination), Some(request)) = (proposal, request(&mut located.definition)) {
            request.pagination = pagination;
        }
    }
}

/// Knows the catalogue and nothing that was applied, for checking without a gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Catalogued;

impl Known for Catalogued {
    fn connection(&self, _: &str) -> Option<Connection> {
        None
    }

    fn dataset(&self, _: &str) -> Option<Dataset> {
        None
    }

    fn connector(&self, name: &str) -> bool {
        find(name).is_some()
    }
}

impl Connector {
    /// Returns how its lists are paged, if it says.
    pub fn paging(&self) -> Option<Pagination> {
        let document = json!({ "pagination": self.pagination.as_ref()? });
        let request = Request::from_document(&document).ok()?;
        Some(request.pagination).filter(|pagination| !pagination.is_none())
    }
}

fn proposal(located: &Located, bundle: &Bundle, known: &dyn Known) -> Option<Pagination> {
    if located.says("request.pagination") {
        return None;
    }
    let name = match &located.definition {
        Definition::Dataset(dataset) => &dataset.connection,
        Definition::Metric(metric) if metric.request.is_some() => metric.connection.as_ref()?,
        _ => return None,
    };
    let written = bundle
        .definitions
        .iter()
        .find_map(|located| match &located.definition {
            Definition::Connection(connection) if connection.name == *name => Some(connection),
            _ => None,
        });
    match written {
        Some(connection) => connector_of(connection)?.paging(),
        None => connector_of(&known.connection(name)?)?.paging(),
    }
}

fn request(definition: &mut Definition) -> Option<&mut Request> {
    match definition {
        Definition::Dataset(dataset) => Some(&mut dataset.request),
        Definition::Metric(metric) => metric.request.as_mut(),
        Definition::Connection(_) => None,
    }
}

fn connector_of(connection: &Connection) -> Option<&'static Connector> {
    connection.connector.as_deref().and_then(find)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The catalogue, and one connection that is applied already.
    struct Applied;

    impl Known for Applied {
        fn connection(&self, name: &str) -> Option<Connection> {
            let text = "kind: connection\nname: applied\nconnector: convertkit";
            let mut bundle = definition::parse(text, "applied").unwrap();
            fill(&mut bundle, &Catalogued);
            match bundle.definitions.remove(0).definition {
                Definition::Connection(connection) if name == "applied" => Some(connection),
                _ => None,
            }
        }

        fn dataset(&self, _: &str) -> Option<Dataset> {
            None
        }

        fn connector(&self, name: &str) -> bool {
            find(name).is_some()
        }
    }

    fn filled(text: &str) -> Vec<serde_json::Value> {
        let mut bundle = definition::parse(text, "test.yaml").unwrap();
        fill(&mut bundle, &Applied);
        let problems = bundle.validate(&Applied);
        assert!(problems.is_empty(), "{problems:?}");
        bundle
            .definitions
            .iter()
            .map(Located::to_document)
            .collect()
    }

    #[test]
    fn a_connector_gives_the_address_and_the_pages() {
        let documents = filled(
            "kind: connection\nname: kit\nconnector: convertkit\n---\nkind: metric\nname: m\nconnection: kit\nrequest: { path: /v3/subscribers }\nselect: { records: subscribers, value: { count: true } }",
        );
        assert_eq!(documents[0]["base_url"], "https://api.convertkit.com");
        assert_eq!(
            documents[1]["request"]["pagination"]["page"]["param"],
            "page"
        );
    }

    #[test]
    fn a_connection_that_is_applied_already_gives_its_pages_too() {
        let documents = filled(
            "kind: dataset\nname: d\nconnection: applied\nrequest: { path: /v3/subscribers }",
        );
        assert_eq!(
            documents[0]["request"]["pagination"]["page"]["total_pages"],
            "total_pages"
        );
    }

    #[test]
    fn pages_that_were_written_stay_and_none_is_written_too() {
        let documents = filled(
            "kind: dataset\nname: a\nconnection: applied\nrequest: { path: /v3/account, pagination: none }\n---\nkind: dataset\nname: b\nconnection: applied\nrequest: { path: /v3/forms, pagination: link_header }",
        );
        assert_eq!(documents[0]["request"]["pagination"], "none");
        assert_eq!(documents[1]["request"]["pagination"], "link_header");
        let again = definition::Definition::from_document(&documents[0]).unwrap();
        assert!(
            matches!(again, Definition::Dataset(dataset) if dataset.request.pagination.is_none())
        );
    }
}
