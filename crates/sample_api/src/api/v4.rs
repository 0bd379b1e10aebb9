//! Kit's version 4: `X-Kit-Api-Key`, cursors in both directions.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};

use super::{Asked, Twists, not_found};
use crate::answer::Answer;
use crate::listing::{Rows, Slice, money, write_list, write_text};
use crate::query::Query;
use crate::world::{FORMS, Named, Purchase, TAGS, World, instant, start_of_day};

/// More than this on a page is refused by the real one too.
const MOST_PER_PAGE: u64 = 1_000;

pub(super) fn answer(world: &World, path: &str, asked: &Asked<'_>, twists: Twists<'_>) -> Answer {
    if !signed_in(world, asked.headers) {
        return Answer::v4_error(StatusCode::UNAUTHORIZED, "The access token is invalid");
    }
    let parts: Vec<&str> = path.split('/').collect();
    let query = asked.query;
    match parts.as_slice() {
        ["account"] => Answer::json(format!(
            concat!(
                r#"{{"user":{{"email":"test@kit.dev","id":27}},"account":{{"id":27,"name":"Kit Greetings","plan_type":"creator","#,
                r#""primary_email_address":"test@kit.dev","created_at":"{}","#,
                r#""timezone":{{"name":"America/New_York","friendly_name":"Eastern Time (US & Canada)","utc_offset":"-05:00"}}}}}}"#
            ),
            instant(world.account_created)
        )),
        ["subscribers"] => subscribers(world, query, twists),
        ["purchases"] => {
            let ids: Vec<u64> = world.purchases.iter().map(|one| one.id).collect();
            paged("purchases", &ids, query, twists, |out, index| {
                write_purchase(out, world, &world.purchases[index]);
            })
        }
        ["broadcasts"] => {
            let ids: Vec<u64> = world.broadcasts.iter().map(|one| one.id).collect();
            paged("broadcasts", &ids, query, twists, |out, index| {
                write_broadcast(out, world, index);
            })
        }
        ["broadcasts", id, "stats"] => stats(world, id),
        ["tags"] => named(world, "tags", &TAGS, query, twists),
        ["forms"] => named(world, "forms", &FORMS, query, twists),
        _ => not_found(),
    }
}

/// Whether the headers hold the key, or the token that OAuth would have given.
pub(super) fn signed_in(world: &World, headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    header("x-kit-api-key").or(bearer) == Some(world.secret.as_str())
}

/// Writes one page of records given by their ascending ids, newest first.
fn paged(
    key: &str,
    ids: &[u64],
    query: &Query,
    twists: Twists<'_>,
    write_row: impl Fn(&mut String, usize),
) -> Answer {
    let all: Vec<usize> = (0..ids.len()).rev().collect();
    cursors(key, &all, ids, query, twists, write_row)
}

