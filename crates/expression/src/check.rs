//! Says at once, and with its place, why an expression cannot be used.

use std::collections::HashSet;

use definition::{Bundle, Definition, MetricType, Problem, Severity};
use jlens_core::ast::{Node, NodeKind, Span, Stage};

use crate::ExpressionProblem;
use crate::error::lower_first;
use crate::generate::generate;
use crate::places::expressions;
use crate::shape::misnamed_fields;

/// Longest expression: a screenful is a few hundred bytes, and the engine's tables grow with it.
pub const MAX_SOURCE_BYTES: usize = 16 * 1024;

/// Functions whose result depends on chance, or whose text nobody could review.
const REFUSED: [(&str, &str); 4] = [
    ("eval", "it hides its text from review and limits"),
    (
        "random",
        "it is not deterministic: evaluating a page again must give the same rows",
    ),
    (
        "uuid",
        "it is not deterministic: evaluating a page again must give the same rows",
    ),
    (
        "shuffle",
        "it is not deterministic: evaluating a page again must give the same rows",
    ),
];

/// Variables that an evaluation binds.
const BOUND: [&str; 2] = ["window", "parent"];

/// An expression that was checked and compiled.
#[derive(Debug, Clone)]
pub struct Checked {
    pub(crate) expression: jlens_core::Expression,
}

impl Checked {
    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        self.expression.source()
    }

    /// Top-level fields of the page that the expression reads; nothing when it may read them all.
    pub fn fields(&self) -> Option<Vec<String>> {
        match self.expression.reads().input() {
            None => Some(Vec::new()),
            Some(read) => read.fields().map(|fields| fields.keys().cloned().collect()),
        }
    }
}

/// Checks and compiles an expression.
pub fn check(source: &str) -> Result<Checked, ExpressionProblem> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(ExpressionProblem {
            code: "expression.too_long",
            message: format!(
                "the expression has {} bytes, more than the limit of 16 KiB",
                source.len()
            ),
            line: 1,
            column: 1,
            span: (0, source.len()),
        });
    }
    if source.trim().is_empty() {
        return Err(problem_at(
            source,
            Span::new(0, 0),
            "expression.syntax",
            "expression is empty",
        ));
    }
    let expression =
        jlens_core::Expression::compile(source).map_err(|error| syntax_problem(source, &error))?;
    match first_refusal(&expression.ast().root) {
        Some((span, code, message)) => Err(problem_at(source, span, code, &message)),
        None => Ok(Checked { expression }),
    }
}

/// Checks every expression of every definition, and returns all that is wrong with its place.
pub fn check_bundle(bundle: &Bundle) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, located) in bundle.definitions.iter().enumerate() {
        let before = problems.len();
        for (path, source) in expressions(&located.definition) {
            if located.is_broken(&path) {
                continue;
            }
            if let Err(problem) = check_part(&source) {
                let hint = hint(&problem);
                problems.push(bundle.problem_at(index, &path, problem.code, problem.message, hint));
            }
        }
        let Definition::Metric(metric) = &located.definition else {
            continue;
        };
        if problems.len() > before || located.is_broken("select") {
            continue;
        }
        if let Some(expression) = &metric.expression {
            problems.extend(misnamed_fields(expression).map(|(found, meant)| {
                let message = format!("rows have no `{found}`, and it is not looked at");
                let hint = Some(format!("did you mean `{meant}`?"));
                let code = "expression.row_field";
                let mut problem = bundle.problem_at(index, "expression", code, message, hint);
                problem.severity = Severity::Warning;
                problem
            }));
        } else if let Err(problem) = check(&generate(&metric.select, MetricType::Events)) {
            // Each part is sound, so only all of them together can be too much.
            problems.push(bundle.problem_at(index, "select", problem.code, problem.message, None));
        }
    }
    problems
}

/// Checks a part of a selection, which stands on a record and may speak of its parents.
fn check_part(source: &str) -> Result<(), ExpressionProblem> {
    let Err(problem) = check(source) else {
        return Ok(());
    };
    let on_a_record = format!("a.a.a.a.a.a.({source}\n)");
    if source.contains('%') && on_a_record.len() <= MAX_SOURCE_BYTES && check(&on_a_record).is_ok()
    {
        return Ok(());
    }
    Err(problem)
}

fn hint(problem: &ExpressionProblem) -> Option<String> {
    match problem.code {
        "expression.unknown_function" => {
            Some("functions are listed at https://docs.jsonata.org".to_owned())
        }
        "expression.unknown_variable" => {
            Some("fields have no `$`; `$window` and `$parent` are bound for you".to_owned())
        }
        _ => None,
    }
}

