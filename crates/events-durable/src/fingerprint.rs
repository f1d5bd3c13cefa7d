//! Tells whether a value that comes back is the one that went, without asking for `PartialEq`.
//!
//! A fingerprint is a hash over what a value tells a serializer: not over its JSON, where a `Some`
//! of nothing looks like a `None`, and a number like another type's. What has no order of its own,
//! the entries of a map and, since a set cannot be told from a list, the elements of a sequence,
//! adds up in any order: JSON keeps that of a list by itself.

use std::{
    error::Error,
    fmt,
    hash::{DefaultHasher, Hasher},
};

use serde::{
    Serialize, Serializer,
    ser::{
        self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

/// How many values may lie inside each other. JSON that the parser takes is 127 lists and maps
/// deep; an `Option` or a newtype on the way counts here too. Without a limit a value that is too
/// deep would overflow the stack before anybody could refuse it.
const DEEPEST: u32 = 512;

/// The fingerprint of `value`.
///
/// # Errors
/// What cannot be written as JSON so that it comes back.
pub(crate) fn fingerprint<T: ?Sized + Serialize>(value: &T) -> Result<u64, Unfit> {
    value.serialize(Hashing { depth: 0 })
}

/// Why a value has no fingerprint. Never its content: a custom message may quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self("the event refuses to be serialized")
    }
}

/// What a value is, so that the number 1 is not the string or the variant of the same bits.
#[derive(Clone, Copy)]
enum Kind {
    Bool = 1,
    Signed,
    Unsigned,
    Wide,
    Float,
    Char,
    Text,
    Bytes,
    None,
    Some,
    Unit,
    Variant,
    List,
    Tuple,
    Map,
    Skipped,
}

/// Mixes all bits of both into all bits of the result.
const fn mix(before: u64, next: u64) -> u64 {
    let product =
        ((before ^ 0x9e37_79b9_7f4a_7c15) as u128) * ((next ^ 0xd6e8_feb8_6659_fd93) as u128 | 1);
    (product as u64) ^ ((product >> 64) as u64) ^ next.rotate_left(23)
}

const fn of(kind: Kind, bits: u64) -> u64 {
    mix(kind as u64, bits)
}

fn of_bytes(kind: Kind, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    of(kind, hasher.finish())
}

fn of_float(float: f64) -> Result<u64, Unfit> {
    // JSON writes `null` for these.
    let unfit = Unfit("a number in it is infinite or none at all");
    if float.is_finite() { Ok(of(Kind::Float, float.to_bits())) } else { Err(unfit) }
}

#[derive(Clone, Copy)]
struct Hashing {
    depth: u32,
}

impl Hashing {
    fn inside(self) -> Result<Self, Unfit> {
        if self.depth == DEEPEST {
            return Err(Unfit("it is nested too deep"));
        }
        Ok(Self { depth: self.depth + 1 })
    }

    fn parts(self, kind: Kind, hash: u64) -> Result<Parts, Unfit> {
        Ok(Parts { inside: self.inside()?, kind, hash, key: 0 })
    }
}

/// The parts of a list, a tuple, a map or a struct.
struct Parts {
    inside: Hashing,
    kind: Kind,
    hash: u64,
    key: u64,
}

impl Parts {
    fn add(&mut self, part: u64) {
        self.hash = match self.kind {
            Kind::List | Kind::Map => self.hash.wrapping_add(mix(part, 1)),
            _ => mix(self.hash, part),
        };
    }

    fn add_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unfit> {
        self.add(value.serialize(self.inside)?);
        Ok(())
    }

    const fn finish(&self) -> u64 {
        of(self.kind, self.hash)
    }
}

/// Methods of one argument that all hash the same way.
macro_rules! hashed {
    ($($method:ident($type:ty) => $hash:expr;)*) => {$(
        fn $method(self, value: $type) -> Result<u64, Unfit> {
            let hash: fn($type) -> Result<u64, Unfit> = $hash;
            hash(value)
        }
    )*};
}

