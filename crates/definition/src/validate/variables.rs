use super::{address, secrets, templated};
use crate::connection::Connection;
use crate::name::Name;
use crate::node::join;
use crate::problem::{Problem, nearest, quoted};
use crate::request::Request;
use crate::template;
use crate::variable::Variable;

/// Checks the variables of a connection.
pub(super) fn check(connection: &Connection, problems: &mut Vec<Problem>) {
    for (name, variable) in &connection.variables {
        let path = join("variables", name.as_str());
        match variable {
            Variable::Constant(value) => {
                let text = value.as_str().unwrap_or_default();
                if secrets::is_secret_parameter(name.as_str(), text) {
                    let message = "a secret is written in a variable, shown here as ***";
                    problems.push(
                        Problem::new("definition.secret_in_text", path, message)
                            .hint(secrets::CURE),
                    );
                }
            }
            Variable::LookedUp(look_up) => {
                let path = format!("{path}.path");
                address::check_path(&look_up.path, None, &path, problems);
                if look_up.path.is_empty() {
                    let message = "a path is needed, such as /users/me";
                    problems.push(Problem::new("definition.path", path.clone(), message));
                }
                check_constant(connection, &look_up.path, &path, problems);
            }
        }
    }
}

/// Checks a template that is rendered before anything is looked up: it knows constants only.
pub(super) fn check_constant(
    connection: &Connection,
    text: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    match template::check(text) {
        Ok(uses) if uses.is_dated() || uses.parent => problems.push(Problem::new(
            "definition.template_unknown",
            path,
            "only the connection's constant variables are known here: dates and records belong to requests",
        )),
        Ok(_) => {
            let constants = connection.constants();
            let known: Vec<&str> = constants.keys().map(String::as_str).collect();
            for name in template::connection_variables(text) {
                if !constants.contains_key(&name) {
                    let mut problem = unknown(connection, &name, path, &known);
                    if connection.variables.contains_key(name.as_str()) {
                        problem.hint = Some("a variable that is looked up is known in requests only".to_owned());
                    }
                    problems.push(problem);
                }
            }
        }
        Err(error) => problems.push(templated(path, error)),
    }
}

/// Checks that the connection has the variables that a request uses.
pub(super) fn check_used(connection: &Connection, request: &Request, problems: &mut Vec<Problem>) {
    if connection.connector.is_some() {
        return; // The catalogue may give variables too.
    }
    let known: Vec<&str> = connection.variables.keys().map(Name::as_str).collect();
    for (path, text) in template::texts_of_request(request) {
        for name in template::connection_variables(text) {
            if !known.contains(&name.as_str()) {
                let path = format!("request.{path}");
                problems.push(unknown(connection, &name, &path, &known));
            }
        }
    }
}

fn unknown(connection: &Connection, name: &str, path: &str, known: &[&str]) -> Problem {
    let message = format!(
        "the connection `{}` has no variable {}",
        connection.name.as_str(),
        quoted(name)
    );
    let problem = Problem::new("definition.template_unknown", path, message);
    match nearest(name, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!(
            "write `variables: {{ {name}: … }}` in the connection"
        )),
    }
}
