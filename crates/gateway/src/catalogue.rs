//! The catalogue of known APIs, for choosing.

use axum::Json;
use axum::extract::Path;
use connectors::Connector;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};

/// What the list is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct ConnectorParameters {
    /// Words that a connector must hold, in its names, its metrics or its endpoints.
    q: Option<String>,
}

/// The connectors of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectorList {
    items: Vec<ConnectorCard>,
}

/// One known API: all that the catalogue knows of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectorCard {
    #[serde(flatten)]
    connector: &'static Connector,
    /// The connection it makes, with examples for its variables.
    #[schema(value_type = Object)]
    connection: serde_json::Value,
}

impl From<&'static Connector> for ConnectorCard {
    fn from(connector: &'static Connector) -> Self {
        let mut connection = connector.connection_document();
        if let Some(fields) = connection.as_object_mut() {
            fields.shift_insert(0, "kind".to_owned(), "connection".into());
        }
        Self {
            connector,
            connection,
        }
    }
}

/// Lists the known APIs, by name, or those that hold some words.
#[utoipa::path(get, path = "/api/v1/connectors", tag = "connectors",
    operation_id = "list_connectors", params(ConnectorParameters),
    responses((status = 200, body = ConnectorList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    _caller: Caller,
    mut parameters: Parameters,
) -> Result<Json<ConnectorList>, Problem> {
    let words = parameters.text("q");
    parameters.finish()?;
    let items = match words {
        Some(words) => connectors::search(&words)
            .into_iter()
            .map(ConnectorCard::from)
            .collect(),
        None => connectors::all().iter().map(ConnectorCard::from).collect(),
    };
    Ok(Json(ConnectorList { items }))
}

/// Reads one known API: how to sign in, what it can be asked, its limits, and its ready metrics.
#[utoipa::path(get, path = "/api/v1/connectors/{name}", tag = "connectors",
    operation_id = "get_connector",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = ConnectorCard), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn get(
    _caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<ConnectorCard>, Problem> {
    parameters.finish()?;
    let connector =
        connectors::find(&name).ok_or_else(|| Problem::not_found("connector", &name))?;
    Ok(Json(ConnectorCard::from(connector)))
}
