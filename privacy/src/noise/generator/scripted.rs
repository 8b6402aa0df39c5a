//! Bits that a test chooses, for outcomes that no draw would show.

use super::{NoiseGenerator, sealed};
use rand::{TryCryptoRng, TryRng};
use std::convert::Infallible;

/// Gives out words, and nothing after the last.
pub(crate) struct Scripted<I>(pub(crate) I);

impl<I: Iterator<Item = u64>> TryRng for Scripted<I> {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let word = self.0.next().expect("the script has a word for each draw");
        Ok(u32::try_from(word).expect("a word of 32 bits where one is drawn"))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next().expect("the script has a word for each draw"))
    }
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        unreachable!("noise is drawn in words")
    }
}
impl<I: Iterator<Item = u64>> TryCryptoRng for Scripted<I> {}
impl<I> sealed::Sealed for Scripted<I> {}
impl<I: Iterator<Item = u64>> NoiseGenerator for Scripted<I> {}
