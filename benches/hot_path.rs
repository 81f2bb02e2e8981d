//! What each operation of the per-request path takes, timed; counted in instructions it is in `instructions`.

mod common {
    #[allow(dead_code, reason = "shared by several benches")]
    pub(crate) mod subjects;
}

use common::subjects::{self, Visitor};
use criterion::{Criterion, criterion_group, criterion_main};

impl Visitor for Criterion {
    fn subject(&mut self, name: &str, _: u64, mut operation: impl FnMut()) {
        self.bench_function(name, |bencher| bencher.iter(&mut operation));
    }
}

fn hot_path(criterion: &mut Criterion) {
    subjects::visit(criterion);
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
