//! What the runtime promises of plugins that do everything wrong, tried on a
//! real component: `guests/hazards`, whose rows command what it does.

mod columns;
mod configure;
mod distinct;
mod isolation;
mod limits;
mod load;
mod output;
mod policy;
mod support;
