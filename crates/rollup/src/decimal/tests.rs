//! Tables for reading and printing; laws against an oracle that adds digit by digit.

use proptest::prelude::*;

use super::*;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn numbers_print_as_they_were_read_without_idle_zeros() {
    for (text, printed) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0e99", "0"),
        ("1.50", "1.5"),
        ("100", "100"),
        ("1e3", "1000"),
        ("+12", "12"),
        (".5", "0.5"),
        ("007", "7"),
        ("-12.5e-3", "-0.0125"),
        ("0.1", "0.1"),
        ("1E+2", "100"),
        ("9007199254740993", "9007199254740993"),
        (
            "12345678901234567890123456789012345678",
            "12345678901234567890123456789012345678",
        ),
        (
            "0.000000000000000000000000000000000001",
            "0.000000000000000000000000000000000001",
        ),
        ("1e300", "1e300"),
        ("-2.5e-300", "-25e-301"),
        ("1e400", "1e400"),
        // Past 38 digits: half to even.
        ("0.100000000000000000000000000000000000005", "0.1"),
        (
            "1.00000000000000000000000000000000000015",
            "1.0000000000000000000000000000000000002",
        ),
        (
            "99999999999999999999999999999999999999.5",
            "100000000000000000000000000000000000000",
        ),
        (
            "123456789012345678901234567890123456789012",
            "12345678901234567890123456789012345679e4",
        ),
    ] {
        assert_eq!(decimal(text).to_string(), printed, "{text}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "", "-", ".", "1.", "1e", "1e+", "e5", "1.2.3", "0x10", "1 ", " 1", "1,5", "NaN", "inf",
        "--1", "1e5.5",
    ] {
        assert_eq!(Decimal::parse(text), Err(DecimalError::Malformed), "{text}");
    }
    for text in ["1e401", "-1e999999999999", "1e-401", "10e400"] {
        assert_eq!(
            Decimal::parse(text),
            Err(DecimalError::OutOfRange),
            "{text}"
        );
    }
    assert_eq!(Decimal::from_f64(f64::NAN), Err(DecimalError::NotFinite));
    assert_eq!(
        Decimal::from_f64(f64::INFINITY),
        Err(DecimalError::NotFinite)
    );
}

#[test]
fn one_tenth_and_two_tenths_are_three_tenths() {
    assert_eq!(decimal("0.1").plus(decimal("0.2")), decimal("0.3"));
    let tenths = [0.1, 0.2].map(|number| Decimal::from_f64(number).unwrap());
    assert_eq!(
        serde_json::to_string(&tenths[0].plus(tenths[1])).unwrap(),
        "0.3"
    );
}

#[test]
fn quotients_end_where_they_end_and_else_have_17_digits() {
    for (dividend, divisor, quotient) in [
        ("1", "3", "0.33333333333333333"),
        ("2", "3", "0.66666666666666667"),
        ("5", "2", "2.5"),
        ("1", "8", "0.125"),
        ("-7", "4", "-1.75"),
        ("0.3", "3", "0.1"),
        ("12345678901234567890", "1", "12345678901234567890"),
        ("1e300", "1e-90", "1e390"),
        (
            "100000000000000000000000000000000000001",
            "3",
            "33333333333333333000000000000000000000",
        ),
        ("0", "5", "0"),
    ] {
        assert_eq!(
            decimal(dividend).divided_by(decimal(divisor)),
            Some(decimal(quotient)),
            "{dividend} / {divisor}"
        );
    }
    assert_eq!(Decimal::ONE.divided_by(Decimal::ZERO), None);
    assert_eq!(decimal("1e300").divided_by(decimal("1e-300")), None);
}

#[test]
fn sums_of_very_unlike_numbers_are_exact() {
    let mut sum = Sum::default();
    for text in ["1e300", "1", "-1e300", "1e-300"] {
        sum.add(decimal(text));
    }
    assert_eq!(sum.canonical_text(), Sum::wide_text("1", "1e-300"));
    sum.add(decimal("-1e-300"));
    assert_eq!(sum, Sum::from(Decimal::ONE));
    assert_eq!(sum.to_decimal(), Decimal::ONE);
}

