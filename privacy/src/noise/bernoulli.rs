//! Coins whose probability is exactly a/b, exp(-a/b) or exp(-(a/b)²/2), from uniform bits and whole numbers
//! alone.

use rand::Rng;

/// True with probability exactly `a / b`, for `b` >= 1; always true if `a >= b`. Needs `b` <= 2^63.
///
/// Compares a uniform real number in [0,1), whose bits are drawn 64 at a time and only until the comparison
/// is decided, with the binary expansion of `a / b`: no division, no rounding, no modulo bias.
#[inline]
pub(super) fn ratio<G: Rng + ?Sized>(a: u64, b: u64, generator: &mut G) -> bool {
    if a >= b {
        return true;
    }
    let b = u128::from(b);
    let mut rest = u128::from(a);
    loop {
        // Invariant: the coin is true with probability rest/b < 1. The next 64 bits u of the uniform number
        // place it in [u, u+1) / 2^64, to be compared with rest·2^64 / b.
        let wanted = rest << 64;
        let drawn = u128::from(generator.next_u64()) * b;
        if drawn >= wanted {
            return false;
        }
        let left = wanted - drawn;
        if left >= b {
            return true;
        }
        rest = left;
    }
}

/// True with probability exactly exp(-`a`/`b`), for 0 <= `a` <= `b`.
///
/// Von Neumann's alternating series (Canonne, Kamath and Steinke 2020, Algorithm 1): among coins of
/// probability γ/1, γ/2, γ/3, … the index of the first failure is odd with probability e^-γ.
#[inline]
pub(super) fn exp_minus<G: Rng + ?Sized>(a: u64, b: u64, generator: &mut G) -> bool {
    first_failure_is_odd(|n| ratio(a, b, generator) && ratio(1, n, generator))
}

/// True with probability exactly exp(-`a`/`b`), for any `a` and 1 <= `b` <= 2^63.
///
/// One coin of exp(-1) for each whole b in a, and one for the rest; the first that fails decides, so that even the largest
/// `a` costs less than two coins on average.
#[inline]
pub(crate) fn exp_minus_ratio<G: Rng + ?Sized>(a: u128, b: u64, generator: &mut G) -> bool {
    let (whole, rest) = (a / u128::from(b), a % u128::from(b));
    #[expect(clippy::cast_possible_truncation, reason = "a rest is smaller than b")]
    let rest = rest as u64;
    (0..whole).all(|_| exp_minus(1, 1, generator)) && exp_minus(rest, b, generator)
}

/// True with probability exactly exp(-1/2).
#[inline]
pub(super) fn exp_minus_half<G: Rng + ?Sized>(generator: &mut G) -> bool {
    first_failure_is_odd(|n| ratio(1, 2 * n, generator))
}

/// True with probability exactly exp(-x²/2) for x = `a`/`b`, 0 <= `a` <= `b`.
///
/// As [`exp_minus`] with γ = x²/2; a coin of probability x²/(2n) is three coins that all show true.
#[inline]
pub(super) fn exp_minus_half_square<G: Rng + ?Sized>(a: u64, b: u64, generator: &mut G) -> bool {
    first_failure_is_odd(|n| ratio(a, b, generator) && ratio(a, b, generator) && ratio(1, 2 * n, generator))
}

#[inline]
fn first_failure_is_odd(mut coin: impl FnMut(u64) -> bool) -> bool {
    let mut n = 1;
    while coin(n) {
        n += 1;
    }
    n % 2 == 1
}

/// Uniform on 0..`n`, exactly (Lemire 2019: multiply, and reject the few values that would be favoured).
/// Needs `n` >= 1.
#[inline]
pub(crate) fn uniform_below<G: Rng + ?Sized>(n: u64, generator: &mut G) -> u64 {
    let mut product = u128::from(generator.next_u64()) * u128::from(n);
    if low(product) < n {
        let favoured = n.wrapping_neg() % n;
        while low(product) < favoured {
            product = u128::from(generator.next_u64()) * u128::from(n);
        }
    }
    (product >> 64) as u64
}

/// One fair coin.
#[inline]
pub(super) fn fair<G: Rng + ?Sized>(generator: &mut G) -> bool {
    generator.next_u32() & 1 == 1
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of a 128-bit product")]
const fn low(product: u128) -> u64 {
    product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Gives out the words that it holds and nothing else.
    struct Script(Vec<u64>);

    impl rand::TryRng for Script {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            unreachable!("these coins draw 64 bits at a time")
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(self.0.remove(0))
        }
        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
            unreachable!("these coins draw 64 bits at a time")
        }
    }

    #[test]
    fn a_coin_reads_on_exactly_while_its_bits_agree_with_the_fraction() {
        // One third is 0.5555… in hexadecimal: equal words decide nothing, the first other one does.
        let third = 0x5555_5555_5555_5555;
        for (words, expected) in [
            (vec![third - 1], true),
            (vec![third + 1], false),
            (vec![third, third, third - 1], true),
            (vec![third, third, third + 1], false),
        ] {
            let mut script = Script(words);
            assert_eq!(ratio(1, 3, &mut script), expected);
            assert!(script.0.is_empty(), "all words were needed");
        }
        // One half ends after its first bit: the interval is closed below and open above.
        assert!(ratio(1, 2, &mut Script(vec![(1 << 63) - 1])));
        assert!(!ratio(1, 2, &mut Script(vec![1 << 63])));
    }

    #[test]
    fn certainty_and_impossibility_need_no_luck() {
        assert!(ratio(7, 7, &mut Script(vec![])));
        assert!(!ratio(0, 7, &mut Script(vec![0])));
        assert!(exp_minus(0, 7, &mut Script(vec![0])), "exp(-0) = 1");
        assert!(exp_minus_half_square(0, 7, &mut Script(vec![0])));
    }

    proptest! {
        #[test]
        fn a_coin_is_the_comparison_of_a_uniform_number_with_the_fraction(
            b in 1_u64..=1 << 62, any in any::<u64>(), word in any::<u64>(), near in -2_i64..=2,
        ) {
            let a = any % b;
            // floor(2^64 a/b): words far from it and close to it.
            let boundary = u64::try_from((u128::from(a) << 64) / u128::from(b)).unwrap();
            for first in [word, boundary.wrapping_add_signed(near)] {
                let mut script = Script(vec![first, 0, 0]);
                let below = ratio(a, b, &mut script);
                match first.cmp(&boundary) {
                    std::cmp::Ordering::Less => prop_assert!(below && script.0.len() == 2),
                    std::cmp::Ordering::Greater => prop_assert!(!below && script.0.len() == 2),
                    // Zeros after an equal word are below whatever is left of the fraction, unless nothing
                    // is.
                    std::cmp::Ordering::Equal => {
                        let exact = u128::from(boundary) * u128::from(b) == u128::from(a) << 64;
                        prop_assert_eq!(below, !exact);
                    }
                }
            }
        }

        #[test]
        fn a_uniform_draw_is_in_range(n in 1_u64.., words in prop::collection::vec(any::<u64>(), 64)) {
            prop_assert!(uniform_below(n, &mut Script(words)) < n);
        }
    }

    #[test]
    fn a_uniform_draw_favours_nobody() {
        // 2^64 = 3 · 6148914691236517205 + 1: one of the 2^64 words must be refused, and it is the one that
        // maps low.
        assert_eq!(uniform_below(3, &mut Script(vec![0, u64::MAX])), 2);
        assert_eq!(uniform_below(3, &mut Script(vec![1])), 0);
        assert_eq!(uniform_below(1 << 20, &mut Script(vec![0])), 0, "a power of two refuses nothing");
    }
}
