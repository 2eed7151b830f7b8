//! Maps names in configuration files to components.
//!
//! Every plugin registers itself twice, with one line each: `#[typetag::serde(name = "...")]` above
//! its `impl` writes the name into descriptions and reads nested or JSON descriptions;
//! [`register!`](crate::register) reads the tables of a configuration, reporting the location of
//! every error, and provides the text for `batchlab list`, `explain` and `schema`. The name is
//! written only once: the registration obtains it from typetag.
//!
//! A plugin that no crate refers to is not linked and silently missing; the crate
//! `batchlab-builtin` therefore names every plugin, and fails to compile if one is missing.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{Batcher, Dataset, Model, Sink};

pub use crate::contract::suggestion::{nearest, suggestion};

/// The four kinds of component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Source of graphs.
    Dataset,
    /// Model to train.
    Model,
    /// Decides the members and the shape of every batch.
    Batcher,
    /// Writes results.
    Sink,
}

impl Kind {
    /// All kinds, in the order of a configuration file.
    pub const ALL: [Self; 4] = [Self::Dataset, Self::Model, Self::Batcher, Self::Sink];

    /// Name of the kind in a configuration file.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
            Self::Batcher => "batcher",
            Self::Sink => "sink",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// A component of any kind.
#[derive(Debug)]
pub enum Component {
    /// Source of graphs.
    Dataset(Box<dyn Dataset>),
    /// Model to train.
    Model(Box<dyn Model>),
    /// Decides the members and the shape of every batch.
    Batcher(Box<dyn Batcher>),
    /// Writes results.
    Sink(Box<dyn Sink>),
}

/// Traits whose implementations are selected by name in a configuration, such as `dyn Dataset`.
pub trait Selectable {
    /// Kind of component that the trait represents.
    const KIND: Kind;
    /// The component, if it is of this kind.
    fn of(component: Component) -> Option<Box<Self>>;
}

macro_rules! selectable {
    ($($kind:ident),*) => {$(
        impl Selectable for dyn $kind {
            const KIND: Kind = Kind::$kind;
            fn of(component: Component) -> Option<Box<Self>> {
                match component {
                    Component::$kind(component) => Some(component),
                    _ => None,
                }
            }
        }
    )*};
}
selectable!(Dataset, Model, Batcher, Sink);

/// Information about a component that is available without opening it. Created by
/// [`register!`](crate::register).
pub struct Registration {
    /// Dataset, model, batcher or sink.
    pub kind: Kind,
    /// Name by which a configuration selects it, as known to typetag.
    pub name: fn() -> &'static str,
    /// JSON schema of the component's table, without `name`.
    pub schema: fn() -> Value,
    /// A working table, with `name` and all defaults.
    pub example: fn() -> Value,
    /// Reads a table without `name` as the concrete type; typetag would lose the location of
    /// errors.
    pub read: for<'a> fn(Spanned<DeValue<'a>>) -> Result<Component, toml::de::Error>,
    /// Crate that contains the component.
    pub package: &'static str,
    /// Folder of that crate at build time.
    pub folder: &'static str,
}

inventory::collect!(Registration);

impl Registration {
    /// First sentence of the type's documentation, without the final full stop.
    #[must_use]
    pub fn summary(&self) -> String {
        let description = self.description();
        let first = description.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let sentence = first.split_once(". ").map_or(first.as_str(), |(sentence, _)| sentence);
        sentence.trim_end_matches('.').to_owned()
    }

    /// The type's documentation.
    #[must_use]
    pub fn description(&self) -> String {
        (self.schema)().get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Reads the component described by a configuration table.
    ///
    /// # Errors
    /// The first error, with its location in the source.
    pub fn read_table(&self, table: &Spanned<DeTable<'_>>) -> Result<Component, toml::de::Error> {
        let mut fields = table.get_ref().clone();
        fields.remove("name");
        (self.read)(Spanned::new(table.span(), DeValue::Table(fields)))
    }
}

/// All registered components of a kind, by name. If two crates use the same name, the one whose
/// crate sorts first is returned; [`conflicts`] lists them.
#[must_use]
pub fn components(kind: Kind) -> BTreeMap<&'static str, &'static Registration> {
    let mut all = BTreeMap::new();
    for registration in sorted() {
        if registration.kind == kind {
            all.entry((registration.name)()).or_insert(registration);
        }
    }
    all
}

/// Looks up a component by kind and name.
#[must_use]
pub fn find(kind: Kind, name: &str) -> Option<&'static Registration> {
    sorted().into_iter().find(|r| r.kind == kind && (r.name)() == name)
}

/// Names registered by two crates. A program that loads a configuration refuses to start in this
/// case, because the linker would decide which one is used.
#[must_use]
pub fn conflicts() -> Vec<String> {
    let mut owner: BTreeMap<(Kind, &str), &Registration> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for registration in sorted() {
        let name = (registration.name)();
        if let Some(first) = owner.insert((registration.kind, name), registration) {
            let kind = registration.kind;
            conflicts.push(format!(
                "{kind} \"{name}\" is registered by {} and by {}; rename one of them",
                first.package, registration.package
            ));
        }
    }
    conflicts
}

/// Sorted, because the linker orders registrations arbitrarily.
fn sorted() -> Vec<&'static Registration> {
    let mut all: Vec<&'static Registration> = inventory::iter::<Registration>().collect();
    all.sort_by_key(|r| (r.kind, (r.name)(), r.package));
    all
}

/// Builds a component from the keys without defaults, for [`register!`](crate::register).
///
/// # Panics
/// If the text is not a valid table of this component.
#[must_use]
pub fn from_toml<T: DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Registers a component. `$example` is a working instance.
///
/// The type needs `Serialize`, `Deserialize`, `JsonSchema`, `#[serde(deny_unknown_fields)]`, and an
/// implementation of its trait under `#[typetag::serde(name = "...")]`. Its documentation becomes
/// its description, the first sentence its summary; the documentation of its fields is shown by
/// `batchlab explain`. See [`Batcher`](crate::Batcher) for a complete plugin.
#[macro_export]
macro_rules! register {
    ($kind:ident, $type:ty, example = $example:expr) => {
        const _: () = {
            fn example() -> $type {
                $example
            }
            fn name() -> &'static str {
                static NAME: std::sync::LazyLock<&str> =
                    std::sync::LazyLock::new(|| <$type as $crate::$kind>::typetag_name(&example()));
                *NAME
            }
            fn schema() -> $crate::__private::serde_json::Value {
                $crate::__private::schemars::schema_for!($type).to_value()
            }
            fn example_table() -> $crate::__private::serde_json::Value {
                let component: &dyn $crate::$kind = &example();
                $crate::__private::serde_json::to_value(component)
                    .expect("a component is a table of plain values")
            }
            fn read(
                table: $crate::__private::toml::Spanned<$crate::__private::toml::de::DeValue<'_>>,
            ) -> Result<$crate::registry::Component, $crate::__private::toml::de::Error> {
                use $crate::__private::serde::Deserialize;
                use $crate::__private::serde::de::IntoDeserializer;
                let component = <$type>::deserialize(table.into_deserializer())?;
                Ok($crate::registry::Component::$kind(Box::new(component)))
            }
            $crate::__private::inventory::submit! {
                $crate::registry::Registration {
                    kind: $crate::registry::Kind::$kind,
                    name,
                    schema,
                    example: example_table,
                    read,
                    package: env!("CARGO_PKG_NAME"),
                    folder: env!("CARGO_MANIFEST_DIR"),
                }
            }
        };
    };
}
