//! Systems that refuse something, made by filters of system calls as containers have them.

use std::collections::BTreeMap;
use std::thread;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// What a system refuses.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    /// io_uring, as the usual profile of a container does.
    Rings,
    /// Sockets of IPv6, as a kernel that was booted with `ipv6.disable=1`.
    Ipv6,
}

/// Does something on a thread to which the system refuses that, and so to the programs that it
/// starts.
pub(crate) fn without<T: Send>(refusal: Refusal, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            apply_filter(&filter(refusal)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

fn filter(refusal: Refusal) -> BpfProgram {
    let (call, rules, errno) = match refusal {
        Refusal::Rings => (libc::SYS_io_uring_setup, Vec::new(), libc::EPERM),
        Refusal::Ipv6 => {
            let (len, family) = (SeccompCmpArgLen::Dword, libc::AF_INET6 as u64);
            let is_ipv6 = SeccompCondition::new(0, len, SeccompCmpOp::Eq, family).unwrap();
            let rules = vec![SeccompRule::new(vec![is_ipv6]).unwrap()];
            (libc::SYS_socket, rules, libc::EAFNOSUPPORT)
        }
    };
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    filter.unwrap().try_into().unwrap()
}
