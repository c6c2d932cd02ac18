//! Long random runs against the model without power cuts on the way: many messages, many segments, checkpoints,
//! exports, compaction and clean restarts, so that what piles up only with time is seen too.

mod support;

use support::from_env;
use support::workload::{Setup, run};

#[test]
fn a_long_life_holds_what_the_model_holds() {
    let mut setup = Setup::new(from_env("LEDGERMQ_SEED", 7_000));
    setup.picture_once_in = 0;
    setup.generations = 12;
    setup.operations = 1500;
    let tally = run(&setup).unwrap_or_else(|problem| panic!("{problem}"));
    println!("{} operations in {} generations", tally.operations, tally.generations);
}
