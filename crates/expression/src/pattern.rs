//! Regular expressions: which are too large to be compiled, and which may take for ever.

use jlens_core::ast::{Node, NodeKind};

/// Longest pattern of a regular expression.
const MAX_PATTERN_BYTES: usize = 1024;

/// Most repetitions that counted repeats of a pattern may multiply to.
const MAX_REPEATS: u64 = 100_000;

/// Why a pattern is refused where it is written.
pub(crate) fn too_large(pattern: &str) -> Option<String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        Some(format!(
            "the regular expression has {} bytes, more than the limit of {MAX_PATTERN_BYTES}",
            pattern.len()
        ))
    } else if repeats(pattern) > MAX_REPEATS {
        Some(format!(
            "the repeats of the regular expression multiply to more than the limit of {MAX_REPEATS}"
        ))
    } else {
        None
    }
}

/// The pattern of an expression that a timeout is likeliest due to: one with repeats inside of repeats, else the first.
pub(crate) fn slowest(root: &Node) -> Option<String> {
    let mut found: Option<String> = None;
    root.walk(&mut |node| {
        if let NodeKind::Regex { pattern, .. } = &node.kind
            && (found.is_none() || (nests(pattern) && !found.as_deref().is_some_and(nests)))
        {
            found = Some(pattern.clone());
        }
    });
    found
}

/// What to do about a pattern that may have taken too long.
pub(crate) fn advice(pattern: &str) -> String {
    const SHOWN: usize = 80;
    let shown: String = pattern.chars().take(SHOWN).collect();
    let cut = if shown.len() < pattern.len() {
        "…"
    } else {
        ""
    };
    if nests(pattern) {
        format!(
            "; the pattern `/{shown}{cut}/` repeats what repeats already, and so tries every way to split a text: \
             repeat once (`(a+)+` finds what `a+` finds)"
        )
    } else {
        format!(
            "; its pattern `/{shown}{cut}/` may be why: make it simpler, or look at shorter texts"
        )
    }
}

/// Whether a part without upper bound is repeated without upper bound: `(a+)+`, `(\w+\s?)*`.
fn nests(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    // For each open group, whether something in it repeats without bound.
    let mut groups = vec![false];
    let mut closed = false;
    let mut at = 0;
    let mut in_class = false;
    while at < bytes.len() {
        let mut is_group = false;
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            _ if in_class => {}
            b'(' => groups.push(false),
            b')' => {
                closed = groups.pop().unwrap_or(false);
                if groups.is_empty() {
                    groups.push(false);
                }
                raise_any(&mut groups, closed);
                is_group = true;
            }
            b'*' | b'+' => {
                if closed {
                    return true;
                }
                raise_any(&mut groups, true);
            }
            b'{' => {
                let end = pattern[at..].find('}').map_or(bytes.len(), |end| at + end);
                if bytes[..end].ends_with(b",") {
                    if closed {
                        return true;
                    }
                    raise_any(&mut groups, true);
                }
                at = end;
            }
            _ => {}
        }
        closed &= is_group;
        at += 1;
    }
    false
}

fn raise_any(groups: &mut [bool], repeats: bool) {
    if let Some(group) = groups.last_mut() {
        *group |= repeats;
    }
}

/// How often the most repeated part of a pattern may be repeated by counted repeats.
fn repeats(pattern: &str) -> u64 {
    let bytes = pattern.as_bytes();
    // The most repeats inside each open group.
    let mut groups: Vec<u64> = vec![1];
    let mut closed = 1;
    let mut most = 1;
    let mut at = 0;
    let mut in_class = false;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            _ if in_class => {}
            b'(' => groups.push(1),
            b')' => {
                closed = groups.pop().unwrap_or(1);
                if groups.is_empty() {
                    groups.push(1);
                }
                raise(&mut groups, closed);
                at += 1;
                continue;
            }
            b'{' => {
                let end = bytes[at..]
                    .iter()
                    .position(|b| *b == b'}')
                    .map_or(bytes.len(), |i| at + i);
                let counts = pattern.get(at + 1..end).unwrap_or_default();
                let count = counts
                    .split(',')
                    .filter_map(|n| n.parse::<u64>().ok())
                    .max();
                if let Some(count) = count {
                    let product = closed.saturating_mul(count.max(1));
                    most = most.max(product);
                    raise(&mut groups, product);
                }
                at = end;
            }
            _ => {}
        }
        closed = 1;
        at += 1;
    }
    most
}

fn raise(groups: &mut [u64], repeats: u64) {
    if let Some(group) = groups.last_mut() {
        *group = (*group).max(repeats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> &'static str {
        crate::check(source).map_or_else(|problem| problem.code, |_| "fine")
    }

    #[test]
    fn regular_expressions_that_multiply_are_refused() {
        assert_eq!(
            code("$contains(\"x\", /(?:a{0,1000}){0,1000}/)"),
            "expression.regex_too_large"
        );
        assert_eq!(
            code("$contains(\"x\", /((a{99}b){99}c){99}/)"),
            "expression.regex_too_large"
        );
        assert_eq!(
            code(&format!("$match(a, /{}/)", "x".repeat(2000))),
            "expression.regex_too_large"
        );
        assert_eq!(code("$match(a, /[0-9]{4}-[0-9]{2}-[0-9]{2}/)"), "fine");
    }

    #[test]
    fn repeats_inside_of_repeats_are_seen() {
        for pattern in [
            "^(a+)+$",
            "(\\w+\\s?)*",
            "((ab)*c?)+",
            "(?:x{2,})+",
            "(a|b+)*",
        ] {
            assert!(nests(pattern), "{pattern}");
        }
        for pattern in [
            "^a+$",
            "(ab)+",
            "a+b*",
            "[(+]+",
            "(\\+)+",
            "(a{2,4})+",
            "(a+)b+",
            "(a+)?",
        ] {
            assert!(!nests(pattern), "{pattern}");
        }
    }
}
