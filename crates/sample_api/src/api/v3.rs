//! ConvertKit's version 3: `api_secret` in the query, numbered pages.

use std::fmt::Write as _;

use super::{Asked, Twists};
use crate::answer::Answer;
use crate::listing::{Rows, Slice, money, write_list, write_text};
use crate::query::Query;
use crate::world::{
    FORMS, Named, Purchase, SEQUENCES, State, Subscriber, TAGS, World, end_of_day, instant,
    start_of_day,
};

pub(super) fn answer(world: &World, path: &str, asked: &Asked<'_>, twists: Twists<'_>) -> Answer {
    match asked.query.get("api_secret") {
        None => return Answer::v3_unauthorized("API Key not present"),
        Some(secret) if secret != world.secret => {
            return Answer::v3_unauthorized("API Key not valid");
        }
        Some(_) => {}
    }
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["account"] => {
            Answer::json(r#"{"name":"Acme Corp.","primary_email_address":"you@example.com"}"#)
        }
        ["subscribers"] => subscribers(world, asked.query, twists),
        ["purchases"] => purchases(world, asked.query, twists),
        ["tags"] => Answer::json(named(world, "tags", &TAGS, "")),
        ["forms"] => Answer::json(named(world, "forms", &FORMS, FORM)),
        ["sequences"] => Answer::json(named(world, "courses", &SEQUENCES, "")),
        ["broadcasts"] => broadcasts(world, asked.query, twists),
        ["broadcasts", id, "stats"] => stats(world, id),
        ["forms", id, "subscriptions"] => {
            subscriptions(world, id, "form", FORMS.len(), asked.query, twists)
        }
        ["tags", id, "subscriptions"] => {
            subscriptions(world, id, "tag", TAGS.len(), asked.query, twists)
        }
        ["sequences", id, "subscriptions"] => {
            subscriptions(world, id, "course", SEQUENCES.len(), asked.query, twists)
        }
        _ => Answer::v3_not_found(),
    }
}

/// What a form has beside its name.
const FORM: &str = r#","type":"embed","title":"Join the newsletter","description":"Form description text.","sign_up_button_text":"Subscribe","success_message":"Success! Now check your email to confirm your subscription.""#;

/// Returns the asked page; nonsense is page 1, as with the real one.
fn page_of(query: &Query) -> u64 {
    query.number("page").unwrap_or(1).max(1)
}

/// Writes `{"total_…":…,"page":…,"total_pages":…,` and the list.
fn paged(
    noun: &str,
    rows: &Rows,
    page: u64,
    size: usize,
    twists: Twists<'_>,
    write_row: impl Fn(&mut String, usize),
) -> Answer {
    let twist = twists(page);
    let mut out = String::with_capacity(256 * size.min(rows.len()) + 128);
    let pages = rows.len().div_ceil(size).max(1);
    let _ = write!(
        out,
        r#"{{"total_{noun}":{},"page":{page},"total_pages":{pages},"#,
        rows.len()
    );
    write_list(
        &mut out,
        noun,
        rows,
        Slice::page(page, size),
        &twist,
        write_row,
    );
    out.push('}');
    Answer::json(out).page(page)
}

fn subscribers(world: &World, query: &Query, twists: Twists<'_>) -> Answer {
    let all = &world.subscribers;
    let from = query.get("from").and_then(start_of_day);
    let to = query.get("to").and_then(end_of_day);
    let first = from.map_or(0, |from| all.partition_point(|one| one.created < from));
    let end = to
        .map_or(all.len(), |to| all.partition_point(|one| one.created < to))
        .max(first);
    let updated_from = query.get("updated_from").and_then(start_of_day);
    let updated_to = query.get("updated_to").and_then(end_of_day);
    let email = query.get("email_address");
    let cancelled = query.get("sort_field") == Some("cancelled_at");
    let descending = query
        .get("sort_order")
        .is_some_and(|order| order.eq_ignore_ascii_case("desc"));

    let rows = if updated_from.is_some() || updated_to.is_some() || email.is_some() || cancelled {
        let fits = |one: &Subscriber| {
            updated_from.is_none_or(|from| one.updated() >= from)
                && updated_to.is_none_or(|to| one.updated() < to)
                && email.is_none_or(|email| one.email() == email)
                && (!cancelled || one.state == State::Cancelled)
        };
        let mut picked: Vec<usize> = (first..end).filter(|index| fits(&all[*index])).collect();
        if cancelled {
            picked.sort_by_key(|index| all[*index].cancelled);
        }
        if descending {
            picked.reverse();
        }
        Rows::Picked(picked)
    } else if descending {
        Rows::Backward(first..end)
    } else {
        Rows::Forward(first..end)
    };
    let size = world.page_size as usize;
    paged(
        "subscribers",
        &rows,
        page_of(query),
        size,
        twists,
        |out, index| write_subscriber(out, &all[index]),
    )
}

