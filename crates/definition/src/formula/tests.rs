use super::*;

fn shown(term: &Term) -> String {
    match term {
        Term::Number(number) => number.to_string(),
        Term::Metric(name) => name.to_string(),
        Term::Negative(inner) => format!("(- {})", shown(inner)),
        Term::Join(operator, left, right) => {
            let sign = match operator {
                Operator::Plus => '+',
                Operator::Minus => '-',
                Operator::Times => '*',
                Operator::Over => '/',
            };
            format!("({} {sign} {})", shown(left), shown(right))
        }
        Term::Call(function, terms) => {
            let terms: Vec<String> = terms.iter().map(shown).collect();
            format!("{function}[{}]", terms.join(", "))
        }
    }
}

#[test]
fn formulas_bind_as_people_write_them() {
    for (text, meant) in [
        ("paid / trials * 100", "((paid / trials) * 100)"),
        ("a - b - c", "((a - b) - c)"),
        ("a + b * -c", "(a + (b * (- c)))"),
        ("(a + b)*0.5", "((a + b) * 0.5)"),
        (" 1\n/ a ", "(1 / a)"),
        (
            "max(a, b + 1) / coalesce(min, 0)",
            "(max[a, (b + 1)] / coalesce[min, 0])",
        ),
        ("--a", "(- (- a))"),
    ] {
        assert_eq!(shown(Formula::parse(text).unwrap().root()), meant, "{text}");
    }
}

#[test]
fn what_is_no_formula_is_told_with_its_place() {
    let deep = format!("{}a{}", "(".repeat(40), ")".repeat(40));
    let long = format!("a{}", " + a".repeat(150));
    let many: Vec<String> = (0..21).map(|number| format!("m{number}")).collect();
    for (text, at, words) in [
        (
            "",
            1,
            "expected a number, a metric or `(`, the formula ends here",
        ),
        ("a /", 4, "the formula ends here"),
        ("a b", 3, "expected an operator"),
        (
            "a * / b",
            5,
            "expected a number, a metric or `(`, found `/`",
        ),
        ("(a + b", 7, "expected `)`"),
        ("a + b)", 6, "no `(`"),
        ("a * 5%", 6, "`%` is no operator"),
        ("a * 1.2.3", 8, "a number is digits"),
        ("a * 2x", 6, "a number is digits"),
        ("a * 1.", 7, "digits behind the point"),
        ("Paid / trials", 1, "`Paid` is no metric"),
        ("sum(a, b)", 1, "no function `sum`"),
        ("mix(a, b)", 1, "no function `mix`"),
        ("abs(a, b)", 1, "one value"),
        ("1 + max(a)", 5, "several values"),
        ("1 + 2", 1, "names no metric"),
        ("a + 😀", 5, "found `😀`"),
        (deep.as_str(), 33, "inside one another"),
        (long.as_str(), 403, "more than 200"),
        (many.join("+").as_str(), 1, "names 21 metrics"),
        (
            "a + 1234567890123456789012345678901",
            5,
            "at most 30 digits",
        ),
    ] {
        let error = Formula::parse(text).unwrap_err();
        assert!(error.message.contains(words), "{text}: {error}");
        assert_eq!(error.at, at, "{text}: {error}");
    }
    let hint = Formula::parse("Paid / trials").unwrap_err().hint;
    assert_eq!(hint.as_deref(), Some("for example `paid`"));
}

#[test]
fn units_go_together_or_are_refused() {
    let of = |name: &Name| match name.as_str() {
        "usd" | "more_usd" => FormulaUnit::Of(Some("USD".into())),
        "eur" => FormulaUnit::Of(Some("EUR".into())),
        "rows" => FormulaUnit::Unknown,
        _ => FormulaUnit::Of(None),
    };
    let unit = |text: &str, stated| Formula::parse(text).unwrap().unit(&of, stated);
    let usd = || FormulaUnit::Of(Some("USD".into()));
    for (text, found) in [
        ("usd + more_usd", usd()),
        ("usd * 2 - 5", usd()),
        ("usd / orders", usd()),
        ("orders * usd", usd()),
        ("usd / more_usd * 100", FormulaUnit::Of(None)),
        ("orders / visits", FormulaUnit::Of(None)),
        ("coalesce(usd, 0)", usd()),
        ("rows + usd", FormulaUnit::Unknown),
        ("rows / orders", FormulaUnit::Unknown),
    ] {
        assert_eq!(unit(text, None).unwrap(), found, "{text}");
    }
    for text in ["usd + eur", "usd - orders", "max(usd, eur)"] {
        assert!(
            matches!(unit(text, None), Err(UnitError::Differ { .. })),
            "{text}"
        );
        assert!(
            unit(text, Some("x")).is_err(),
            "{text}: stating a unit cures nothing"
        );
    }
    for text in ["usd / eur", "usd * more_usd", "orders / usd", "1 / usd"] {
        assert!(
            matches!(unit(text, None), Err(UnitError::Compound { .. })),
            "{text}"
        );
        let stated = unit(text, Some("rate")).unwrap();
        assert_eq!(stated, FormulaUnit::Of(Some("rate".into())), "{text}");
    }
}
