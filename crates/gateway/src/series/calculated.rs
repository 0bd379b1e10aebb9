//! Answers about calculated metrics: what they stand on, read as it is at one version.

use std::collections::BTreeMap;
use std::sync::Arc;

use definition::{Interval, Name};
use jiff::Timestamp;
use rollup::coverage::hull;
use rollup::{Answer, Query, QueryError, Rules, Sources};

use super::cache::{Cache, Decoded, Described, Found, Slot, Standing};
use super::question::refusal;
use super::widened;
use crate::problem::Problem;
use crate::router::Gateway;

/// How often what a metric stands on is read again, because it changed meanwhile.
const TRIES: u32 = 5;

/// A calculated metric with everything that it stands on.
#[derive(Debug)]
pub(super) struct Whole {
    name: Name,
    parts: BTreeMap<Name, Part>,
    /// Grows with every edit of any of the definitions.
    pub(super) definition_version: i64,
}

#[derive(Debug)]
struct Part {
    slot: Arc<Slot>,
    described: Arc<Described>,
    rules: Rules,
}

/// The points that a calculated metric stands on, and how to make its own of them.
#[derive(Debug)]
pub(super) struct Numbers {
    name: Name,
    stored: Vec<(Name, Rules, Arc<Decoded>)>,
    calculated: Vec<(Arc<Described>, Rules)>,
    /// How the calculated metric stood.
    pub(super) standing: Standing,
    /// Whether all of it was kept.
    pub(super) found: Found,
}

impl Whole {
    /// Reads the definitions of all that `described` stands on.
    pub(super) async fn load(
        cache: &Cache,
        gateway: &Gateway,
        workspace: &str,
        described: &Arc<Described>,
    ) -> Result<Self, Problem> {
        let mut known: BTreeMap<Name, (Arc<Slot>, Arc<Described>)> = BTreeMap::new();
        let mut open = vec![described.metric.name.clone()];
        while let Some(name) = open.pop() {
            if known.contains_key(&name) {
                continue;
            }
            let slot = cache.slot(workspace, name.as_str());
            let found = slot.described(gateway, workspace, name.as_str()).await?;
            open.extend(found.metric.inputs().into_iter().cloned());
            known.insert(name, (slot, found));
        }
        let definition_version = known.values().map(|(_, one)| one.version).sum();
        let mut rules = BTreeMap::new();
        rules_of(&described.metric.name, &known, &mut rules)?;
        let parts = known
            .into_iter()
            .filter_map(|(name, (slot, described))| {
                let rules = rules.remove(&name)?;
                let part = Part {
                    slot,
                    described,
                    rules,
                };
                Some((name, part))
            })
            .collect();
        Ok(Self {
            name: described.metric.name.clone(),
            parts,
            definition_version,
        })
    }

    /// Returns the rules of the calculated metric.
    pub(super) fn rules(&self) -> Result<&Rules, Problem> {
        let own = self.parts.get(&self.name);
        own.map(|part| &part.rules).ok_or_else(Problem::internal)
    }

    fn stored(&self) -> impl Iterator<Item = (&Name, &Part)> {
        self.parts
            .iter()
            .filter(|(_, part)| part.described.metric.formula.is_none())
    }

    /// The names of the metrics that it reads, directly or not.
    pub(super) fn fed_by(&self) -> impl Iterator<Item = &str> {
        self.stored().map(|(name, _)| name.as_str())
    }

    /// Returns the range that anything is known of.
    pub(super) async fn known(
        &self,
        gateway: &Gateway,
        workspace: &str,
        now: Timestamp,
    ) -> Result<Option<Interval>, Problem> {
        let mut all: Option<Interval> = None;
        for (name, part) in self.stored() {
            let nothing = Interval::new(now, now);
            let slot = &part.slot;
            let standing = slot.standing(gateway, workspace, name.as_str()).await?;
            let (decoded, _) = slot
                .decoded(gateway, workspace, name.as_str(), standing, nothing)
                .await?;
            if let Some(own) = hull(&decoded.input.coverage) {
                all = Some(all.map_or(own, |all| {
                    Interval::new(all.start.min(own.start), all.end.max(own.end))
                }));
            }
        }
        Ok(all)
    }

    /// Reads the points that `query` needs, all as they were at one version of the calculated metric: it
    /// rises with each of its inputs, in the same transaction.
    pub(super) async fn read(
        &self,
        gateway: &Gateway,
        workspace: &str,
        query: &Query,
    ) -> Result<Numbers, Problem> {
        let own = self.parts.get(&self.name).ok_or_else(Problem::internal)?;
        let mut standing = own
            .slot
            .standing(gateway, workspace, self.name.as_str())
            .await?;
        for _ in 0..TRIES {
            let (mut stored, mut found) = (Vec::new(), Found::Kept);
            for (name, part) in self.stored() {
                let reads = query
                    .reads_input(&own.rules, &part.rules)
                    .map_err(|error| refusal(&error))?;
                let slot = &part.slot;
                let input = slot.standing(gateway, workspace, name.as_str()).await?;
                let range = widened(reads, &part.rules);
                let (decoded, from) = slot
                    .decoded(gateway, workspace, name.as_str(), input, range)
                    .await?;
                if from == Found::Read {
                    found = Found::Read;
                }
                stored.push((name.clone(), part.rules.clone(), decoded));
            }
            let after = own
                .slot
                .standing(gateway, workspace, self.name.as_str())
                .await?;
            if after == standing {
                let calculated = self.parts.values();
                return Ok(Numbers {
                    name: self.name.clone(),
                    stored,
                    calculated: calculated
                        .filter(|part| part.described.metric.formula.is_some())
                        .map(|part| (Arc::clone(&part.described), part.rules.clone()))
                        .collect(),
                    standing,
                    found,
                });
            }
            standing = after;
        }
        Err(Problem::store_unavailable())
    }
}

impl Numbers {
    /// Whether an input has points that an earlier revision made.
    pub(super) fn has_outdated(&self) -> bool {
        let mut inputs = self.stored.iter();
        inputs.any(|(_, _, decoded)| !decoded.input.outdated.is_empty())
    }

    /// Answers the question.
    pub(super) fn answer(&self, query: &Query) -> Result<Answer, QueryError> {
        let mut sources = Sources::default();
        for (name, rules, decoded) in &self.stored {
            sources.add_stored(name.clone(), rules.clone(), &decoded.input);
        }
        for (described, rules) in &self.calculated {
            sources.add_calculated(&described.metric, rules.clone());
        }
        sources.answer(&self.name, query)
    }
}

/// Finds the rules of a metric and of all below it, from the bottom up. What is stored has no cycles.
fn rules_of(
    name: &Name,
    known: &BTreeMap<Name, (Arc<Slot>, Arc<Described>)>,
    rules: &mut BTreeMap<Name, Rules>,
) -> Result<(), Problem> {
    if rules.contains_key(name) {
        return Ok(());
    }
    let (_, described) = known
        .get(name)
        .ok_or_else(|| Problem::not_found("metric", name.as_str()))?;
    if described.metric.formula.is_none() {
        rules.insert(name.clone(), described.rules.clone());
        return Ok(());
    }
    for input in described.metric.inputs() {
        rules_of(input, known, rules)?;
    }
    let inputs: Vec<&Rules> = described
        .metric
        .inputs()
        .into_iter()
        .filter_map(|input| rules.get(input))
        .collect();
    let own = Rules::calculated(&described.metric, &inputs);
    rules.insert(name.clone(), own);
    Ok(())
}
