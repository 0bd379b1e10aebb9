//! The records: made once from a seed, in the order in which they happened.

use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::Config;
use crate::random::Random;

/// Everything that the API can tell about.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) purchases: Vec<Purchase>,
    pub(crate) broadcasts: Vec<Broadcast>,
    pub(crate) secret: String,
    pub(crate) page_size: u32,
    pub(crate) account_created: i64,
    seed: u64,
}

/// How a subscriber stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Active,
    Cancelled,
    Bounced,
    Complained,
    Inactive,
}

impl State {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cancelled => "cancelled",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Inactive => "inactive",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) state: State,
    pub(crate) country: &'static str,
    pub(crate) source: &'static str,
    /// Unix seconds, like every instant here.
    pub(crate) created: i64,
    pub(crate) cancelled: Option<i64>,
    /// A number of its own for every record, so that a lost or doubled one shows in a sum.
    pub(crate) weight: u64,
}

impl Subscriber {
    pub(crate) fn email(&self) -> String {
        let (first, last) = (
            self.first_name.to_ascii_lowercase(),
            self.last_name.to_ascii_lowercase(),
        );
        format!("{first}.{last}.{}@example.com", self.id)
    }

    pub(crate) fn updated(&self) -> i64 {
        self.cancelled.unwrap_or(self.created)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) id: u64,
    pub(crate) subscriber: usize,
    pub(crate) status: &'static str,
    pub(crate) currency: &'static str,
    pub(crate) at: i64,
    pub(crate) subtotal_cents: u64,
    pub(crate) shipping_cents: u64,
    pub(crate) discount_cents: u64,
    pub(crate) tax_cents: u64,
    pub(crate) product: &'static str,
    pub(crate) quantity: u64,
}

