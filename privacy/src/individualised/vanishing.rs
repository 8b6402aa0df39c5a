//! Vanishing: the teachers of a group with a smaller budget vote on a share of the queries, in turn.
//!
//! The schedule is fixed and public before the campaign. On a query in which a teacher takes no part its votes are in neither of two
//! neighbouring worlds, so the answer has the same law in both and its records pay nothing; on the others they pay for one move.
//! The prices are thus fixed in advance, and their sum is that of the queries with the teacher in them.

use crate::Error;

/// Who of a group votes on which query of a campaign: round and round, as evenly as whole teachers allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Schedule {
    queries: u32,
    votes_on: u32,
    teachers: u32,
}

impl Schedule {
    /// Each of the group's `teachers` votes on `votes_on` of the `queries`: on none, some or all.
    pub fn new(queries: u32, votes_on: u32, teachers: u32) -> Result<Self, Error> {
        let fix = "give at least one query and one teacher, and votes on no more than the queries";
        let refuse = |field, value: u32| Err(Error::OutOfRange { field, value: f64::from(value), fix });
        match (queries, teachers) {
            (0, _) => refuse("queries", queries),
            (_, 0) => refuse("teachers", teachers),
            _ if votes_on > queries => refuse("votes_on", votes_on),
            _ => Ok(Self { queries, votes_on, teachers }),
        }
    }

    /// On how many queries each teacher votes, exactly.
    pub const fn votes_on(self) -> u32 {
        self.votes_on
    }

    /// Whether `teacher` (of the group, from 0) votes on the `query`-th of the campaign (from 0). Refuses those that there are not.
    pub fn takes_part(self, teacher: u32, query: u32) -> Result<bool, Error> {
        let fix = "number teachers and queries from 0, below those of the schedule";
        for (field, value, end) in [("teacher", teacher, self.teachers), ("query", query, self.queries)] {
            if value >= end {
                return Err(Error::OutOfRange { field, value: f64::from(value), fix });
            }
        }
        // The n·q seats of the group, q of its n teachers' each, are filled in turn, and each query has the next n·q/Q of them,
        // rounded down or up. At most n, so nobody has two.
        let teachers = u128::from(self.teachers);
        let seats_before =
            |query: u64| u128::from(query) * teachers * u128::from(self.votes_on) / u128::from(self.queries);
        let (first, end) = (seats_before(query.into()), seats_before(u64::from(query) + 1));
        Ok((u128::from(teacher) + teachers - first % teachers) % teachers < end - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_teacher_votes_exactly_as_often_as_it_pays_and_no_query_is_left_to_few(
            queries in 1_u32..60, percent in 0_u32..=100, teachers in 1_u32..12,
        ) {
            let votes_on = queries * percent / 100;
            let schedule = Schedule::new(queries, votes_on, teachers).unwrap();
            let takes_part = |teacher, query| schedule.takes_part(teacher, query).unwrap();
            for teacher in 0..teachers {
                let voted = (0..queries).filter(|query| takes_part(teacher, *query)).count();
                prop_assert_eq!(voted, votes_on as usize);
            }
            let mean = (teachers * votes_on / queries) as usize;
            for query in 0..queries {
                let voters = (0..teachers).filter(|teacher| takes_part(*teacher, query)).count();
                prop_assert!((mean..=mean + 1).contains(&voters), "{} of {}", voters, mean);
            }
        }
    }

    #[test]
    fn schedules_and_seats_that_do_not_exist_are_refused_by_name() {
        let refused = |made: Result<Schedule, Error>| match made {
            Err(Error::OutOfRange { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(Schedule::new(0, 0, 1)), "queries");
        assert_eq!(refused(Schedule::new(1, 0, 0)), "teachers");
        assert_eq!(refused(Schedule::new(4, 5, 1)), "votes_on");
        let largest = Schedule::new(u32::MAX, u32::MAX, u32::MAX).unwrap();
        assert_eq!(largest.takes_part(u32::MAX - 1, u32::MAX - 1), Ok(true));
        assert!(matches!(largest.takes_part(u32::MAX, 0), Err(Error::OutOfRange { field: "teacher", .. })));
        assert!(matches!(largest.takes_part(0, u32::MAX), Err(Error::OutOfRange { field: "query", .. })));
    }
}
