//! Goals, alerts and scorecards as they stand: judged when their metric changes, and when their time comes.

use crate::Store;
use crate::database::{Row, Tx, Value, values};
use crate::definitions::Kind;
use crate::deliveries::{self, NewDelivery};
use crate::error::Result;

/// A definition that is to be judged now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWatch {
    /// Workspace.
    pub workspace: String,
    /// Goal, alert or scorecard.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its canonical document.
    pub document: String,
    /// When it was first applied.
    pub created_at: i64,
    /// The metric it watches.
    pub metric: Option<String>,
    /// The version of that metric's data, as it is now.
    pub version: i64,
    /// How often it was judged or edited, to be handed back with the judgement.
    pub revision: i64,
    /// The judge's own state; empty at first.
    pub state: String,
}

/// What a judgement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Workspace.
    pub workspace: String,
    /// Goal, alert or scorecard.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The revision that was judged; another one since then, and nothing is kept.
    pub revision: i64,
    /// The version of the metric's data that was judged.
    pub version: i64,
    /// When to judge again although nothing changes; `None`: only when something does.
    pub next_at: Option<i64>,
    /// How it stands in one word.
    pub phase: String,
    /// Since when.
    pub since: Option<i64>,
    /// The judge's own state.
    pub state: String,
    /// What is to be told, kept together with the state: both, or neither.
    pub deliveries: Vec<NewDelivery>,
}

/// How a goal, alert or scorecard stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Its name.
    pub name: String,
    /// How it stands in one word; empty before it was judged.
    pub phase: String,
    /// Since when.
    pub since: Option<i64>,
    /// When it is judged again although nothing changes.
    pub next_at: Option<i64>,
    /// The judge's own state.
    pub state: String,
}

impl Store {
    /// Reads what is to be judged at `now`: watches whose metric has a version that was not judged, and those whose
    /// time has come. Those of one metric stand together.
    pub async fn due_watches(&self, now: i64, limit: u32) -> Result<Vec<DueWatch>> {
        let sql = "SELECT w.workspace, w.kind, w.name, f.document, f.created_at, w.metric, \
                   COALESCE(m.version, 0), w.revision, w.state FROM watches w \
                   JOIN definitions f ON f.workspace = w.workspace AND f.kind = w.kind AND f.name = w.name \
                   LEFT JOIN metrics m ON m.workspace = w.workspace AND m.name = w.metric \
                   WHERE w.next_at <= $1 OR m.version > w.judged_version \
                   ORDER BY w.workspace, w.metric, w.kind, w.name LIMIT $2";
        let rows = self
            .database
            .rows("read what is to be judged", sql, values![now, limit])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(DueWatch {
                    workspace: row.text(0)?,
                    kind: Kind::parse(&row.text(1)?).unwrap_or(Kind::Alert),
                    name: row.text(2)?,
                    document: row.text(3)?,
                    created_at: row.int(4)?,
                    metric: row.text_or_null(5)?,
                    version: row.int(6)?,
                    revision: row.int(7)?,
                    state: row.text(8)?,
                })
            })
            .collect()
    }

    /// Keeps judgements with what they tell, in one transaction; returns those that came too late, because
    /// somebody else judged or the definition changed.
    pub async fn save_judged(&self, judged: &[Judged]) -> Result<Vec<String>> {
        let step = "keep judgements";
        let mut tx = self.database.begin(step).await?;
        let now = tx.now().await?;
        let mut late = Vec::new();
        let mut told: Vec<Vec<Value>> = Vec::new();
        for one in judged {
            if save(&mut tx, step, one).await? {
                let (ws, kind, name) = (&one.workspace, one.kind, &one.name);
                let rows = one.deliveries.iter();
                told.extend(rows.map(|new| deliveries::row(ws, kind, name, now, new)));
            } else {
                late.push(one.name.clone());
            }
        }
        tx.many(step, deliveries::INSERT, &[], told).await?;
        tx.commit(step).await?;
        Ok(late)
    }

    /// Reads how one stands.
    pub async fn watch(&self, ws: &str, kind: Kind, name: &str) -> Result<Option<Watch>> {
        let found = self.watches(ws, kind, &[name.to_owned()]).await?;
        Ok(found.into_iter().next())
    }

    /// Reads how several of one kind stand.
    pub async fn watches(&self, ws: &str, kind: Kind, names: &[String]) -> Result<Vec<Watch>> {
        let sql = "SELECT name, phase, since, next_at, state FROM watches \
                   WHERE workspace = $1 AND kind = $2 AND name §in($3) ORDER BY name";
        let values = values![ws, kind.as_str(), names.to_vec()];
        let rows = self
            .database
            .rows("read how they stand", sql, values)
            .await?;
        rows.iter().map(watch).collect()
    }
}

async fn save(tx: &mut Tx, step: &'static str, one: &Judged) -> Result<bool> {
    let sql = "UPDATE watches SET judged_version = $5, next_at = $6, phase = $7, since = $8, state = $9, \
               revision = revision + 1 WHERE workspace = $1 AND kind = $2 AND name = $3 AND revision = $4";
    let values = values![
        &one.workspace,
        one.kind.as_str(),
        &one.name,
        one.revision,
        one.version,
        one.next_at,
        &one.phase,
        one.since,
        &one.state,
    ];
    Ok(tx.run(step, sql, values).await? > 0)
}

fn watch(row: &Row) -> Result<Watch> {
    Ok(Watch {
        name: row.text(0)?,
        phase: row.text(1)?,
        since: row.int_or_null(2)?,
        next_at: row.int_or_null(3)?,
        state: row.text(4)?,
    })
}
