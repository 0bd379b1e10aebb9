//! A file that cannot be read in part is still checked in all the rest, and nothing is said twice
//! or said only because a neighbour could not be read.

use crate::support;

use support::Catalogue;

/// What is wrong, as `path code`.
fn problems(text: &str) -> Vec<String> {
    let (bundle, mut problems) = definition::read(text, "test.yaml");
    problems.extend(bundle.validate(&Catalogue));
    definition::in_order(problems)
        .iter()
        .filter(|problem| problem.is_error())
        .map(|problem| format!("{} {}", problem.path, problem.code))
        .collect()
}

const API: &str = "kind: connection\nname: api\nbase_url: https://api.example.com\n";

fn metric(name: &str, rest: &str) -> String {
    format!("---\nkind: metric\nname: {name}\nselect: {{ value: n }}\n{rest}\n")
}

#[test]
fn references_are_checked_although_something_else_cannot_be_read() {
    let text = format!(
        "{API}{}{}",
        metric(
            "a",
            "connection: apy\nrequest: { path: /x }\naggregation: avgg"
        ),
        metric("b", "dataset: nowhere"),
    );
    assert_eq!(
        problems(&text),
        [
            "connection definition.connection_unknown",
            "aggregation definition.aggregation",
            "dataset definition.dataset_unknown",
        ]
    );
}

#[test]
fn a_reference_to_what_could_not_be_read_is_not_called_unknown() {
    let uses = metric("a", "connection: api\nrequest: { path: /x }");
    for broken in [
        "kind: connection\nname: api\nbase_url: 7 seven\nauth: { bearer: x }\n",
        "kind: connection\nname: My Api\nbase_url: https://api.example.com\n",
        "kind: conection\nname: api\nbase_url: https://api.example.com\n",
        "- kind\n",
    ] {
        let found = problems(&format!("{broken}{uses}"));
        assert!(!found.is_empty(), "{broken}");
        assert!(
            !found.iter().any(|problem| problem.contains("unknown")),
            "{broken}: {found:?}"
        );
    }
}

#[test]
fn a_board_that_cannot_be_read_hides_no_connection() {
    let uses = metric("a", "connection: api\nrequest: { path: /x }");
    let found = problems(&format!("kind: board\nname: b\n{uses}"));
    assert_eq!(
        found,
        [
            "blocks definition.required",
            "connection definition.connection_unknown"
        ]
    );
}

#[test]
fn two_definitions_without_a_readable_name_are_not_called_the_same() {
    let text = format!(
        "{API}{}{}",
        metric("A B", "connection: api\nrequest: { path: /x }"),
        metric("C D", "connection: api\nrequest: { path: /x }"),
    );
    assert_eq!(
        problems(&text),
        [
            "name definition.name_invalid",
            "name definition.name_invalid"
        ]
    );
}

#[test]
fn what_cannot_be_read_is_not_checked_again() {
    let text = format!(
        "{API}{}",
        metric("a", "connection: 5\nrequest: { path: [] }")
    );
    assert_eq!(
        problems(&text),
        [
            "connection definition.name_invalid",
            "request.path definition.type"
        ]
    );
}

#[test]
fn an_address_may_be_left_to_a_connector_and_to_nothing_else() {
    let found = problems("kind: connection\nname: kit\n");
    assert_eq!(found, ["base_url definition.required"]);
    let found = problems("kind: connection\nname: kit\nconnector: unheard_of\n");
    assert_eq!(found, ["connector definition.not_yet"]);
    // The catalogue of this test knows the name and gives nothing.
    let found = problems("kind: connection\nname: kit\nconnector: convertkit\n");
    assert_eq!(found, ["base_url definition.url_invalid"]);
    let (bundle, unread) =
        definition::read("kind: connection\nname: kit\nconnector: convertkit\n", "a");
    assert!(unread.is_empty() && bundle.definitions.len() == 1);
}
