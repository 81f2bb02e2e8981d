//! Both drivers: what the other topics hold of io_uring, held of epoll, and what happens where io_uring is refused.

use std::collections::BTreeMap;
use std::thread;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};

use crate::support::program::{Finished, command};
use crate::support::{OK, Program, Report, Server, TargetProgram, bench, measure, measured, on_driver, ringload};

/// Tests of other topics, which run on the driver that the machine offers, again on epoll.
macro_rules! on_epoll {
    ($($topic:ident: $($test:ident)+;)+) => {
        $(mod $topic {
            $(#[test]
            fn $test() {
                crate::support::on_driver("epoll", crate::$topic::$test);
            })+
        })+
    };
}
