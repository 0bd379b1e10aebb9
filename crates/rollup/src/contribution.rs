//! What one record adds to its bucket, small enough to be kept for each record.

use definition::Aggregation;
use jiff::Timestamp;

use crate::accumulator::State;
use crate::decimal::Decimal;
use crate::encoding::{DecodeError, Input, put, put_decimal, put_signed};
use crate::row::{Dimensions, Row, RowValue};

const VERSION: u8 = 1;
const NUMBER: u8 = 0;
const TEXT: u8 = 1;

/// The value of a record and its date: all that a state is made of. Its series and its bucket are kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// When the record happened.
    pub at: Timestamp,
    /// What it counts for.
    pub value: RowValue,
}

impl Contribution {
    /// Returns the compact binary form; equal contributions have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        out.push(VERSION);
        put_signed(&mut out, i128::from(self.at.as_second()));
        put_signed(&mut out, i128::from(self.at.subsec_nanosecond()));
        match &self.value {
            RowValue::Number(number) => {
                out.push(NUMBER);
                put_decimal(&mut out, *number);
            }
            RowValue::Text(text) => {
                out.push(TEXT);
                put(&mut out, text.len() as u128);
                out.extend(text.as_bytes());
            }
        }
        out
    }

    /// Reads [`Contribution::encode`] back, of this and every earlier version.
    ///
    /// # Errors
    /// Bytes that no version wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => decode_1(rest).ok_or(DecodeError::Malformed),
            Some((&version, _)) => Err(DecodeError::Version(version)),
            None => Err(DecodeError::Malformed),
        }
    }

    /// Adds it to a state.
    pub fn add_to(&self, state: &mut State) {
        let row = Row {
            value: self.value.clone(),
            at: Some(self.at),
            dimensions: Dimensions::NONE,
            unit: None,
            key: None,
            page: 0,
            index: 0,
        };
        state.add(&row, self.at);
    }

    /// Whether `aggregation` takes it: text is counted, and not calculated with.
    pub const fn suits(&self, aggregation: Aggregation) -> bool {
        matches!(self.value, RowValue::Number(_))
            || matches!(aggregation, Aggregation::CountDistinct | Aggregation::Count)
    }
}

fn decode_1(bytes: &[u8]) -> Option<Contribution> {
    let mut input = Input(bytes);
    let at = Timestamp::new(input.signed()?, input.signed()?).ok()?;
    let value = match input.byte()? {
        NUMBER => RowValue::Number(input.decimal()?),
        TEXT => {
            let length: usize = input.whole()?;
            let text = input.0.get(..length)?;
            input.0 = &input.0[length..];
            RowValue::Text(std::str::from_utf8(text).ok()?.into())
        }
        _ => return None,
    };
    input.0.is_empty().then_some(Contribution { at, value })
}

impl From<Decimal> for RowValue {
    fn from(number: Decimal) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contribution(at: &str, value: RowValue) -> Contribution {
        Contribution {
            at: at.parse().unwrap(),
            value,
        }
    }

    #[test]
    fn a_contribution_reads_back_and_is_small() {
        let number = Decimal::parse("-1234.56").unwrap().into();
        let one = contribution("2026-01-31T08:30:00.000000001Z", number);
        let bytes = one.encode();
        assert!(bytes.len() <= 16, "{}", bytes.len());
        assert_eq!(Contribution::decode(&bytes).unwrap(), one);
        let text = contribution("1969-12-31T23:59:59Z", RowValue::Text("ü".into()));
        assert_eq!(Contribution::decode(&text.encode()).unwrap(), text);
    }

    #[test]
    fn what_is_no_contribution_is_refused() {
        let whole = contribution("2026-01-31T08:30:00Z", Decimal::from(7_i64).into()).encode();
        for cut in 0..whole.len() {
            assert!(Contribution::decode(&whole[..cut]).is_err(), "{cut}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(Contribution::decode(&longer), Err(DecodeError::Malformed));
        assert_eq!(Contribution::decode(&[9]), Err(DecodeError::Version(9)));
    }

    #[test]
    fn contributions_make_the_state_that_rows_make() {
        let at: Timestamp = "2026-01-31T08:30:00Z".parse().unwrap();
        let mut state = State::new(Aggregation::Median);
        for value in [3_i64, 1, 2] {
            let value = Decimal::from(value).into();
            Contribution { at, value }.add_to(&mut state);
        }
        assert_eq!(state.count(), 3);
        assert_eq!(
            state.finish(Aggregation::Median),
            Some(Decimal::from(2_i64))
        );
    }
}
