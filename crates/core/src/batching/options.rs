//! Options shared by batchers: each is defined once, with its key, default and description.

/// Declares the options struct of a batcher: its own options, and those shared with other batchers.
///
/// ```text
/// batchlab_core::batcher_options! {
///     /// Documentation of the batcher.
///     pub struct NAME with GroupOptions {
///         /// Its own options, if it has any.
///         #[serde(default)]
///         pub key: Type,
///     }
///     padding = DEFAULT
/// }
/// ```
///
/// Expands to a plain struct, as if all fields were written out. (`#[serde(flatten)]` would be an
/// alternative, but errors would lose the location of a wrong value and the list of valid keys.) It
/// derives `Debug`, `Clone`, `PartialEq`, `Serialize`, `Deserialize` and `JsonSchema`, and rejects
/// unknown keys. Own options come before the shared ones, or after a line `..`.
///
/// | with | keys | defaults to give | method |
/// |---|---|---|---|
/// | `GroupOptions` | `batch_size`, `padding`, `composition`, `order`, `order_distance`, `epoch_boundary` | `padding`, `epoch_boundary` | `group_options()`, for [`open_groups`](crate::grouping::open_groups) |
/// | `BudgetOptions` | the same and `budget`, `estimate`, `resources`, `oversize` | also `resources` | `budget_options()`, see [`BudgetOptions`](crate::budget::BudgetOptions) |
/// | `NodeOptions` | `n_output`, `composition`, `order`, `order_distance`, `padding`, `constant` | `padding` | `node_options()`, for [`open_node_groups`](crate::node_groups::open_node_groups) |
/// | `KeptNodeOptions` | `order`, `order_distance`, `padding`, `constant` | `padding` | `order_options()` and `node_padding()`, for the same |
///
/// `epoch_boundary` and `resources` may be omitted. A module can contain only one such struct.
#[macro_export]
macro_rules! batcher_options {
    (
        $(#[$about:meta])*
        pub struct $name:ident with $options:ident {
            $($(#[$before_about:meta])* pub $before:ident: $before_type:ty,)*
            $(.. $($(#[$after_about:meta])* pub $after:ident: $after_type:ty,)*)?
        }
        $($key:ident = $default:expr),* $(,)?
    ) => {
        $crate::batcher_options! {
            @$options
            [$(#[$about])*]
            [$name]
            [$($(#[$before_about])* pub $before: $before_type,)*]
            [$($($(#[$after_about])* pub $after: $after_type,)*)?]
            $($key = $default,)*
        }
    };

    (
        @BudgetOptions $about:tt $name:tt [$($before:tt)*] $after:tt
        padding = $padding:expr,
        $(resources = $resources:expr,)?
        $(epoch_boundary = $epoch_boundary:expr,)?
    ) => {
        $crate::batcher_options! {
            @GroupOptions $about $name
            [
                $($before)*
                /// Limits of a batch, padding included; limits that are not given are estimated if
                /// `resources` includes them.
                #[serde(default)]
                pub budget: $crate::budget::Budget,
                /// How limits are estimated.
                #[serde(default)]
                pub estimate: $crate::budget::Estimate,
                /// The limited resources: any of `"graphs"`, `"nodes"`, `"edges"`, `"bytes"`.
                #[serde(default = "default_resources")]
                pub resources: $crate::budget::Resources,
                /// What to do with a graph that is larger than the budget.
                #[serde(default)]
                pub oversize: $crate::oversize::Oversize,
            ]
            $after
            padding = $padding,
            $(epoch_boundary = $epoch_boundary,)?
        }

        fn default_resources() -> $crate::budget::Resources {
            $crate::batcher_options!(@first $($resources,)? $crate::budget::Resources::default(),)
        }

        $crate::batcher_options! {
            @impl $name
            /// The budget of this table.
            fn budget_options(&self) -> $crate::budget::BudgetOptions {
                $crate::budget::BudgetOptions {
                    batch_size: self.batch_size,
                    budget: self.budget,
                    estimate: self.estimate,
                    resources: self.resources.clone(),
                    oversize: self.oversize,
                    groups: self.group_options(),
                }
            }
        }
    };

    (
        @GroupOptions $about:tt $name:tt [$($before:tt)*] [$($after:tt)*]
        padding = $padding:expr,
        $(epoch_boundary = $epoch_boundary:expr,)?
    ) => {
        $crate::batcher_options! {
            @struct $about $name
            /// B in the study: a batch holds at most B - 1 graphs plus one slot for padding; at
            /// least 2.
            pub batch_size: $crate::padding::BatchSize,
            $($before)*
            /// The padding rule.
            #[serde(default = "default_padding")]
            pub padding: $crate::Padding,
            /// Whether groups are formed anew every epoch, or once before training.
            #[serde(default)]
            pub composition: $crate::grouping::Composition,
            /// The order of batches of fixed composition.
            #[schemars(extend("x-only-with" = { "composition": ["fixed"] }))]
            #[serde(default, skip_serializing_if = "batchlab_core::batch_order::BatchOrder::is_random")]
            pub order: $crate::batch_order::BatchOrder,
            /// Distance between batches, for the orders that use one: between the classes of their
            /// outputs, or the sizes of their graphs. The default is `"kl"`.
            #[schemars(extend("x-only-with" = { "order": ["sample", "tour"] }))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub order_distance: Option<$crate::batch_order::OrderDistance>,
            /// Whether an incomplete group is completed in the next epoch, or delivered incomplete.
            #[serde(default = "default_epoch_boundary")]
            pub epoch_boundary: $crate::grouping::EpochBoundary,
            $($after)*
        }

        fn default_padding() -> $crate::Padding {
            $padding
        }

        fn default_epoch_boundary() -> $crate::grouping::EpochBoundary {
            $crate::batcher_options!(
                @first $($epoch_boundary,)? $crate::grouping::EpochBoundary::default(),
            )
        }

        $crate::batcher_options! {
            @impl $name
            /// Options shared by all strategies on groups.
            fn group_options(&self) -> $crate::grouping::GroupOptions {
                $crate::grouping::GroupOptions {
                    composition: self.composition,
                    order: $crate::batch_order::OrderOptions {
                        order: self.order,
                        distance: self.order_distance,
                    },
                    epoch_boundary: self.epoch_boundary,
                    ..$crate::grouping::GroupOptions::new(self.batch_size, self.padding)
                }
            }
        }
    };

    (
        @NodeOptions $about:tt $name:tt [$($before:tt)*] [$($after:tt)*]
        padding = $padding:expr,
    ) => {
        $crate::batcher_options! {
            @KeptNodeOptions $about $name
            [
                /// Maximum number of output nodes in a batch. The outputs of an epoch are
                /// distributed evenly, so that batch sizes differ by at most one.
                pub n_output: std::num::NonZeroU32,
                $($before)*
                /// Whether groups are formed anew every epoch, or once before training.
                #[serde(default)]
                pub composition: $crate::grouping::Composition,
            ]
            [$($after)*]
            padding = $padding,
        }

        $crate::batcher_options! {
            @impl $name
            /// Groups of outputs, and how batches are padded.
            fn node_options(
                &self,
            ) -> ($crate::node_groups::OutputGroups, $crate::node_groups::NodePadding) {
                let (n_output, composition) = (self.n_output, self.composition);
                let order = self.order_options();
                (
                    $crate::node_groups::OutputGroups::Random { n_output, composition, order },
                    self.node_padding(),
                )
            }
        }
    };

    (
        @KeptNodeOptions $about:tt $name:tt [$($before:tt)*] [$($after:tt)*]
        padding = $padding:expr,
    ) => {
        $crate::batcher_options! {
            @struct $about $name
            $($before)*
            /// The order of batches of fixed composition.
            #[schemars(extend("x-only-with" = { "composition": ["fixed"] }))]
            #[serde(default, skip_serializing_if = "batchlab_core::batch_order::BatchOrder::is_random")]
            pub order: $crate::batch_order::BatchOrder,
            /// Distance between batches, for the orders that use one: between the classes of their
            /// outputs, or the sizes of their graphs. The default is `"kl"`.
            #[schemars(extend("x-only-with" = { "order": ["sample", "tour"] }))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub order_distance: Option<$crate::batch_order::OrderDistance>,
            /// The padding rule.
            #[serde(default = "default_padding")]
            pub padding: $crate::Padding,
            /// Nodes and edges for `padding = "constant"`, padding included; by default learnt from
            /// the first batches. A batch that exceeds it gets a larger shape of its own.
            #[schemars(extend("x-only-with" = { "padding": ["constant"] }))]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub constant: Option<$crate::node_groups::NodeBudget>,
            $($after)*
        }

        fn default_padding() -> $crate::Padding {
            $padding
        }

        $crate::batcher_options! {
            @impl $name
            /// The order of batches.
            fn order_options(&self) -> $crate::batch_order::OrderOptions {
                $crate::batch_order::OrderOptions {
                    order: self.order,
                    distance: self.order_distance,
                }
            }
        }

        $crate::batcher_options! {
            @impl $name
            /// How batches are padded.
            fn node_padding(&self) -> $crate::node_groups::NodePadding {
                let (padding, constant) = (self.padding, self.constant);
                $crate::node_groups::NodePadding { padding, constant }
            }
        }
    };

    (@struct [$($about:tt)*] [$name:ident] $($field:tt)*) => {
        $($about)*
        #[derive(
            Debug,
            Clone,
            PartialEq,
            $crate::__private::serde::Serialize,
            $crate::__private::serde::Deserialize,
            $crate::__private::schemars::JsonSchema,
        )]
        #[serde(crate = "batchlab_core::__private::serde", deny_unknown_fields)]
        #[schemars(crate = "batchlab_core::__private::schemars")]
        pub struct $name {
            $($field)*
        }
    };

    (@impl [$name:ident] $($method:tt)*) => {
        impl $name {
            $($method)*
        }
    };

    (@first $first:expr, $($rest:expr,)*) => {
        $first
    };
}
