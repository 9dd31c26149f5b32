//! A table of parameters that may also be switched on with `true` or off with `false`.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};

/// `true` for the defaults, `false` for none, or a table.
pub(super) fn switch<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    struct Visitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + Default> de::Visitor<'de> for Visitor<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true, false or a table of parameters")
        }

        fn visit_bool<E: de::Error>(self, on: bool) -> Result<Option<T>, E> {
            Ok(on.then(T::default))
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Some)
        }
    }

    deserializer.deserialize_any(Visitor(PhantomData))
}
