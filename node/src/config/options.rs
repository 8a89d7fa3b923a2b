//! A struct of options, each with its default beside it.

/// Makes a struct whose fields are options: `name: type = default`. Its
/// `Default` has the defaults.
macro_rules! options {
    (
        $(#[$($about:tt)*])*
        pub struct $name:ident {
            $($(#[$($said:tt)*])* pub $option:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$($about)*])*
        pub struct $name {
            $($(#[$($said)*])* pub $option: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($option: $default,)* }
            }
        }
    };
}

pub(super) use options;
