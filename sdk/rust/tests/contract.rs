//! The SDK carries a copy of the contract, so that a plugin outside this
//! repository needs nothing but the SDK.

#[test]
fn the_copy_of_the_contract_is_the_contract() {
    let contract = include_str!("../../../wit/plugin.wit");
    let copy = include_str!("../wit/plugin.wit");
    assert!(
        contract == copy,
        "the contract changed: cp wit/plugin.wit sdk/rust/wit/plugin.wit"
    );
}
