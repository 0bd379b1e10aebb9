use serde_json::{Map, Value, json};

use crate::auth::Auth;
use crate::board::Board;
use crate::bundle::Kind;
use crate::decode::{self, Key, Status};
use crate::deliver::Target;
use crate::metric::WEEKDAYS;
use crate::name::Name;
use crate::response::{Response, ResponseFormat};
use crate::scorecard::Scorecard;
use crate::variable::Variable;

/// Returns the JSON Schema (2020-12) of one document of a bundle, for editors.
///
/// It is made from the same key tables the decoder reads by, so what it lists is what is read.
pub fn json_schema() -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://tidemark.dev/schema/v1/definition.json",
        "title": "Tidemark definition",
        "description": "One connection, dataset, metric, goal, alert, board or scorecard. A YAML file holds several, separated by `---`.",
        "oneOf": Kind::WORDS.iter().map(|kind| reference(kind)).collect::<Vec<_>>(),
        "$defs": {
            "connection": connection(),
            "dataset": document(decode::DATASET, "One request, its pages and its schedule; several metrics may read it."),
            "metric": document(decode::METRIC, "A number that is kept over time."),
            "goal": document(decode::GOAL, "A number that a metric should come to, or stay on one side of."),
            "alert": document(decode::ALERT, "A condition on a metric that people want to hear of."),
            "board": document(decode::BOARD, "A page of blocks over metrics with a shared range."),
            "scorecard": document(decode::SCORECARD, "A digest of several metrics, sent at its times."),
            "request": object(decode::REQUEST, "What to ask of the API, with placeholders."),
            "select": object(decode::SELECT, "What is clicked in an answer."),
            "window": object(decode::WINDOW, "The dates a request asks for."),
            "schedule": object(decode::SCHEDULE, "When something is fetched: `every` or `cron`."),
            "pagination": pagination_shape(),
        }
    })
}

/// A connection has an address, or a connector that gives it one.
fn connection() -> Value {
    let about = "One remote API: its address, credentials and limits.";
    let mut schema = document(decode::CONNECTION, about);
    schema["anyOf"] = json!([{ "required": ["base_url"] }, { "required": ["connector"] }]);
    schema
}

fn document(keys: &[Key], about: &str) -> Value {
    let mut schema = object(keys, about);
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.insert(0, json!("kind"));
    }
    schema
}

/// An object of a key table: strict, described, without what is not read yet.
fn object(keys: &[Key], about: &str) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut shape = (key.shape)();
        if let Value::Object(fields) = &mut shape {
            fields.insert("description".to_owned(), json!(key.about));
        }
        properties.insert(key.name.to_owned(), shape);
    }
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.status == Status::Required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    if let (false, Value::Object(fields)) = (about.is_empty(), &mut schema) {
        fields.insert("description".to_owned(), json!(about));
    }
    schema
}

pub(crate) fn constant(value: impl Into<Value>) -> Value {
    json!({ "const": value.into() })
}

pub(crate) fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

pub(crate) fn name() -> Value {
    json!({ "type": "string", "pattern": Name::PATTERN })
}

pub(crate) fn line() -> Value {
    json!({ "type": "string" })
}

/// A line that people are shown.
pub(crate) fn title() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 120, "pattern": "\\S" })
}

pub(crate) fn text() -> Value {
    json!({ "type": "string" })
}

pub(crate) fn expression() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

pub(crate) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(crate) fn number() -> Value {
    json!({ "type": "number" })
}

pub(crate) fn integer(minimum: i64, maximum: i64) -> Value {
    json!({ "type": "integer", "minimum": minimum, "maximum": maximum })
}

pub(crate) fn span() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(s|m|h|d|w|mo|y)$" })
}

pub(crate) fn anything() -> Value {
    json!({})
}

pub(crate) fn tags() -> Value {
    json!({ "type": "array", "items": { "type": ["string", "number", "boolean"], "pattern": "\\S" }, "maxItems": 32 })
}

pub(crate) fn texts() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

pub(crate) fn query() -> Value {
    let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
    json!({ "type": "object", "additionalProperties": { "anyOf": [scalar, { "type": "array", "items": scalar }] } })
}

pub(crate) fn weekday() -> Value {
    let words: Vec<&str> = WEEKDAYS.iter().map(|(word, _)| *word).collect();
    json!({ "enum": words })
}

pub(crate) fn ratio() -> Value {
    json!({ "anyOf": [{ "type": "number", "minimum": 0, "maximum": 1 }, { "type": "string", "pattern": "^[0-9.]+ *%?$" }] })
}

pub(crate) fn request() -> Value {
    json!({ "$ref": "#/$defs/request" })
}

pub(crate) fn select() -> Value {
    json!({ "$ref": "#/$defs/select" })
}

pub(crate) fn window() -> Value {
    json!({ "$ref": "#/$defs/window" })
}

pub(crate) fn schedule() -> Value {
    json!({ "$ref": "#/$defs/schedule" })
}

pub(crate) fn pagination() -> Value {
    json!({ "$ref": "#/$defs/pagination" })
}

pub(crate) fn rate_limit() -> Value {
    object(decode::RATE_LIMIT, "")
}

pub(crate) fn format() -> Value {
    object(decode::FORMAT, "")
}

pub(crate) fn parent() -> Value {
    object(decode::PARENT, "")
}

pub(crate) fn variables() -> Value {
    let one = json!({ "anyOf": [
        { "type": ["string", "number", "boolean"] },
        object(decode::LOOK_UP, "Asked of the API once, and again when it answers 404."),
    ] });
    json!({ "type": "object", "propertyNames": name(), "additionalProperties": one, "maxProperties": Variable::MOST })
}

