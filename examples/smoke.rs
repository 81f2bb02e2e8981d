use std::sync::Arc;
use ringload::{engine, plan};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let raw = plan::RawPlan { urls: vec![a[1].clone()], requests: a.get(2).filter(|s| *s != "-").cloned(), connections: a.get(3).cloned(), threads: Some("1".into()), cores: Some("0".into()), rate: a.get(4).filter(|s| *s != "-").cloned(), duration: a.get(5).cloned(), ..Default::default() };
    let machine = engine::machine::machine();
    let plan = Arc::new(plan::validate(&raw, &machine).unwrap());
    let shards = plan::shards(&plan);
    let control = Arc::new(engine::Control::default());
    let run = engine::run(&plan, &shards, &machine, &control, &mut |_| {}).unwrap();
    let t = &run.total;
    println!("{:?} window {:?}", t.counts, run.window);
    println!("{:?} cpu/req us {:.2} rps {:.0}", t.traffic, run.shards[0].cpu.0 as f64 / 1e3 / t.counts.sent as f64, t.counts.ok as f64 / run.window.as_secs_f64());
    for (n, h) in [("resp", &t.latencies.response), ("serv", &t.latencies.service), ("pool", &t.latencies.pool_lag), ("client", &t.latencies.client_lag), ("submit", &t.latencies.submit_lag), ("conn", &t.latencies.connect)] {
        println!("{n} {} {:?} {:?} {:?}", h.count(), h.quantile(0.5), h.quantile(0.99), h.max());
    }
    println!("{:?}", run.timeline.iter().map(|p| (p.id.drain, p.id.second, p.counts.intended, p.counts.sent, p.counts.completed)).collect::<Vec<_>>());
}
