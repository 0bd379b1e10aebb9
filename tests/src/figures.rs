//! What a series answers and what the sample API knows to be true, in one shape to compare.

use sample_api::{Server, Wanted};
use serde_json::Value;

/// The points of an answer by (day, state).
pub fn points(answer: &Value) -> Vec<(String, String, u64)> {
    let mut points = Vec::new();
    for series in answer["series"].as_array().expect("series") {
        let state = series["dimensions"]["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        for point in series["points"].as_array().expect("points") {
            let day = point["start"].as_str().expect("start")[..10].to_owned();
            points.push((
                day,
                state.clone(),
                point["value"].as_u64().expect("a whole number"),
            ));
        }
    }
    points.sort();
    points
}

/// How many subscribers joined, by (day, state).
pub fn truth(api: &Server) -> Vec<(String, String, u64)> {
    let wanted = Wanted {
        split: true,
        ..Wanted::default()
    };
    let mut truth: Vec<_> = api
        .subscribers(&wanted)
        .into_iter()
        .map(|((day, state), sums)| (day.to_string(), state, sums.count))
        .collect();
    truth.sort();
    truth
}
