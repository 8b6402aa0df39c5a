//! Any bytes are a contract that says the same again, or are refused; nothing panics.
#![no_main]

use conclave_proto::common::v1 as wire;
use conclave_trust::Contract;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = wire::Contract::decode(bytes) else { return };
    let Ok(contract) = Contract::try_from(message) else { return };
    let again =
        Contract::try_from(wire::Contract::from(&contract)).expect("what was accepted is accepted again");
    assert_eq!(again.digest(), contract.digest());
    assert_eq!(again, contract);
});
