//! Messages on standard error.

/// As `eprintln!`, but a closed or full standard error does not end a run.
macro_rules! say {
    ($($words:tt)*) => {{
        let _ = ::std::io::Write::write_fmt(
            &mut ::std::io::stderr(),
            ::std::format_args!("{}\n", ::std::format_args!($($words)*)),
        );
    }};
}

pub(crate) use say;
