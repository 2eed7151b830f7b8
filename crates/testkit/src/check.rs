//! Contract checks: a table of promises, and reports of broken ones.

use std::any::Any;
use std::fmt;

/// Success, or a description of the problem.
pub(crate) type Outcome = Result<(), String>;

#[derive(Debug)]
pub struct Failure {
    pub check: &'static str,
    pub promise: &'static str,
    /// What happened instead, and for which input.
    pub found: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "conformance check `{0}` failed\n  promise: {1}\n  found:   {2}\n  \
             see \"{0}\" in docs/conformance.md",
            self.check,
            self.promise,
            self.found.trim().replace('\n', "\n           ")
        )
    }
}

impl std::error::Error for Failure {}

pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// Defines `Check` and `CHECKS` for one kind of component.
macro_rules! checks {
    ($kind:literal, $subject:ty; $($name:ident: $run:path, $promise:literal;)*) => {
        /// One promise of the contract.
        pub struct Check {
            /// Name of the check and of its test.
            pub name: &'static str,
            /// The promise, in one sentence.
            pub promise: &'static str,
            run: fn($subject) -> Outcome,
        }

        /// All checks, in the order in which failures are best investigated.
        pub const CHECKS: &[Check] =
            &[$(Check { name: stringify!($name), promise: $promise, run: $run }),*];

        impl Check {
            #[must_use]
            pub fn named(name: &str) -> Option<&'static Self> {
                CHECKS.iter().find(|check| check.name == name)
            }

            /// Runs the check. A panic of the component also breaks the promise.
            pub fn run(&self, subject: $subject) -> Result<(), $crate::check::Failure> {
                let run = std::panic::AssertUnwindSafe(|| (self.run)(subject));
                let outcome = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
                    let message = $crate::check::message(&*panic);
                    Err(format!(concat!("the ", $kind, " panicked: {}"), message))
                });
                let Self { name: check, promise, .. } = *self;
                outcome.map_err(|found| $crate::check::Failure { check, promise, found })
            }

            fn run_named(name: &str, subject: $subject) {
                let check = Self::named(name);
                let check = check.unwrap_or_else(|| panic!("there is no check \"{name}\""));
                if let Err(failure) = check.run(subject) {
                    panic!("{failure}");
                }
            }

            fn run_all(name: &str, subject: $subject) {
                let failures: Vec<String> = CHECKS
                    .iter()
                    .filter_map(|check| check.run(subject).err())
                    .map(|failure| failure.to_string())
                    .collect();
                let failures = failures.join("\n");
                assert!(failures.is_empty(), concat!($kind, " \"{}\"\n{}"), name, failures);
            }
        }
    };
}
pub(crate) use checks;