fn syntax_problem(source: &str, error: &jlens_core::Error) -> ExpressionProblem {
    let end = source.trim_end().len();
    let span = error.span().unwrap_or(Span::new(end, end));
    let text = lower_first(&error.message());
    let code = match error.code() {
        "U1001" => "expression.too_deep",
        _ => "expression.syntax",
    };
    let position = error
        .position()
        .map_or_else(String::new, |at| format!(", position {at}"));
    let mut problem = problem_at(source, span, code, &text);
    problem.message = format!(
        "{text} at line {}, column {}{position}",
        problem.line, problem.column
    );
    problem
}

fn problem_at(source: &str, span: Span, code: &'static str, text: &str) -> ExpressionProblem {
    let start = span.start.min(source.len());
    let before = source.get(..start).unwrap_or(source);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    ExpressionProblem {
        code,
        message: format!("{text} at line {line}, column {column}"),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        span: (start, span.end.min(source.len())),
    }
}

type Refusal = (Span, &'static str, String);

/// The first thing in the tree that may not be evaluated, in the order of the text.
fn first_refusal(root: &Node) -> Option<Refusal> {
    let names = Names::of(root);
    let mut first: Option<Refusal> = None;
    root.walk(&mut |node| {
        if first.is_none() {
            first = refusal(node, &names);
        }
    });
    first
}

fn refusal(node: &Node, names: &Names) -> Option<Refusal> {
    match &node.kind {
        NodeKind::Variable { name } => {
            if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| refused == name) {
                let text = format!("function `${name}` is refused: {reason}");
                return Some((node.span, "expression.function_refused", text));
            }
            if !names.knows(name) {
                let text = format!("nothing binds the variable `${name}`");
                return Some((node.span, "expression.unknown_variable", text));
            }
            None
        }
        NodeKind::Function { procedure, .. } | NodeKind::Partial { procedure, .. } => {
            match &procedure.kind {
                NodeKind::Variable { name } if !names.knows(name) && !is_refused(name) => {
                    let text = format!("there is no function `${name}`");
                    Some((procedure.span, "expression.unknown_function", text))
                }
                _ if names.has_lambdas => None,
                _ => called_field(procedure).map(|name| {
                    let text = if names.functions.contains(name) {
                        format!("`{name}` is a field and not a function: did you mean `${name}`?")
                    } else {
                        format!("`{name}` is a field and not a function")
                    };
                    (procedure.span, "expression.syntax", text)
                }),
            }
        }
        NodeKind::Regex { pattern, .. } => crate::pattern::too_large(pattern)
            .map(|text| (node.span, "expression.regex_too_large", text)),
        _ => None,
    }
}

/// The field that is called like a function; JSON holds no functions, so only an object that the
/// expression made of lambdas could have one.
fn called_field(procedure: &Node) -> Option<&str> {
    match &procedure.kind {
        NodeKind::Name { name } => Some(name),
        NodeKind::Path { steps, .. } => steps.last().and_then(called_field),
        _ => None,
    }
}