impl Sum {
    fn canonical_text(&self) -> String {
        match self.canonical() {
            crate::sum::Canonical::Decimal(decimal) => decimal.to_string(),
            crate::sum::Canonical::Limbs(limbs) => format!("{limbs:?}"),
        }
    }

    fn wide_text(left: &str, right: &str) -> String {
        let mut sum = Self::from(decimal(left));
        sum.add(decimal(right));
        sum.canonical_text()
    }
}

#[test]
fn json_keeps_every_digit_and_reads_texts_too() {
    let value = decimal("12345678901234567890.123456789");
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(json, "12345678901234567890.123456789");
    assert_eq!(serde_json::from_str::<Decimal>(&json).unwrap(), value);
    assert_eq!(
        serde_json::from_str::<Decimal>("\"0.10\"").unwrap(),
        decimal("0.1")
    );
    assert!(serde_json::from_str::<Decimal>("true").is_err());
    let bytes = postcard::to_stdvec(&value).unwrap();
    assert_eq!(postcard::from_bytes::<Decimal>(&bytes).unwrap(), value);
}

/// The oracle: a number as digits at 10^-500 to 10^499, lowest first, each added by itself.
#[derive(Clone, PartialEq, Debug)]
struct Digits(Vec<i64>);

impl Digits {
    fn zero() -> Self {
        Self(vec![0; 1000])
    }

    fn add(&mut self, mantissa: i128, exponent: i32) {
        let mut place = usize::try_from(exponent + 500).unwrap();
        let mut rest = mantissa;
        while rest != 0 {
            self.0[place] += i64::try_from(rest % 10).unwrap();
            rest /= 10;
            place += 1;
        }
    }

    /// Sign and digits, each 0 to 9.
    fn settled(&self) -> (bool, Vec<i64>) {
        let carry = |digits: &[i64]| {
            let mut over = 0;
            let settled: Vec<i64> = digits
                .iter()
                .map(|digit| {
                    let value = digit + over;
                    over = value.div_euclid(10);
                    value.rem_euclid(10)
                })
                .collect();
            (over, settled)
        };
        let (over, digits) = carry(&self.0);
        if over >= 0 {
            return (false, digits);
        }
        let negated: Vec<i64> = self.0.iter().map(|digit| -digit).collect();
        (true, carry(&negated).1)
    }

    /// The text of the number, where it has at most 38 significant digits.
    fn exact(&self) -> Option<Decimal> {
        let (negative, digits) = self.settled();
        let Some(first) = digits.iter().position(|digit| *digit != 0) else {
            return Some(Decimal::ZERO);
        };
        let last = digits.iter().rposition(|digit| *digit != 0)?;
        if last - first >= 38 {
            return None;
        }
        let mantissa = digits[first..=last]
            .iter()
            .rev()
            .fold(0_i128, |value, digit| value * 10 + i128::from(*digit));
        Decimal::new(
            if negative { -mantissa } else { mantissa },
            i32::try_from(first).ok()? - 500,
        )
    }
}

fn parts() -> impl Strategy<Value = (i128, i32)> {
    let limit = 10_i128.pow(38);
    prop_oneof![
        (-1_000_000_i128..1_000_000, -6_i32..4),
        (any::<i64>().prop_map(i128::from), -20_i32..20),
        (-limit + 1..limit, -200_i32..200),
    ]
}

