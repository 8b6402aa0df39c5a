//! Whatever a node sends is a ballot of exactly the agreed shape, or it is rejected.
#![no_main]

use conclave_trust::Ballot;
use conclave_trust::trusted_aggregator::Shape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, u8, u8, u16)| {
    let (packed, teachers, queries, classes) = input;
    let shape = Shape { teachers: teachers.into(), queries: queries.into(), classes: classes.into() };
    let sent = packed.clone();
    if let Ok(ballot) = Ballot::open(packed, shape) {
        assert_eq!(ballot.teachers(), u32::from(teachers));
        assert_eq!(ballot.into_packed(), sent);
    }
});
