//! Exit codes: those of `sysexits.h`, as RabbitMQ's tools use them. Scripts rely on them.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `serve`, stopped by a signal.
    Success,
    /// 1: of `doctor`, something should be better; of `move_messages`, interrupted before the end.
    Doubtful,
    /// 2: of `doctor`, the broker would not start or its promise not hold.
    Bad,
    /// 64: bad arguments or configuration.
    Usage,
    /// 65: a corrupt store, or data that is not right (a vhost that does not exist, a wrong password).
    Data,
    /// 67: no such user.
    NoUser,
    /// 69: the broker does not answer, or cannot do it now.
    Unavailable,
    /// 70: refused.
    Software,
    /// 74: reading or writing failed.
    Io,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Doubtful => 1,
            Exit::Bad => 2,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::NoUser => 67,
            Exit::Unavailable => 69,
            Exit::Software => 70,
            Exit::Io => 74,
        })
    }
}