proptest! {
    #[test]
    fn sums_equal_the_oracle_in_any_order_and_grouping(
        values in prop::collection::vec(parts(), 0..40),
        cut in 0_usize..40,
        turn in 0_usize..40,
    ) {
        let mut oracle = Digits::zero();
        let mut sum = Sum::default();
        for (mantissa, exponent) in &values {
            oracle.add(*mantissa, *exponent);
            sum.add(Decimal::new(*mantissa, *exponent).unwrap());
        }
        if let Some(exact) = oracle.exact() {
            prop_assert_eq!(sum.to_decimal(), exact);
        } else {
            // Too long for a decimal: 38 digits, rounded once.
            let (negative, digits) = oracle.settled();
            let rounded = sum.to_decimal();
            let mut rest = Digits(digits.iter().map(|digit| if negative { -digit } else { *digit }).collect());
            rest.add(-rounded.parts().0, i32::from(rounded.parts().1));
            let top = digits.iter().rposition(|digit| *digit != 0).unwrap();
            let (_, rest) = rest.settled();
            let error = rest.iter().rposition(|digit| *digit != 0).unwrap_or(0);
            prop_assert!(error + 38 <= top, "off at {} of {}", error, top);
        }
        let mut turned = values.clone();
        turned.rotate_left(turn % values.len().max(1));
        turned.reverse();
        let (left, right) = turned.split_at(cut.min(turned.len()));
        let add = |parts: &[(i128, i32)]| {
            let mut sum = Sum::default();
            for (mantissa, exponent) in parts {
                sum.add(Decimal::new(*mantissa, *exponent).unwrap());
            }
            sum
        };
        let (mut left, right) = (add(left), add(right));
        left.merge(&right);
        prop_assert_eq!(left.canonical_text(), sum.canonical_text());
        prop_assert_eq!(left.to_decimal(), sum.to_decimal());
    }

    #[test]
    fn order_is_that_of_numbers(left in parts(), right in parts()) {
        let (a, b) = (Decimal::new(left.0, left.1).unwrap(), Decimal::new(right.0, right.1).unwrap());
        let mut difference = Digits::zero();
        difference.add(left.0, left.1);
        difference.add(-right.0, right.1);
        let (negative, digits) = difference.settled();
        let zero = digits.iter().all(|digit| *digit == 0);
        let expected = if zero { Ordering::Equal } else if negative { Ordering::Less } else { Ordering::Greater };
        prop_assert_eq!(a.cmp(&b), expected);
        prop_assert_eq!(a == b, expected == Ordering::Equal);
    }

    #[test]
    fn texts_read_back_as_the_same_number((mantissa, exponent) in parts()) {
        let value = Decimal::new(mantissa, exponent).unwrap();
        prop_assert_eq!(decimal(&value.to_string()), value);
        prop_assert_eq!(decimal(&format!("{mantissa}e{exponent}")), value);
    }

    #[test]
    fn floats_keep_their_shortest_text(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
        let value = Decimal::from_f64(number).unwrap();
        prop_assert_eq!(value, decimal(&format!("{number:e}")));
        prop_assert_eq!(value.to_f64().to_bits(), (number + 0.0).to_bits());
    }

    #[test]
    fn floats_of_decimals_are_the_nearest((mantissa, exponent) in parts()) {
        let value = Decimal::new(mantissa, exponent).unwrap();
        let nearest: f64 = format!("{mantissa}e{exponent}").parse().unwrap();
        prop_assert_eq!(value.to_f64().to_bits(), nearest.to_bits());
    }

    #[test]
    fn quotients_are_exact_or_rounded_at_17_digits(dividend in 1_i128..10_000_000, divisor in 1_i128..1_000_000) {
        let of = |value| Decimal::new(value, 0).unwrap();
        let quotient = of(dividend).divided_by(of(divisor)).unwrap();
        let (mantissa, exponent) = quotient.parts();
        let power = 10_i128.pow(u32::from(exponent.unsigned_abs()));
        let (left, right) = if exponent < 0 { (dividend * power, mantissa * divisor) } else { (dividend, mantissa * power * divisor) };
        prop_assert!((left - right).abs() * 2 <= divisor, "{dividend} / {divisor} = {quotient}");
        prop_assert!(mantissa.unsigned_abs() < 10_u128.pow(17));
    }

    #[test]
    fn products_are_exact_where_they_fit(left in any::<i64>(), right in any::<i64>(), shift in -30_i32..30) {
        let product = Decimal::new(i128::from(left), shift).unwrap().times(Decimal::from(right));
        prop_assert_eq!(product, Decimal::new(i128::from(left) * i128::from(right), shift));
    }

    #[test]
    fn long_products_are_rounded_once(left in 10_i128.pow(30)..10_i128.pow(38), right in 10_i128.pow(30)..10_i128.pow(38)) {
        let product = Decimal::new(left, -60).unwrap().times(Decimal::new(right, 0).unwrap()).unwrap();
        let relative = (product.to_f64() / (left as f64 * right as f64 / 1e60) - 1.0).abs();
        prop_assert!(relative < 1e-14);
    }
}