fn is_refused(name: &str) -> bool {
    REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// The names an expression may use after a `$`.
struct Names {
    functions: HashSet<&'static str>,
    bound: HashSet<String>,
    has_lambdas: bool,
}

impl Names {
    fn of(root: &Node) -> Self {
        let mut bound = HashSet::new();
        let mut has_lambdas = false;
        root.walk(&mut |node| {
            match &node.kind {
                NodeKind::Bind { lhs, .. } => {
                    if let NodeKind::Variable { name } = &lhs.kind {
                        bound.insert(name.clone());
                    }
                }
                NodeKind::Lambda(lambda) => {
                    has_lambdas |= !lambda.thunk;
                    bound.extend(lambda.params.iter().cloned());
                }
                _ => {}
            }
            bound.extend(node.attrs.focus.iter().chain(&node.attrs.index).cloned());
            for stage in node.attrs.stages.iter().chain(&node.attrs.predicate) {
                if let Stage::Index { var, .. } = stage {
                    bound.insert(var.clone());
                }
            }
        });
        let functions = jlens_core::function_catalog()
            .iter()
            .map(|info| info.name)
            .collect();
        Self {
            functions,
            bound,
            has_lambdas,
        }
    }

    fn knows(&self, name: &str) -> bool {
        matches!(name, "" | "$")
            || BOUND.contains(&name)
            || self.functions.contains(name)
            || self.bound.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(source: &str) -> &'static str {
        check(source).map_or_else(|problem| problem.code, |_| "fine")
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        let problem = check("subscribers.{\n  \"value\": 1,\n  \"date\": ]\n}").unwrap_err();
        assert_eq!(problem.code, "expression.syntax");
        assert_eq!((problem.line, problem.column), (3, 11), "{problem}");
        assert!(problem.message.contains("line 3, column 11"), "{problem}");
        let problem = check("a.").unwrap_err();
        assert!(problem.message.contains("unexpected end"), "{problem}");
        assert!(problem.message.contains("position 2"), "{problem}");
    }

    #[test]
    fn look_ups_and_parents_are_checked_where_they_are_written() {
        let text = "kind: connection\nname: api\nbase_url: https://api.example.com\nvariables:\n  first: { path: /a, select: 'a.' }\n  \
                    second: { path: /a, select: '$random()' }\n  third: { path: /a, select: 'data[0].id' }\n---\n\
                    kind: dataset\nname: posts\nconnection: api\nrequest: { path: /posts }\nrecords: posts\n---\n\
                    kind: dataset\nname: comments\nconnection: api\nrequest: { path: '/posts/{{ parent.id }}/comments' }\nrecords: comments\n\
                    parent:\n  dataset: posts\n  where: $nope()\n---\n\
                    kind: dataset\nname: likes\nconnection: api\nrequest: { path: '/posts/{{ parent.id }}/likes' }\nrecords: likes\n\
                    parent: { dataset: posts, where: '$eval(\"1\")' }\n";
        let (bundle, unread) = definition::read(text, "test.yaml");
        assert_eq!(unread, []);
        let problems = check_bundle(&bundle);
        let found: Vec<_> = problems
            .iter()
            .map(|one| (one.code, one.path.as_str(), one.line))
            .collect();
        assert_eq!(
            found,
            [
                ("expression.syntax", "variables.first.select", 5),
                ("expression.function_refused", "variables.second.select", 6),
                ("expression.unknown_function", "parent.where", 22),
                ("expression.function_refused", "parent.where", 29),
            ]
        );
    }

    #[test]
    fn refused_functions_are_found_wherever_they_are_named() {
        for source in [
            "$eval(\"1\")",
            "($f := $eval; $f(\"1\"))",
            "$map([1], $random)",
            "a[$uuid() = b]",
            "a^($random())",
            "a{ $uuid(): b }",
            "function($x){ $shuffle($x) }([1])",
            "a ~> $eval",
            "$ ~> |a|{\"b\": $random()}|",
        ] {
            assert_eq!(code(source), "expression.function_refused", "{source}");
        }
        let problem = check("a + $random()").unwrap_err();
        assert_eq!(problem.span, (4, 11));
    }

    #[test]
    fn names_that_nothing_binds_are_found_before_they_run() {
        assert_eq!(code("$summ(a)"), "expression.unknown_function");
        assert_eq!(code("sum(a)"), "expression.syntax");
        assert_eq!(code("a.{ \"value\": $tax }"), "expression.unknown_variable");
        for source in [
            "($x := $x + 1)",
            "a@$r.b#$i.{ \"value\": $r.c + $i }",
            "$map(a, function($v, $i) { $v * $i })",
            "$window.start & $parent.id & $$.a & $",
            "$sum(a) ~> $round(2)",
            "$now() & $millis()",
        ] {
            assert_eq!(code(source), "fine", "{source}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_nothing_overflows() {
        for open in [
            "(",
            "[",
            "{\"a\":",
            "a.(",
            "-",
            "function(){",
            "a[",
            "$not(",
        ] {
            let source = open.repeat(MAX_SOURCE_BYTES / open.len());
            assert!(
                matches!(code(&source), "expression.too_deep" | "expression.syntax"),
                "{open}"
            );
        }
        let balanced = format!("{}1{}", "(".repeat(8000), ")".repeat(8000));
        assert_eq!(code(&balanced), "expression.too_deep");
        assert_eq!(code(&vec!["1"; 8000].join("+")), "expression.too_deep");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(source in "\\PC{0,80}") {
            let _ = check(&source);
        }

        #[test]
        fn arbitrary_jsonata_never_panics(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("a"), Just("."), Just("["), Just("]"), Just("("), Just(")"), Just("{"), Just("}"),
                    Just("$"), Just("$$"), Just("%"), Just("\"x\""), Just("1"), Just(":"), Just(","), Just("^"),
                    Just("/a{1,2}/"), Just("?"), Just("function($x)"), Just(":="), Just("~>"), Just("|"),
                    Just("@$a"), Just("#$i"), Just("**"), Just("and"), Just(" "), Just("`"), Just("/*"),
                ],
                0..40,
            ),
        ) {
            let source: String = parts.concat();
            let _ = crate::shape::row_shape(&source);
        }
    }
}
