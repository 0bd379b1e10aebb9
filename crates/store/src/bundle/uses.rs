//! What goals, alerts, boards and scorecards name, and that they are watched.

use super::remove::NAMES_TOLD;
use super::{Bundle, STEP};
use crate::database::{Tx, values};
use crate::definitions::{Kind, Put};
use crate::error::{Error, Result};

impl Bundle<'_> {
    pub(crate) fn put_uses(&mut self, kind: Kind, name: &str, put: &Put) {
        if matches!(kind, Kind::Connection | Kind::Dataset | Kind::Metric) && put.uses.is_empty() {
            return;
        }
        self.users.push((kind, name.to_owned()));
        let mut uses = put.uses.clone();
        uses.sort();
        uses.dedup();
        for (used_kind, used_name) in uses {
            let (kind, used_kind) = (kind.as_str(), used_kind.as_str());
            self.use_rows
                .push(values![self.ws, kind, name, used_kind, used_name]);
        }
        match &put.watch {
            Some(watch) => self.watch_rows.push(values![
                self.ws,
                kind.as_str(),
                name,
                &watch.metric,
                &watch.subject,
                0_i64,
                self.now,
                // Of two definitions that had one name, the judgements are told apart.
                self.now,
                "",
                "",
            ]),
            None => self.unwatched.push((kind, name.to_owned())),
        }
    }

    /// Writes references and watches; the definitions themselves are there.
    pub(crate) async fn write_uses(&mut self, tx: &mut Tx) -> Result<()> {
        let sql = "DELETE FROM definition_uses WHERE workspace = $1 AND kind = $2 AND name §in($3)";
        let users = std::mem::take(&mut self.users);
        for kind in Kind::ALL {
            let names: Vec<String> = users
                .iter()
                .filter(|(other, _)| *other == kind)
                .map(|(_, name)| name.clone())
                .collect();
            if !names.is_empty() {
                tx.run(STEP, sql, values![self.ws, kind.as_str(), names])
                    .await?;
            }
        }
        let sql = "INSERT INTO definition_uses (workspace, kind, name, used_kind, used_name) VALUES §values";
        tx.many(STEP, sql, &[], std::mem::take(&mut self.use_rows))
            .await?;
        let sql = "DELETE FROM watches WHERE workspace = $1 AND kind = $2 AND name = $3";
        for (kind, name) in std::mem::take(&mut self.unwatched) {
            tx.run(STEP, sql, values![self.ws, kind.as_str(), name])
                .await?;
        }
        // An edit is judged at once; what it was about decides whether it is the same case as before.
        let sql = "INSERT INTO watches (workspace, kind, name, metric, subject, judged_version, next_at, \
                   revision, phase, state) VALUES §values ON CONFLICT (workspace, kind, name) DO UPDATE SET \
                   metric = excluded.metric, judged_version = 0, next_at = excluded.next_at, \
                   revision = watches.revision + 1, \
                   phase = CASE WHEN watches.subject = excluded.subject THEN watches.phase ELSE '' END, \
                   since = CASE WHEN watches.subject = excluded.subject THEN watches.since END, \
                   state = CASE WHEN watches.subject = excluded.subject THEN watches.state ELSE '' END, \
                   subject = excluded.subject";
        let rows = std::mem::take(&mut self.watch_rows);
        tx.many(STEP, sql, &[], rows).await.map(drop)
    }

    /// What is still to be sent for a definition that goes is not sent any more.
    pub(crate) async fn forget_watch(&mut self, tx: &mut Tx, kind: Kind, name: &str) -> Result<()> {
        let sql = "UPDATE deliveries SET state = 'cancelled', ended_at = $4 WHERE workspace = $1 AND kind = $2 \
                   AND name = $3 AND state IN ('waiting', 'queued')";
        tx.run(STEP, sql, values![self.ws, kind.as_str(), name, self.now])
            .await
            .map(drop)
    }

    /// Refuses a bundle after which somebody names what is not there.
    pub(crate) async fn check_uses(&self, tx: &mut Tx) -> Result<()> {
        let sql = "SELECT u.used_kind, u.used_name, u.kind, u.name FROM definition_uses u \
                   LEFT JOIN definitions d ON d.workspace = u.workspace AND d.kind = u.used_kind \
                   AND d.name = u.used_name WHERE u.workspace = $1 AND d.name IS NULL \
                   ORDER BY u.used_kind, u.used_name, u.kind, u.name LIMIT 1000";
        let rows = tx.rows(STEP, sql, values![self.ws]).await?;
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let (word, name) = (first.text(0)?, first.text(1)?);
        let kind = Kind::parse(&word).unwrap_or(Kind::Metric);
        if !self.deleted.contains(&(kind, name.clone())) {
            return Err(Error::NotFound {
                kind: kind.as_str(),
                name,
            });
        }
        let mut names = Vec::new();
        for row in &rows {
            if row.text(0)? == word && row.text(1)? == name && names.len() < NAMES_TOLD {
                names.push(format!("{} `{}`", row.text(2)?, row.text(3)?));
            }
        }
        Err(Error::InUse {
            kind: kind.as_str(),
            name,
            names,
        })
    }
}
