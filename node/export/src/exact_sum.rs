//! Sums of numbers without any rounding: whatever the order and the sizes, the same
//! numbers have the same sum, and its mean is the double that lies nearest to it.

/// Bits of a digit.
const DIGIT: u32 = 32;

/// What the lowest bit is worth, as a power of two: so far below the smallest double
/// that a rest behind it only breaks ties.
const LOWEST: i32 = -1074 - 64;

/// Digits of the greatest sum: doubles reach 2^1024, there are up to 2^64 of them, and
/// one has the sign.
const DIGITS: usize = (1024 + 64 - LOWEST) as usize / DIGIT as usize + 2;

/// Numbers after which digits are made small again: each adds less than 2^32 to a digit
/// of 63 bits.
const SMALL_FOR: u32 = 1 << 29;

/// The bits of a double behind the first.
const FRACTION: u32 = 52;

/// A sum of finite numbers.
#[derive(Clone, Debug)]
pub(super) struct ExactSum {
    /// Of 32 bits each, the lowest first; between carries they may have more, and any
    /// sign.
    digits: [i64; DIGITS],
    /// Those that may not be zero.
    from: usize,
    to: usize,
    /// Numbers since the last carry.
    added: u32,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self {
            digits: [0; DIGITS],
            from: DIGITS,
            to: 0,
            added: 0,
        }
    }
}

impl ExactSum {
    /// Adds a finite number.
    pub(super) fn add(&mut self, number: f64) {
        let bits = number.to_bits();
        let fraction = bits & ((1 << FRACTION) - 1);
        let exponent = ((bits >> FRACTION) & 0x7ff) as i32;
        let (whole, power) = match exponent {
            0 => (fraction, -1074),
            _ => (fraction | (1 << FRACTION), exponent - 1075),
        };
        self.put(whole, power, number.is_sign_negative());
    }

    /// Adds a whole number.
    pub(super) fn add_integer(&mut self, number: i64) {
        self.put(number.unsigned_abs(), 0, number < 0);
    }

    fn put(&mut self, whole: u64, power: i32, is_negative: bool) {
        if whole == 0 {
            return;
        }
        let place = (power - LOWEST) as u32;
        let at = (place / DIGIT) as usize;
        let mut shifted = u128::from(whole) << (place % DIGIT);
        let mut digits = self.digits.iter_mut().skip(at);
        while let (true, Some(digit)) = (shifted > 0, digits.next()) {
            let part = (shifted & u128::from(u32::MAX)) as i64;
            *digit += if is_negative { -part } else { part };
            shifted >>= DIGIT;
        }
        self.from = self.from.min(at);
        self.to = self.to.max((at + 3).min(DIGITS));
        self.added += 1;
        if self.added == SMALL_FOR {
            self.carry();
        }
    }

    /// Makes digits of 32 bits; all that is left of a negative sum stands in the last.
    fn carry(&mut self) {
        self.added = 0;
        let mut carried = 0_i64;
        for (place, digit) in self.digits.iter_mut().enumerate().skip(self.from) {
            if place >= self.to && carried == 0 {
                break;
            }
            self.to = self.to.max(place + 1);
            let whole = *digit + carried;
            if place + 1 == DIGITS {
                *digit = whole;
                break;
            }
            *digit = whole & i64::from(u32::MAX);
            carried = whole >> DIGIT;
        }
    }

    /// The double nearest to the mean of so many numbers, of two that are as near the even
    /// one. The sum is 0 then.
    pub(super) fn take_mean(&mut self, count: u64) -> f64 {
        self.carry();
        let is_negative = self.digits[DIGITS - 1] < 0;
        if is_negative {
            self.digits.iter_mut().for_each(|digit| *digit = -*digit);
            self.from = 0;
            self.carry();
        }
        let mean = self.quotient(count.max(1));
        let (from, to) = (self.from.min(self.to), self.to);
        self.digits[from..to].fill(0);
        (self.from, self.to) = (DIGITS, 0);
        if is_negative { -mean } else { mean }
    }

    /// Of a sum that is not negative.
    fn quotient(&self, count: u64) -> f64 {
        let (mut rest, mut taken) = (0_u128, 0_u128);
        let mut is_exact = true;
        // The place of the lowest bit that was taken.
        let mut lowest = 0;
        let digits = self.digits.iter().enumerate().take(self.to).rev();
        for (place, &digit) in digits {
            // Of 65 bits the rest of the division only breaks ties.
            if taken >> 64 != 0 {
                is_exact &= digit == 0;
                if !is_exact || place < self.from {
                    break;
                }
                continue;
            }
            rest = (rest << DIGIT) | u128::from(digit.unsigned_abs());
            taken = (taken << DIGIT) | (rest / u128::from(count));
            rest %= u128::from(count);
            lowest = place as u32 * DIGIT;
        }
        rounded(taken, lowest, is_exact && rest == 0)
    }
}

