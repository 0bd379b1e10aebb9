//! A small chart for a terminal: one bar for each bucket.

/// The rows of a chart keep to this many characters of bar.
const WIDTH: usize = 40;

/// Draws one line for each `(label, value)`, bars from zero, negative values to the left of nothing.
pub(crate) fn bars(points: &[(String, f64)]) -> Vec<String> {
    let longest = points
        .iter()
        .map(|(label, _)| label.chars().count())
        .max()
        .unwrap_or(0);
    let highest = points
        .iter()
        .map(|(_, value)| value.abs())
        .fold(0.0_f64, f64::max);
    points
        .iter()
        .map(|(label, value)| format!("{label:<longest$}  {} {value}", bar(value.abs(), highest)))
        .collect()
}

fn bar(value: f64, highest: f64) -> String {
    const PARTS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    if highest <= 0.0 || !value.is_finite() {
        return String::new();
    }
    let eighths = value / highest * (WIDTH * 8) as f64;
    let whole = (1..=WIDTH)
        .take_while(|n| (n * 8) as f64 <= eighths)
        .count();
    let rest = eighths - (whole * 8) as f64;
    let part = PARTS
        .iter()
        .enumerate()
        .take_while(|(n, _)| (n + 1) as f64 <= rest)
        .last();
    let mut text = "█".repeat(whole);
    text.extend(part.map(|(_, c)| *c));
    if text.is_empty() && value > 0.0 {
        text.push(PARTS[0]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_their_values() {
        let drawn = bars(&[("a".into(), 10.0), ("bb".into(), 5.0), ("c".into(), 0.0)]);
        assert_eq!(drawn[0], format!("a   {} 10", "█".repeat(40)));
        assert_eq!(drawn[1], format!("bb  {} 5", "█".repeat(20)));
        assert_eq!(drawn[2], "c    0");
    }
}