impl Serializer for Hashing {
    type Ok = u64;
    type Error = Unfit;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    hashed! {
        serialize_bool(bool) => |value| Ok(of(Kind::Bool, u64::from(value)));
        serialize_i8(i8) => |value| Ok(of(Kind::Signed, i64::from(value).cast_unsigned()));
        serialize_i16(i16) => |value| Ok(of(Kind::Signed, i64::from(value).cast_unsigned()));
        serialize_i32(i32) => |value| Ok(of(Kind::Signed, i64::from(value).cast_unsigned()));
        serialize_i64(i64) => |value| Ok(of(Kind::Signed, value.cast_unsigned()));
        serialize_i128(i128) => |value| Ok(of_bytes(Kind::Wide, &value.to_le_bytes()));
        serialize_u8(u8) => |value| Ok(of(Kind::Unsigned, u64::from(value)));
        serialize_u16(u16) => |value| Ok(of(Kind::Unsigned, u64::from(value)));
        serialize_u32(u32) => |value| Ok(of(Kind::Unsigned, u64::from(value)));
        serialize_u64(u64) => |value| Ok(of(Kind::Unsigned, value));
        serialize_u128(u128) => |value| Ok(of_bytes(Kind::Wide, &value.to_le_bytes()));
        serialize_f32(f32) => |value| of_float(f64::from(value));
        serialize_f64(f64) => of_float;
        serialize_char(char) => |value| Ok(of(Kind::Char, u64::from(value)));
        serialize_str(&str) => |value| Ok(of_bytes(Kind::Text, value.as_bytes()));
        serialize_bytes(&[u8]) => |value| Ok(of_bytes(Kind::Bytes, value));
        serialize_unit_struct(&'static str) => |_| Ok(of(Kind::Unit, 0));
    }

    fn serialize_none(self) -> Result<u64, Unfit> {
        Ok(of(Kind::None, 0))
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<u64, Unfit> {
        Ok(of(Kind::Some, value.serialize(self.inside()?)?))
    }

    fn serialize_unit(self) -> Result<u64, Unfit> {
        Ok(of(Kind::Unit, 0))
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<u64, Unfit> {
        Ok(mix(of_bytes(Kind::Variant, variant.as_bytes()), u64::from(index)))
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<u64, Unfit> {
        value.serialize(self.inside()?)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u64, Unfit> {
        let variant = self.serialize_unit_variant(name, index, variant)?;
        Ok(mix(variant, value.serialize(self.inside()?)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Unfit> {
        self.parts(Kind::List, 0)
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Unfit> {
        self.parts(Kind::Tuple, 0)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Unfit> {
        self.parts(Kind::Tuple, 0)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Unfit> {
        self.parts(Kind::Tuple, self.serialize_unit_variant(name, index, variant)?)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Unfit> {
        self.parts(Kind::Map, 0)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Unfit> {
        self.parts(Kind::Tuple, 0)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Unfit> {
        self.parts(Kind::Tuple, self.serialize_unit_variant(name, index, variant)?)
    }
}

/// Traits whose parts come one after the other.
macro_rules! one_by_one {
    ($($trait:ident::$method:ident,)*) => {$(
        impl $trait for Parts {
            type Ok = u64;
            type Error = Unfit;

            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unfit> {
                self.add_value(value)
            }

            fn end(self) -> Result<u64, Unfit> {
                Ok(self.finish())
            }
        }
    )*};
}

one_by_one! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

/// Traits whose fields come in the order of their declaration, so that their names add nothing.
macro_rules! in_order {
    ($($trait:ident,)*) => {$(
        impl $trait for Parts {
            type Ok = u64;
            type Error = Unfit;

            fn serialize_field<T: ?Sized + Serialize>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Unfit> {
                self.add_value(value)
            }

            fn skip_field(&mut self, _: &'static str) -> Result<(), Unfit> {
                self.add(of(Kind::Skipped, 0));
                Ok(())
            }

            fn end(self) -> Result<u64, Unfit> {
                Ok(self.finish())
            }
        }
    )*};
}

in_order! { SerializeStruct, SerializeStructVariant, }

impl SerializeMap for Parts {
    type Ok = u64;
    type Error = Unfit;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Unfit> {
        self.key = key.serialize(self.inside)?;
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unfit> {
        let value = value.serialize(self.inside)?;
        self.add(mix(self.key, value));
        Ok(())
    }

    fn end(self) -> Result<u64, Unfit> {
        Ok(self.finish())
    }
}
