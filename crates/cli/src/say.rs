//! Messages on standard error.

/// Like `eprintln!`, but a closed or full standard error does not end a run, and text from files
/// cannot control a terminal.
macro_rules! say {
    ($($words:tt)*) => {{
        let words = ::std::format!("{}\n", ::std::format_args!($($words)*));
        let words = crate::output::visible(&words);
        let _ = ::std::io::Write::write_all(&mut ::std::io::stderr(), words.as_bytes());
    }};
}

pub(crate) use say;