pub(crate) fn response() -> Value {
    json!({ "anyOf": [words(ResponseFormat::WORDS), object(decode::RESPONSE, "")] })
}

pub(crate) fn csv_header() -> Value {
    json!({ "anyOf": [boolean(), { "type": "array", "items": expression(), "minItems": 1, "maxItems": Response::MAX_COLUMNS }] })
}

pub(crate) fn element_paths() -> Value {
    json!({ "type": "array", "items": line(), "maxItems": Response::MAX_LISTS })
}

/// Where an answer says something.
pub(crate) fn source() -> Value {
    json!({ "anyOf": [expression(), only("header", &line())] })
}

pub(crate) fn next_request() -> Value {
    object(decode::NEXT, "")
}

pub(crate) fn records() -> Value {
    json!({ "anyOf": [
        expression(),
        only("entries", &expression()),
        only("zip", &json!({ "type": "array", "items": expression(), "minItems": 2, "maxItems": 32 })),
    ] })
}

pub(crate) fn value() -> Value {
    json!({ "anyOf": [expression(), object(decode::VALUE, "")] })
}

pub(crate) fn date() -> Value {
    json!({ "anyOf": [expression(), object(decode::DATE, "")] })
}

pub(crate) fn dimensions() -> Value {
    json!({ "type": "object", "propertyNames": name(), "additionalProperties": expression(), "maxProperties": 16 })
}

pub(crate) fn auth() -> Value {
    let credential = object(
        decode::CREDENTIAL,
        "A secret by name, and what is written before its value.",
    );
    let credentials =
        json!({ "type": "object", "additionalProperties": credential, "minProperties": 1 });
    json!({ "oneOf": [
        words(&Auth::WORDS[..1]),
        only("basic", &basic()),
        only("bearer", &credential),
        only("header", &credentials),
        only("query", &credentials),
        only("oauth2", &object(decode::OAUTH2, "An access token from a token server.")),
        only("login", &object(decode::LOGIN, "A session token from a login request.")),
    ] })
}

pub(crate) fn basic() -> Value {
    object(decode::BASIC, "")
}

/// `{ secret: name }`
pub(crate) fn stored() -> Value {
    only("secret", &name())
}

pub(crate) fn text_or_secret() -> Value {
    json!({ "anyOf": [{ "type": ["string", "number", "boolean"] }, stored()] })
}

pub(crate) fn texts_or_secrets() -> Value {
    json!({ "type": "object", "additionalProperties": text_or_secret() })
}

/// A list of words, or one text that holds several.
pub(crate) fn lines() -> Value {
    json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}

/// `{ dimension: text }` or `{ dimension: [text, text] }`
pub(crate) fn members() -> Value {
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    json!({ "type": "object", "propertyNames": name(), "additionalProperties": { "anyOf": [scalar, { "type": "array", "items": scalar, "minItems": 1 }] } })
}

pub(crate) fn names(most: usize) -> Value {
    json!({ "type": "array", "items": name(), "maxItems": most })
}

pub(crate) fn day() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" })
}

pub(crate) fn weekdays() -> Value {
    json!({ "type": "array", "items": weekday() })
}

pub(crate) fn condition() -> Value {
    object(decode::CONDITION, "")
}

pub(crate) fn value_condition() -> Value {
    object(decode::VALUE_CONDITION, "")
}

pub(crate) fn change_condition() -> Value {
    object(decode::CHANGE_CONDITION, "")
}

pub(crate) fn quiet() -> Value {
    object(decode::QUIET, "")
}

pub(crate) fn blocks() -> Value {
    json!({ "type": "array", "items": object(decode::BLOCK, ""), "minItems": 1, "maxItems": Board::MAX_BLOCKS })
}

pub(crate) fn entries() -> Value {
    let one = json!({ "anyOf": [name(), object(decode::ENTRY, "")] });
    json!({ "type": "array", "items": one, "minItems": 1, "maxItems": Scorecard::MAX_METRICS })
}

pub(crate) fn targets() -> Value {
    let one = json!({ "oneOf": [
        only("webhook", &object(decode::WEBHOOK, "A POST to an address.")),
        only("email", &object(decode::EMAIL, "A mail.")),
    ] });
    json!({ "type": "array", "items": one, "minItems": 1, "maxItems": Target::MOST })
}

pub(crate) fn put() -> Value {
    object(decode::PUT, "")
}

pub(crate) fn login_request() -> Value {
    object(decode::LOGIN_REQUEST, "")
}

pub(crate) fn token_source() -> Value {
    json!({ "anyOf": [expression(), only("header", &line()), only("cookie", &line())] })
}

fn pagination_shape() -> Value {
    json!({
        "description": "How the next page is found.",
        "oneOf": [
            words(&["none", "link_header", "auto"]),
            only("page", &object(decode::PAGE, "Pages have numbers.")),
            only("offset", &object(decode::OFFSET, "Pages start at a record number.")),
            only("cursor", &object(decode::CURSOR, "Each page says what to ask for the next one.")),
            only("next_url", &object(decode::NEXT_URL, "Each page holds the address of the next one.")),
            only("link_header", &object(decode::LINK_HEADER, "The Link header holds the address of the next page.")),
        ]
    })
}

/// An object with exactly one key.
fn only(key: &str, shape: &Value) -> Value {
    json!({ "type": "object", "properties": { key: shape }, "required": [key], "additionalProperties": false })
}
