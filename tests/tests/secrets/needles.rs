//! What is looked for, and the search.

/// Base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let all = three
            .iter()
            .fold(0_usize, |all, byte| all << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            text.push(char::from(LETTERS[all >> (18 - 6 * place) & 63]));
        }
        text.extend(std::iter::repeat_n('=', 3 - three.len()));
    }
    text
}

/// A text that may appear nowhere, and what it is.
pub(crate) struct Needle {
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
}

/// The core as it is, and in base64 at each of the three places where it may begin.
pub(crate) fn needles(core: &str) -> Vec<Needle> {
    let mut all = vec![Needle {
        what: core.into(),
        bytes: core.into(),
    }];
    for shift in 0..3_usize {
        // What stands before and behind decides the outer letters; those inside are the core's alone.
        let text = base64(format!("{}{core}", &"~~~"[..shift]).as_bytes());
        let inner = text.trim_end_matches('=');
        let inner = &inner[shift + usize::from(shift > 0)..inner.len() - 2];
        all.push(Needle {
            what: format!("{core} in base64, shifted by {shift}"),
            bytes: inner.into(),
        });
    }
    all
}

/// Fails when a needle is in the text, with what stands around it.
pub(crate) fn clean(needles: &[Needle], place: &str, text: &[u8]) {
    for needle in needles {
        if let Some(at) = text
            .windows(needle.bytes.len())
            .position(|window| window == needle.bytes)
        {
            let around = &text[at.saturating_sub(300)..text.len().min(at + 200)];
            panic!(
                "{} is in {place}: …{}…",
                needle.what,
                String::from_utf8_lossy(around)
            );
        }
    }
}