/// Writes the page that the cursors of `query` mean; `rows` are indices, newest first.
fn cursors(
    key: &str,
    rows: &[usize],
    ids: &[u64],
    query: &Query,
    twists: Twists<'_>,
    write_row: impl Fn(&mut String, usize),
) -> Answer {
    let size = query.number("per_page").unwrap_or(500);
    if !(1..=MOST_PER_PAGE).contains(&size) {
        return Answer::v4_error(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Per page must be between 1 and 1000",
        );
    }
    let size = usize::try_from(size).unwrap_or(500);
    let cursor = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let start = match (
        cursor("after").map(read_cursor),
        cursor("before").map(read_cursor),
    ) {
        (Some(None), _) | (_, Some(None)) => {
            return Answer::v4_error(StatusCode::UNPROCESSABLE_ENTITY, "The cursor is invalid");
        }
        (Some(Some(after)), _) => rows.partition_point(|index| ids[*index] >= after),
        (None, Some(Some(before))) => rows
            .partition_point(|index| ids[*index] > before)
            .saturating_sub(size),
        (None, None) => 0,
    };
    let slice = Slice { start, size };
    let twist = twists(slice.number());
    let shown = &rows[start.min(rows.len())..slice.end().min(rows.len())];
    let edge = |index: Option<&usize>| {
        index.map_or_else(
            || "null".to_owned(),
            |index| format!("\"{}\"", write_cursor(ids[*index])),
        )
    };
    let mut end_cursor = edge(shown.last());
    if let Some(asked) = cursor("after").filter(|_| twist.repeats_cursor) {
        end_cursor = format!("\"{asked}\"");
    }
    let mut out = String::with_capacity(256 * shown.len() + 256);
    out.push('{');
    write_list(
        &mut out,
        key,
        &Rows::Picked(rows.to_vec()),
        slice,
        &twist,
        write_row,
    );
    let _ = write!(
        out,
        r#","pagination":{{"has_previous_page":{},"has_next_page":{},"start_cursor":{},"end_cursor":{end_cursor},"per_page":{size}"#,
        start > 0,
        slice.end() < rows.len() || twist.repeats_cursor,
        edge(shown.first()),
    );
    if query.get("include_total_count") == Some("true") {
        let _ = write!(out, r#","total_count":{}"#, rows.len());
    }
    out.push_str("}}");
    Answer::json(out).page(slice.number())
}

/// Returns an id's cursor: base64 of `[id]`, as the real one's.
pub(super) fn write_cursor(id: u64) -> String {
    STANDARD.encode(format!("[{id}]"))
}

pub(super) fn read_cursor(text: &str) -> Option<u64> {
    let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    decoded.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn subscribers(world: &World, query: &Query, twists: Twists<'_>) -> Answer {
    let all = &world.subscribers;
    let day = |name: &str| query.get(name).and_then(start_of_day);
    let (after, before) = (day("created_after"), day("created_before"));
    let (updated_after, updated_before) = (day("updated_after"), day("updated_before"));
    // Only those who are active, unless asked otherwise: so is the real one.
    let status = query.get("status").unwrap_or("active");
    let rows: Vec<usize> = (0..all.len())
        .rev()
        .filter(|index| {
            let one = &all[*index];
            (status == "all" || one.state.word() == status)
                && after.is_none_or(|after| one.created >= after)
                && before.is_none_or(|before| one.created < before)
                && updated_after.is_none_or(|after| one.updated() >= after)
                && updated_before.is_none_or(|before| one.updated() < before)
        })
        .collect();
    let ids: Vec<u64> = all.iter().map(|one| one.id).collect();
    cursors("subscribers", &rows, &ids, query, twists, |out, index| {
        let one = &all[index];
        let _ = write!(
            out,
            concat!(
                r#"{{"id":{},"first_name":"{}","email_address":"{}","state":"{}","created_at":"{}","#,
                r#""fields":{{"last_name":"{}","country":"{}","source":"{}","weight":"{}","company":null}}}}"#
            ),
            one.id,
            one.first_name,
            one.email(),
            one.state.word(),
            instant(one.created),
            one.last_name,
            one.country,
            one.source,
            one.weight
        );
    })
}

fn write_purchase(out: &mut String, world: &World, one: &Purchase) {
    let buyer = &world.subscribers[one.subscriber];
    let _ = write!(
        out,
        concat!(
            r#"{{"id":{},"transaction_id":"{:03}-92-{:04}","status":"{}","email_address":"{}","subscriber_id":{},"currency":"{}","#,
            r#""transaction_time":"{}","subtotal":{},"discount":{},"shipping":{},"tax":{},"total":{},"#,
            r#""products":[{{"quantity":{},"lid":"000-12-0000","unit_price":{},"sku":null,"name":"{}","pid":"000-11-{:04}"}}]}}"#
        ),
        one.id,
        one.id % 1_000,
        one.id,
        one.status,
        buyer.email(),
        buyer.id,
        one.currency,
        instant(one.at),
        money(one.subtotal_cents),
        money(one.discount_cents),
        money(one.shipping_cents),
        money(one.tax_cents),
        money(one.total_cents()),
        one.quantity,
        money(one.subtotal_cents / one.quantity),
        one.product,
        one.id
    );
}

fn write_broadcast(out: &mut String, world: &World, index: usize) {
    let one = &world.broadcasts[index];
    let created = instant(one.created);
    let _ = write!(
        out,
        r#"{{"id":{0},"publication_id":{0},"created_at":"{created}","subject":"#,
        one.id
    );
    write_text(out, &one.subject);
    let _ = write!(
        out,
        concat!(
            r#","preview_text":null,"description":null,"public":false,"published_at":"{0}","send_at":"{0}","status":"completed","#,
            r#""thumbnail_alt":null,"thumbnail_url":null,"content":null,"public_url":null,"email_address":"greetings@kit.dev","#,
            r#""email_template":{{"id":6,"name":"Text Only"}},"subscriber_filter":[{{"all":[{{"type":"all_subscribers"}}]}}]}}"#
        ),
        created
    );
}

fn stats(world: &World, id: &str) -> Answer {
    let Some(one) = id
        .parse()
        .ok()
        .and_then(|id: u64| world.broadcasts.iter().find(|one| one.id == id))
    else {
        return not_found();
    };
    let share = |part: u64| {
        if one.recipients == 0 {
            0.0
        } else {
            part as f64 * 100.0 / one.recipients as f64
        }
    };
    Answer::json(format!(
        r#"{{"broadcast":{{"id":{},"stats":{{"recipients":{},"open_rate":{:?},"emails_opened":{},"click_rate":{:?},"unsubscribe_rate":{:?}}}}}}}"#,
        one.id,
        one.recipients,
        share(one.opened),
        one.opened,
        share(one.clicked),
        share(one.unsubscribes)
    ))
}

fn named(world: &World, key: &str, list: &[Named], query: &Query, twists: Twists<'_>) -> Answer {
    let ids: Vec<u64> = list.iter().map(|one| one.id).collect();
    paged(key, &ids, query, twists, |out, index| {
        let one = &list[index];
        let created = instant(world.account_created);
        let _ = write!(
            out,
            r#"{{"id":{},"name":"{}","created_at":"{created}"}}"#,
            one.id, one.name
        );
    })
}
