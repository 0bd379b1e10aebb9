//! The catalogue of known APIs, for choosing.

use axum::Json;
use axum::extract::Path;
use connectors::Connector;
use definition::Definition;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};

/// Every connector of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectorList {
    items: Vec<ConnectorView>,
}

/// One known API.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectorView {
    /// What `connector:` says.
    #[schema(example = "convertkit")]
    name: String,
    /// What people call it.
    title: String,
    /// Where its makers document it.
    documentation: Option<String>,
    /// The connection it makes, for what a connection leaves out.
    connection: Value,
    /// How its lists are paged: what a request gets that says nothing of `pagination`.
    pagination: Option<Value>,
}

impl From<&Connector> for ConnectorView {
    fn from(connector: &Connector) -> Self {
        Self {
            name: connector.name.clone(),
            title: connector.title.clone(),
            documentation: connector.documentation.clone(),
            connection: Definition::Connection(connector.connection.clone()).to_document(),
            pagination: connector.pagination.clone(),
        }
    }
}

/// Lists the known APIs.
#[utoipa::path(get, path = "/api/v1/connectors", tag = "connectors",
    operation_id = "list_connectors",
    responses((status = 200, body = ConnectorList), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn list(
    _caller: Caller,
    parameters: Parameters,
) -> Result<Json<ConnectorList>, Problem> {
    parameters.finish()?;
    Ok(Json(ConnectorList {
        items: connectors::all().iter().map(ConnectorView::from).collect(),
    }))
}

/// Reads one known API.
#[utoipa::path(get, path = "/api/v1/connectors/{name}", tag = "connectors",
    operation_id = "get_connector",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = ConnectorView), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn get(
    _caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<ConnectorView>, Problem> {
    parameters.finish()?;
    let connector =
        connectors::find(&name).ok_or_else(|| Problem::not_found("connector", &name))?;
    Ok(Json(ConnectorView::from(connector)))
}