impl Purchase {
    pub(crate) fn total_cents(&self) -> u64 {
        self.subtotal_cents + self.shipping_cents + self.tax_cents - self.discount_cents
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Broadcast {
    pub(crate) id: u64,
    pub(crate) subject: String,
    pub(crate) created: i64,
    pub(crate) recipients: u64,
    pub(crate) opened: u64,
    pub(crate) clicked: u64,
    pub(crate) unsubscribes: u64,
}

/// A small list that never pages: forms, tags and sequences.
pub(crate) struct Named {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
}

pub(crate) const FORMS: [Named; 3] = [
    Named {
        id: 1,
        name: "A Form",
    },
    Named {
        id: 2,
        name: "A Landing Page",
    },
    Named {
        id: 3,
        name: "Footer",
    },
];
pub(crate) const TAGS: [Named; 4] = [
    Named {
        id: 1,
        name: "House Stark",
    },
    Named {
        id: 2,
        name: "House Lannister",
    },
    Named {
        id: 3,
        name: "Customer",
    },
    Named {
        id: 4,
        name: "Beta tester",
    },
];
pub(crate) const SEQUENCES: [Named; 2] = [
    Named {
        id: 1,
        name: "My First Sequence",
    },
    Named {
        id: 2,
        name: "My Second Sequence",
    },
];

const FIRST_NAMES: [&str; 16] = [
    "Emily", "Gertrude", "Ezra", "Jon", "Arya", "Ada", "Grace", "Alan", "Mary", "Sofia", "Amina",
    "Kenji", "Lars", "Wei", "Priya", "Noor",
];
const LAST_NAMES: [&str; 16] = [
    "Dickinson",
    "Stein",
    "Pound",
    "Snow",
    "Stark",
    "Lovelace",
    "Hopper",
    "Turing",
    "Shelley",
    "Kowalewska",
    "Diallo",
    "Sato",
    "Berg",
    "Chen",
    "Rao",
    "Haddad",
];
const COUNTRIES: [&str; 10] = ["US", "US", "US", "GB", "DE", "DE", "FR", "IN", "BR", "JP"];
const SOURCES: [&str; 5] = [
    "landing page",
    "landing page",
    "referral",
    "import",
    "checkout",
];
const CURRENCIES: [&str; 8] = ["USD", "USD", "USD", "USD", "USD", "EUR", "EUR", "JPY"];
const PRODUCTS: [(&str, u64); 5] = [
    ("Floppy Disk (512k)", 500),
    ("Telephone Cord (data)", 1_000),
    ("Phantom Hourglass", 2_322),
    ("Twilight Princess", 3_222),
    ("Monthly Game Review", 1_007),
];

const DAY: i64 = 86_400;

impl World {
    pub(crate) fn make(config: &Config) -> Self {
        let end = end_of_records(config.today);
        let span = i64::from(config.days.max(1)) * DAY;
        let subscribers = make_subscribers(config, end, span);
        let purchases = make_purchases(config.seed, &subscribers, end);
        let broadcasts = make_broadcasts(config.seed, &subscribers, end, span);
        Self {
            subscribers,
            purchases,
            broadcasts,
            secret: config.secret.clone(),
            page_size: config.page_size.max(1),
            account_created: end - span - 30 * DAY,
            seed: config.seed,
        }
    }

    /// Adds subscribers who join at `at`, which must not be before the latest record.
    pub(crate) fn add_subscribers(&mut self, count: u32, at: i64) {
        let at = at.max(self.subscribers.last().map_or(at, |last| last.created));
        for _ in 0..count {
            let id = self.subscribers.last().map_or(1, |last| last.id + 1);
            let mut random = Random::new(self.seed ^ id, "added subscriber");
            self.subscribers.push(subscriber(&mut random, id, at, at));
        }
    }
}

fn end_of_records(today: Option<Date>) -> i64 {
    let of_today = today
        .and_then(|day| day.tomorrow().ok())
        .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|midnight| midnight.timestamp().as_second());
    of_today.unwrap_or_else(|| {
        let now = Timestamp::now().as_second();
        now - now.rem_euclid(3600)
    })
}

fn make_subscribers(config: &Config, end: i64, span: i64) -> Vec<Subscriber> {
    let mut random = Random::new(config.seed, "subscribers");
    // The root makes growth: later days have more records than earlier ones.
    let mut instants: Vec<i64> = (0..config.subscribers)
        .map(|_| {
            let share = random.fraction().sqrt();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a share of a few years of seconds"
            )]
            let offset = (share * span as f64) as i64;
            end - span + offset.min(span - 1)
        })
        .collect();
    instants.sort_unstable();
    (1..)
        .zip(instants)
        .map(|(id, created)| subscriber(&mut random, id, created, end))
        .collect()
}

fn subscriber(random: &mut Random, id: u64, created: i64, end: i64) -> Subscriber {
    let state = match random.below(100) {
        0..80 => State::Active,
        80..92 => State::Cancelled,
        92..95 => State::Bounced,
        95..96 => State::Complained,
        _ => State::Inactive,
    };
    let lived = i64::try_from(random.below(60 * 86_400)).unwrap_or(0);
    Subscriber {
        id,
        first_name: random.pick(&FIRST_NAMES),
        last_name: random.pick(&LAST_NAMES),
        state,
        country: random.pick(&COUNTRIES),
        source: random.pick(&SOURCES),
        created,
        cancelled: (state == State::Cancelled).then(|| (created + lived).min(end - 1).max(created)),
        weight: random.below(1 << 32),
    }
}

