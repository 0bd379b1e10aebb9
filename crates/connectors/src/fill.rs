use definition::{Bundle, Connection, Dataset, Definition, Known, Located, Pagination, Request};

use crate::card::Connector;
use crate::catalogue::find;

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
    /// Gives `connection` what it leaves out: address, authentication, headers, rate limit, and how
    /// errors are told. Variables stay its own: the catalogue has only examples.
    pub fn fill(&self, connection: &mut Connection) {
        if connection.base_url.is_empty() {
            connection.base_url.clone_from(&self.base_url);
        }
        let Some(known) = &self.connection else {
            return;
        };
        if connection.auth.is_none() {
            connection.auth = known.auth.clone();
        }
        if connection.rate_limit.is_none() {
            connection.rate_limit.clone_from(&known.rate_limit);
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

    /// Returns how what `request` asks is paged: as its endpoint says, else as the API does.
    pub fn paging_of(&self, request: &Request) -> Option<Pagination> {
        let endpoint = self.endpoint(request.method.as_str(), &request.path);
        let own = endpoint.and_then(|endpoint| endpoint.pagination.as_ref());
        let pagination = own.or(self.pagination.as_ref())?;
        // The path and body are what a pagination may be put into.
        let mut document = request.to_document();
        document["pagination"] = pagination.clone();
        let request = Request::from_document(&document).ok()?;
        Some(request.pagination).filter(|pagination| !pagination.is_none())
    }
}

fn proposal(located: &Located, bundle: &Bundle, known: &dyn Known) -> Option<Pagination> {
    if located.says("request.pagination") {
        return None;
    }
    let (name, request) = match &located.definition {
        Definition::Dataset(dataset) => (&dataset.connection, &dataset.request),
        Definition::Metric(metric) => (metric.connection.as_ref()?, metric.request.as_ref()?),
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
        Some(connection) => connector_of(connection)?.paging_of(request),
        None => connector_of(&known.connection(name)?)?.paging_of(request),
    }
}

fn request(definition: &mut Definition) -> Option<&mut Request> {
    match definition {
        Definition::Dataset(dataset) => Some(&mut dataset.request),
        Definition::Metric(metric) => metric.request.as_mut(),
        _ => None,
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
    fn an_endpoint_with_pages_of_its_own_gives_those() {
        let documents = filled(
            "kind: dataset\nname: a\nconnection: applied\nrequest: { path: /v3/tags }\n---\nkind: dataset\nname: b\nconnection: applied\nrequest: { path: /v3/broadcasts }",
        );
        assert!(documents[0]["request"].get("pagination").is_none());
        let page = &documents[1]["request"]["pagination"]["page"];
        assert!(page["param"] == "page" && page.get("total_pages").is_none());
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
