//! A run without a URL: the embedded target in this very process, on the half of the cores that the client leaves.

use std::net::{Ipv4Addr, SocketAddr};

use crate::net::runtime::Driver;
use crate::plan::RawPlan;
use crate::plan::shard::Machine;
use crate::plan::shard::core_list;
use crate::target::{Options, Target, TargetError};

/// Starts the target and points the plan at it. The note says who has which cores.
///
/// # Errors
/// The target's, when it cannot listen.
pub(super) fn start(raw: &mut RawPlan, machine: &Machine, driver: Driver) -> Result<(Target, String), TargetError> {
    let server = deal(raw, machine);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let target = Target::start(&Options { listen, cores: server.clone(), driver })?;
    let url = format!("http://{}/", target.addr());
    raw.urls.push(url.clone());
    let sharing =
        if machine.cpus.len() == 1 { "there is one core, which both share" } else { "both share this machine" };
    let note = format!(
        "no URL given: measuring the embedded target at {url} on core {}, from core {}; {sharing}",
        list(&server),
        raw.cores.as_deref().unwrap_or_default(),
    );
    Ok((target, note))
}

/// Gives the client its cores, where it was given none; returns those of the target.
pub(super) fn deal(raw: &mut RawPlan, machine: &Machine) -> Vec<usize> {
    let allowed = machine.spread(machine.cpus.len());
    let (client, half) = split(&allowed);
    // Cores that the client was given are left to it, if that leaves any.
    let named = raw.cores.as_deref().and_then(|text| core_list(text, &allowed).ok()).unwrap_or_default();
    let left: Vec<usize> = allowed.iter().copied().filter(|core| !named.contains(core)).collect();
    let server = match (named.is_empty(), left.is_empty()) {
        (true, _) => half,
        (false, true) => allowed,
        (false, false) => left,
    };
    raw.cores.get_or_insert_with(|| list(&client));
    raw.embedded_target = true;
    server
}

/// Half of the cores each, the odd one to the target; the one core to both.
fn split(allowed: &[usize]) -> (Vec<usize>, Vec<usize>) {
    match allowed.len() / 2 {
        0 => (allowed.to_vec(), allowed.to_vec()),
        half => (allowed[..half].to_vec(), allowed[half..].to_vec()),
    }
}

/// Cores as `--cores` reads them.
pub(super) fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_target_get_half_of_the_cores_each() {
        assert_eq!(split(&[3]), (vec![3], vec![3]));
        assert_eq!(split(&[0, 1]), (vec![0], vec![1]));
        assert_eq!(split(&[0, 1, 2, 3, 4]), (vec![0, 1], vec![2, 3, 4]));
    }
}
