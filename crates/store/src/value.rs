//! Bound values.

/// A bound value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

/// Builds the list of bound values.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::value::Value::from($value)),*] };
}
pub(crate) use values;

/// PostgreSQL cannot keep NUL in text; both databases keep the replacement character instead.
fn clean(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

macro_rules! value_from {
    ($($type:ty, $value:ident => $to:expr;)+) => {$(
        impl From<$type> for Value { fn from($value: $type) -> Self { $to } }
    )+};
}
value_from! {
    i64, v => Self::Int(Some(v));
    u32, v => Self::Int(Some(i64::from(v)));
    bool, v => Self::Int(Some(i64::from(v)));
    Option<i64>, v => Self::Int(v);
    &str, v => Self::Text(Some(clean(v.to_owned())));
    String, v => Self::Text(Some(clean(v)));
    &String, v => Self::Text(Some(clean(v.clone())));
    Option<&str>, v => Self::Text(v.map(|v| clean(v.to_owned())));
    Option<String>, v => Self::Text(v.map(clean));
    &Option<String>, v => Self::Text(v.clone().map(clean));
    Vec<u8>, v => Self::Bytes(v);
    &[u8], v => Self::Bytes(v.to_vec());
    Vec<i64>, v => Self::Ints(v);
    Vec<String>, v => Self::Texts(v);
}
