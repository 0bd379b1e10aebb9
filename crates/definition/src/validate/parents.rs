use crate::dataset::Dataset;
use crate::name::Name;
use crate::parent::Parent;
use crate::problem::Problem;

/// Checks the datasets that a dataset descends from: each exists, and none is its own ancestor.
pub(super) fn check(
    dataset: &Dataset,
    dataset_of: &dyn Fn(&str) -> Option<Dataset>,
    missing: &dyn Fn(&str) -> Option<Problem>,
    problems: &mut Vec<Problem>,
) {
    const PATH: &str = "parent.dataset";
    let problem = |message: String| Problem::new("definition.parent", PATH, message);
    let mut line = vec![dataset.name.clone()];
    let mut next = dataset.parent.clone();
    while let Some(parent) = next {
        if line.contains(&parent.dataset) {
            line.push(parent.dataset);
            let names: Vec<&str> = line.iter().map(Name::as_str).collect();
            let message = format!(
                "a dataset cannot descend from itself: {}",
                names.join(" of ")
            );
            return problems.push(problem(message));
        }
        if line.len() > Parent::MAX_DEPTH {
            let message = format!("more than {} parents above one another", Parent::MAX_DEPTH);
            return problems.push(problem(message));
        }
        let Some(found) = dataset_of(parent.dataset.as_str()) else {
            // A missing grandparent is told where it is named.
            if line.len() == 1 {
                problems.extend(missing(parent.dataset.as_str()));
            }
            return;
        };
        if line.len() == 1 && found.window.is_some_and(|window| window.lookback.is_some()) {
            let message = format!(
                "`{}` looks back only a little after its first sync, so most of its records are not asked for again",
                parent.dataset.as_str()
            );
            problems.push(
                problem(message)
                    .hint("leave `lookback` out of the parent's window")
                    .warning(),
            );
        }
        line.push(parent.dataset);
        next = found.parent;
    }
}