fn make_purchases(seed: u64, subscribers: &[Subscriber], end: i64) -> Vec<Purchase> {
    let mut random = Random::new(seed, "purchases");
    let mut purchases: Vec<Purchase> = (0..subscribers.len() / 4)
        .map(|_| {
            let buyer = usize::try_from(random.below(subscribers.len() as u64)).unwrap_or(0);
            let since = u64::try_from(end - subscribers[buyer].created).unwrap_or(1);
            let (product, price) = random.pick(&PRODUCTS);
            let quantity = 1 + random.below(3);
            let subtotal_cents = price * quantity;
            Purchase {
                id: 0,
                subscriber: buyer,
                status: if random.below(50) == 0 {
                    "refunded"
                } else {
                    "paid"
                },
                currency: random.pick(&CURRENCIES),
                at: subscribers[buyer].created + i64::try_from(random.below(since)).unwrap_or(0),
                subtotal_cents,
                shipping_cents: random.pick(&[0, 0, 200, 499]),
                discount_cents: random.pick(&[0, 0, 0, 100, 300]),
                tax_cents: subtotal_cents * random.pick(&[0, 7, 10, 19]) / 100,
                product,
                quantity,
            }
        })
        .collect();
    purchases.sort_by_key(|purchase| purchase.at);
    for (purchase, id) in purchases.iter_mut().zip(1..) {
        purchase.id = id;
    }
    purchases
}

fn make_broadcasts(seed: u64, subscribers: &[Subscriber], end: i64, span: i64) -> Vec<Broadcast> {
    let mut random = Random::new(seed, "broadcasts");
    (1..=span / (7 * DAY))
        .map(|week| {
            let created = end - span + week * 7 * DAY - 9 * 3600;
            let recipients =
                subscribers.partition_point(|subscriber| subscriber.created < created) as u64;
            let opened = recipients * (30 + random.below(40)) / 100;
            let clicked = opened * (5 + random.below(30)) / 100;
            let mut subject =
                String::from(random.pick(&["Weekly letter", "What we learned", "A new thing"]));
            // Writing to a String cannot fail.
            let _ = write!(subject, " #{week}");
            Broadcast {
                id: u64::try_from(week).unwrap_or(0),
                subject,
                created,
                recipients,
                opened,
                clicked,
                unsubscribes: recipients / 500 + random.below(4),
            }
        })
        .collect()
}

/// Returns an instant as the API writes it.
pub(crate) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns the first and last second of a day's span, given as `yyyy-mm-dd` in UTC.
pub(crate) fn start_of_day(text: &str) -> Option<i64> {
    let date: Date = text.get(..10)?.parse().ok()?;
    Some(
        date.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

/// Returns the second after the day given as `yyyy-mm-dd` in UTC.
pub(crate) fn end_of_day(text: &str) -> Option<i64> {
    Some(start_of_day(text)? + SignedDuration::from_hours(24).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            today: Some(jiff::civil::date(2026, 3, 1)),
            subscribers: 2_000,
            ..Config::default()
        }
    }

    #[test]
    fn the_same_seed_and_day_make_the_same_world() {
        let (one, two) = (World::make(&config()), World::make(&config()));
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        let other = World::make(&Config {
            seed: 2,
            ..config()
        });
        assert_ne!(
            format!("{:?}", one.subscribers[0]),
            format!("{:?}", other.subscribers[0])
        );
    }

    #[test]
    fn records_are_in_order_and_end_with_today() {
        let world = World::make(&config());
        let end = end_of_day("2026-03-01").unwrap();
        assert_eq!(world.subscribers.len(), 2_000);
        assert!(
            world
                .subscribers
                .is_sorted_by_key(|subscriber| subscriber.created)
        );
        assert!(
            world
                .subscribers
                .iter()
                .all(|subscriber| subscriber.created < end)
        );
        assert!(
            world
                .subscribers
                .iter()
                .all(|subscriber| subscriber.cancelled.is_none_or(|at| at < end))
        );
        assert!(
            world
                .purchases
                .iter()
                .all(|purchase| purchase.at < end && purchase.total_cents() > 0)
        );
        assert_eq!(world.purchases.len(), 500);
        assert!(world.broadcasts.len() > 50);
    }

    #[test]
    fn weights_are_as_good_as_unique() {
        let world = World::make(&config());
        let weights: std::collections::BTreeSet<_> =
            world.subscribers.iter().map(|one| one.weight).collect();
        assert!(weights.len() >= 1_999);
    }
}
