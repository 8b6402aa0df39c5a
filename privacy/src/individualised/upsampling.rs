//! Upsampling: a record of a group with a larger budget is in the shards of several teachers.
//!
//! With d copies at most d teachers change with the record, so at most d votes move on each query, in any directions:
//! [`Sensitivity::copied`](crate::unit::Sensitivity::copied). That needs an assignment in which no record moves another, hence the keyed
//! digest of the record and nothing else; dealing copies out in turn, as the authors' code does, would shift all that follow.

use crate::Error;

/// How many of the teachers have each record of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Copies {
    copies: u32,
    teachers: u32,
}

impl Copies {
    /// Each record in the shards of `copies` of the `teachers`: at least one, at most all.
    pub fn new(copies: u32, teachers: u32) -> Result<Self, Error> {
        if copies == 0 || copies > teachers {
            let fix = "give each record to at least one teacher and at most to all of them";
            return Err(Error::OutOfRange { field: "copies", value: f64::from(copies), fix });
        }
        Ok(Self { copies, teachers })
    }

    /// The teachers of one record, all different, by Floyd's algorithm: a uniform subset if the words are uniform.
    ///
    /// `words` are a stream from a keyed digest of *this record alone*, as many as there are copies. The sensitivity rests on that.
    pub fn teachers_of(self, mut words: impl FnMut() -> u64) -> Vec<u32> {
        let mut chosen = Vec::new();
        for last in self.teachers - self.copies..self.teachers {
            // A factor of 32 bits: the upper half of the product is below it.
            #[expect(clippy::cast_possible_truncation, reason = "at most last")]
            let any = ((u128::from(words()) * (u128::from(last) + 1)) >> 64) as u32;
            chosen.push(if chosen.contains(&any) { last } else { any });
        }
        chosen
    }
}
