//! One walk from page to page: a run has one, or one for each record of its parent.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use wire::Json;
use wire::run_manifest::RunEnd;

use crate::pagination::{Position, Walk};
use crate::plan::Plan;
use crate::render::{RenderError, Template};

use super::parents::kept_of;

/// One walk under way.
pub(super) struct Branch {
    /// Which record of the parent it is for, from 0; 0 without a parent.
    pub(super) index: u32,
    /// The most pages of a walk.
    stride: u32,
    pub(super) template: Arc<Template>,
    pub(super) walk: Walk,
    pub(super) todo: VecDeque<(u32, Position)>,
    /// Pages asked for and not yet judged.
    pub(super) in_flight: u32,
    pub(super) end: Option<RunEnd>,
    /// The record, as it travels with the pages.
    pub(super) parent: Option<Json>,
}

/// A page that is to be asked for.
pub(super) struct Next {
    pub(super) branch: u32,
    pub(super) template: Arc<Template>,
    /// Its number in its walk.
    pub(super) number: u32,
    /// Its number in the run.
    pub(super) place: u32,
    pub(super) position: Position,
}

impl Branch {
    /// Begins a walk, or goes on with one.
    pub(super) fn new(
        plan: &Plan,
        index: u32,
        record: Option<&Value>,
        resumed: Option<(Walk, Vec<(u32, Position)>)>,
    ) -> Result<Self, RenderError> {
        let template = plan.template(record)?;
        let (walk, todo) =
            resumed.unwrap_or_else(|| Walk::begin(plan.pagination.clone(), plan.max_pages));
        Ok(Branch {
            index,
            stride: plan.max_pages,
            template: Arc::new(template),
            walk,
            todo: todo.into(),
            in_flight: 0,
            end: None,
            parent: record.map(|record| Json::from(kept_of(record))),
        })
    }

    /// The next page to ask for, if one is known.
    pub(super) fn next(&mut self) -> Option<Next> {
        if self.end.is_some() {
            return None;
        }
        let (number, position) = self.todo.pop_front()?;
        self.in_flight += 1;
        Some(Next {
            branch: self.index,
            template: self.template.clone(),
            number,
            place: place(self.index, self.stride, number),
            position,
        })
    }

    /// Whether nothing of it is left to do.
    pub(super) fn is_through(&self) -> bool {
        self.end.is_some() && self.in_flight == 0
    }
}

/// The number in the run of a page of a walk: each walk has as many numbers as it may have pages.
pub(super) fn place(index: u32, stride: u32, number: u32) -> u32 {
    index.saturating_mul(stride).saturating_add(number)
}
