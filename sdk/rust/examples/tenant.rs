//! The smallest plugin: reads `cs_host`, makes `tenant`.
use canopy_sdk::prelude::*;

#[derive(Output)]
struct Tags {
    /// The tenant: the first label of the host.
    tenant: Text,
}

/// Tags each request with the tenant its host belongs to.
#[plugin]
fn tenant(cs_host: &str, tags: &mut Row<Tags>) {
    tags.tenant.set(cs_host.split('.').next().unwrap_or(""));
}

#[test]
fn the_first_label_is_the_tenant() {
    let made = Harness::<Tenant>::default().run(json!([{ "cs_host": "acme.example.com" }]));
    assert_eq!(made.rows, json!([{ "tenant": "acme" }]));
}