pub(super) fn write_subscriber(out: &mut String, one: &Subscriber) {
    let _ = write!(
        out,
        r#"{{"id":{},"first_name":"{}","email_address":"{}","state":"{}","#,
        one.id,
        one.first_name,
        one.email(),
        one.state.word()
    );
    if let Some(at) = one.cancelled {
        let _ = write!(out, r#""cancelled_at":"{}","#, instant(at));
    }
    let _ = write!(
        out,
        r#""created_at":"{}","fields":{{"last_name":"{}","country":"{}","source":"{}","weight":"{}"}}}}"#,
        instant(one.created),
        one.last_name,
        one.country,
        one.source,
        one.weight
    );
}

fn purchases(world: &World, query: &Query, twists: Twists<'_>) -> Answer {
    // Newest first, and without a filter by date: so is the real one.
    let rows = Rows::Backward(0..world.purchases.len());
    let size = world.page_size as usize;
    paged(
        "purchases",
        &rows,
        page_of(query),
        size,
        twists,
        |out, index| {
            write_purchase(out, world, &world.purchases[index]);
        },
    )
}

fn write_purchase(out: &mut String, world: &World, one: &Purchase) {
    let _ = write!(
        out,
        concat!(
            r#"{{"id":{},"transaction_id":"{:03}-abcd-{:04}","status":"{}","email_address":"{}","currency":"{}","#,
            r#""transaction_time":"{}","subtotal":{},"shipping":{},"discount":{},"tax":{},"total":{},"#,
            r#""products":[{{"unit_price":{},"quantity":{},"sku":"sku-{:04}","name":"{}"}}]}}"#
        ),
        one.id,
        one.id % 1_000,
        one.id,
        one.status,
        world.subscribers[one.subscriber].email(),
        one.currency,
        instant(one.at),
        money(one.subtotal_cents),
        money(one.shipping_cents),
        money(one.discount_cents),
        money(one.tax_cents),
        money(one.total_cents()),
        money(one.subtotal_cents / one.quantity),
        one.quantity,
        one.subtotal_cents / one.quantity,
        one.product
    );
}

fn named(world: &World, key: &str, list: &[Named], more: &str) -> String {
    let created = instant(world.account_created);
    let items: Vec<String> = list
        .iter()
        .map(|one| {
            format!(
                r#"{{"id":{},"name":"{}","created_at":"{created}"{more}}}"#,
                one.id, one.name
            )
        })
        .collect();
    format!(r#"{{"{key}":[{}]}}"#, items.join(","))
}

fn broadcasts(world: &World, query: &Query, twists: Twists<'_>) -> Answer {
    let page = page_of(query);
    let twist = twists(page);
    let rows = Rows::Forward(0..world.broadcasts.len());
    let mut out = String::from("{");
    let slice = Slice::page(page, world.page_size as usize);
    write_list(
        &mut out,
        "broadcasts",
        &rows,
        slice,
        &twist,
        |out, index| {
            let one = &world.broadcasts[index];
            let created = instant(one.created).strftime("%Y-%m-%dT%H:%M:%S.000Z");
            let _ = write!(
                out,
                r#"{{"id":{},"created_at":"{created}","subject":"#,
                one.id
            );
            write_text(out, &one.subject);
            out.push('}');
        },
    );
    out.push('}');
    Answer::json(out).page(page)
}

fn stats(world: &World, id: &str) -> Answer {
    let Some(one) = id
        .parse()
        .ok()
        .and_then(|id: u64| world.broadcasts.iter().find(|one| one.id == id))
    else {
        return Answer::v3_not_found();
    };
    let share = |part: u64| {
        if one.recipients == 0 {
            0.0
        } else {
            part as f64 * 100.0 / one.recipients as f64
        }
    };
    // Documented as an array, answered as an object: the real one's own way.
    Answer::json(format!(
        concat!(
            r#"{{"broadcast":{{"id":{},"stats":{{"recipients":{},"open_rate":{:?},"click_rate":{:?},"unsubscribes":{},"#,
            r#""total_clicks":{},"show_total_clicks":false,"status":"completed","progress":100.0}}}}}}"#
        ),
        one.id,
        one.recipients,
        share(one.opened),
        share(one.clicked),
        one.unsubscribes,
        one.clicked
    ))
}

fn subscriptions(
    world: &World,
    id: &str,
    kind: &str,
    count: usize,
    query: &Query,
    twists: Twists<'_>,
) -> Answer {
    let Some(id) = id
        .parse::<usize>()
        .ok()
        .filter(|id| (1..=count).contains(id))
    else {
        return Answer::v3_not_found();
    };
    // Everybody came by one form, has one tag and is in one sequence.
    let members = (0..world.subscribers.len())
        .filter(|index| index % count == id - 1)
        .collect();
    let rows = Rows::Picked(members);
    let size = world.page_size as usize;
    paged(
        "subscriptions",
        &rows,
        page_of(query),
        size,
        twists,
        |out, index| {
            let one = &world.subscribers[index];
            let _ = write!(
                out,
                concat!(
                    r#"{{"id":{},"state":"{}","created_at":"{}","source":null,"referrer":null,"#,
                    r#""subscribable_id":{},"subscribable_type":"{}","subscriber":"#
                ),
                one.id,
                one.state.word(),
                instant(one.created),
                id,
                kind
            );
            write_subscriber(out, one);
            out.push('}');
        },
    )
}