/// The double nearest to `taken` times two to the power of `lowest + LOWEST`, with more
/// behind it unless it is exact.
fn rounded(taken: u128, lowest: u32, is_exact: bool) -> f64 {
    if taken == 0 {
        return 0.0;
    }
    // Where the last bit of a double of this size stands.
    const SMALLEST: u32 = (-1074 - LOWEST) as u32;
    let first = lowest + taken.ilog2();
    let last = first.saturating_sub(FRACTION).max(SMALLEST);
    let (kept, behind) = match last.checked_sub(lowest) {
        None | Some(0) => (taken << (lowest - last), 0),
        Some(cut) if cut >= u128::BITS => return 0.0,
        // What is cut off, from its first bit on; a longer one is below half.
        Some(cut) => (taken >> cut, taken << (u128::BITS - cut)),
    };
    const HALF: u128 = 1 << (u128::BITS - 1);
    let is_up = match behind.cmp(&HALF) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => !is_exact || kept % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    let kept = kept as u64 + u64::from(is_up);
    // The first bit counts in the exponent, and one that was rounded up to more, too.
    f64::from_bits((u64::from(last - SMALLEST) << FRACTION) + kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mean(numbers: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|&number| sum.add(number));
        sum.take_mean(numbers.len() as u64)
    }

    /// The means are `float(sum(map(Fraction, numbers)) / len(numbers))` of Python.
    #[test]
    fn a_mean_is_the_double_that_is_nearest_whatever_the_sizes_are() {
        const GREATEST: f64 = f64::MAX;
        let cases: [(&[f64], f64); 13] = [
            (&[0.1; 10], 0.1),
            (&[1e308, 1e308, 1e308], 1e308),
            (&[1e16, 1.0, -1e16], 0.3333333333333333),
            (&[5e-324, 0.0], 0.0),
            (&[5e-324, 5e-324, 0.0], 5e-324),
            (&[5e-324, 5e-324, 5e-324, 0.0, 0.0], 5e-324),
            (&[-5e-324, 1e-323, 1e-323], 5e-324),
            (&[GREATEST, -GREATEST, 3.0], 1.0),
            (
                &[2.2250738585072014e-308, 2.225073858507201e-308],
                2.2250738585072014e-308,
            ),
            (&[1.0, 1.0000000000000002], 1.0),
            (
                &[1.0000000000000002, 1.0000000000000004],
                1.0000000000000004,
            ),
            (
                &[9007199254740992.0, 9007199254740994.0, 9007199254740992.0],
                9007199254740992.0,
            ),
            (&[-0.1, -0.2, -0.3, -0.7], -0.325),
        ];
        for (numbers, expected) in cases {
            assert_eq!(mean(numbers), expected, "{numbers:?}");
        }
    }

    #[test]
    fn whole_numbers_that_no_double_has_are_added_as_they_are() {
        let mut sum = ExactSum::default();
        for number in [i64::MAX, i64::MAX, i64::MIN, i64::MIN, 5] {
            sum.add_integer(number);
        }
        assert_eq!(sum.take_mean(1), 3.0);
        for _ in 0..3 {
            sum.add_integer(9_007_199_254_740_993);
        }
        sum.add_integer(1);
        assert_eq!(sum.take_mean(4), 6_755_399_441_055_745.0);
        // It begins anew each time.
        assert_eq!(sum.take_mean(7), 0.0);
    }

    proptest! {
        #[test]
        fn the_order_of_numbers_does_not_matter(
            numbers in prop::collection::vec(any::<f64>().prop_filter("finite", |n| n.is_finite()), 1..40),
        ) {
            let mut backwards = numbers.clone();
            backwards.reverse();
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            let found = mean(&numbers);
            prop_assert_eq!(found, mean(&backwards));
            prop_assert_eq!(found, mean(&sorted));
            let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
            prop_assert!(least <= found && found <= most);
        }

        #[test]
        fn many_times_the_same_is_the_same(number in any::<f64>().prop_filter("finite", |n| n.is_finite()), times in 1_usize..200) {
            prop_assert_eq!(mean(&vec![number; times]), number);
        }
    }
}
