//! What differs between what is there and what must be.

use std::fmt::Debug;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Compression, Config};
use wire::stream::Consumer;

struct Comparison<'a> {
    what: String,
    lines: &'a mut Vec<String>,
}

impl Comparison<'_> {
    fn same<T: PartialEq + Debug>(&mut self, field: &str, found: &T, needed: &T) {
        if found != needed {
            self.lines.push(format!(
                "{} {field}: found {found:?}, need {needed:?}",
                self.what
            ));
        }
    }
}

pub(super) fn compare_stream(found: &Config, needed: &Config, lines: &mut Vec<String>) {
    let mut is = Comparison {
        what: format!("stream `{}`", needed.name),
        lines,
    };
    is.same("subjects", &found.subjects, &needed.subjects);
    is.same("retention", &found.retention, &needed.retention);
    is.same("discard", &found.discard, &needed.discard);
    is.same(
        "discard_new_per_subject",
        &found.discard_new_per_subject,
        &needed.discard_new_per_subject,
    );
    is.same(
        "max_msgs_per_subject",
        &found.max_messages_per_subject.max(-1),
        &needed.max_messages_per_subject,
    );
    is.same("storage", &found.storage, &needed.storage);
    is.same("no_ack", &found.no_ack, &false);
    is.same("sealed", &found.sealed, &false);
    is.same("allow_direct", &found.allow_direct, &true);
    is.same("deny_purge", &found.deny_purge, &false);
    is.same(
        "allow_msg_ttl",
        &found.allow_message_ttl,
        &needed.allow_message_ttl,
    );
    is.same("mirror", &found.mirror.is_some(), &false);
    let none = Compression::None;
    is.same(
        "compression",
        found.compression.as_ref().unwrap_or(&none),
        &none,
    );
    if found.duplicate_window < needed.duplicate_window {
        is.same(
            "duplicate_window",
            &found.duplicate_window,
            &needed.duplicate_window,
        );
    }
}

pub(super) fn compare_consumer(
    consumer: Consumer,
    found: &async_nats::jetstream::consumer::Config,
    needed: &pull::Config,
    lines: &mut Vec<String>,
) {
    let mut is = Comparison {
        what: format!("consumer `{}`", consumer.name()),
        lines,
    };
    is.same("ack_policy", &found.ack_policy, &needed.ack_policy);
    is.same(
        "deliver_policy",
        &found.deliver_policy,
        &needed.deliver_policy,
    );
    is.same(
        "max_deliver",
        &found.max_deliver.max(-1),
        &needed.max_deliver,
    );
    is.same(
        "filter_subject",
        &found.filter_subject,
        &needed.filter_subject,
    );
    is.same(
        "filter_subjects",
        &found.filter_subjects,
        &needed.filter_subjects,
    );
    is.same("deliver_subject", &found.deliver_subject, &None);
    is.same("headers_only", &found.headers_only, &false);
}
