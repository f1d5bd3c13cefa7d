//! Random values of every shape that serde knows, those included that JSON cannot keep.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fastrand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(f32),
    F64(f64),
    Char(char),
    Text(String),
    Bytes(Bytes),
    Unit,
    UnitValue(()),
    UnitStruct(Empty),
    Option(Option<Box<Shape>>),
    NumberOption(Option<f64>),
    #[expect(clippy::option_option, reason = "JSON cannot tell it from an option")]
    TwiceOption(Option<Option<u8>>),
    UnitOption(Option<()>),
    Newtype(Newtype),
    Pair(Box<Shape>, Box<Shape>),
    Tuple((Box<Shape>, u8)),
    Array([f32; 3]),
    List(Vec<Shape>),
    Set(HashSet<u64>),
    Sorted(BTreeSet<String>),
    ByText(HashMap<String, Shape>),
    ByBool(BTreeMap<bool, u8>),
    ByChar(BTreeMap<char, u8>),
    ByInt(BTreeMap<i64, f64>),
    ByWide(BTreeMap<u128, i128>),
    ByUnit(BTreeMap<Color, u8>),
    ByNewtype(BTreeMap<Key, u8>),
    ByOption(BTreeMap<Option<String>, u8>),
    ByPair(BTreeMap<(u8, u8), u8>),
    Struct {
        first: Box<Shape>,
        r#type: f64,
    },
    Renamed(Renamed),
    Skips(Skips),
    SkipsBadly(SkipsBadly),
    Flat(Flat),
    FlatInts(FlatInts),
    Doubled(Doubled),
    External(External),
    Internal(Internal),
    Adjacent(Adjacent),
    Untagged(Untagged),
    Json(serde_json::Value),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Empty;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Newtype(Box<Shape>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key(u16);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Color {
    Red,
    #[serde(rename = "gr\u{fc}n")]
    Green,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE", deny_unknown_fields)]
pub(crate) struct Renamed {
    one_field: f32,
    #[serde(alias = "other", default)]
    another: Option<i128>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Skips {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    list: Vec<i8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// What is left out is not put back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SkipsBadly {
    #[serde(skip_serializing_if = "is_even")]
    number: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_even(number: &u8) -> bool {
    number.is_multiple_of(2)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flat {
    id: u64,
    #[serde(flatten)]
    rest: BTreeMap<String, Untagged>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FlatInts {
    #[serde(flatten)]
    rest: BTreeMap<u8, i128>,
}

/// A map that may have a key twice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Doubled(Vec<(u8, u8)>);

impl Serialize for Doubled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Doubled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<u8, u8>::deserialize(deserializer)?;
        Ok(Self(map.into_iter().collect()))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum External {
    Unit,
    Newtype(f32),
    Empty(),
    Tuple(i128, char),
    Struct { wide: u128 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Internal {
    Unit,
    Newtype(Skips),
    Map(BTreeMap<String, u8>),
    Float { float: f32 },
    Wide { wide: u128, signed: i128 },
    ByInt { map: BTreeMap<u8, u8> },
    Bytes { bytes: Bytes },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "content")]
pub(crate) enum Adjacent {
    Unit,
    #[expect(clippy::option_option, reason = "JSON cannot tell it from an option")]
    Newtype(Option<Option<u8>>),
    Tuple(f64, i128),
    Struct {
        value: Box<Shape>,
    },
}

/// Of several variants that fit, the first is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Unit,
    Small(u8),
    Signed(i64),
    Float(f64),
    Wide(i128),
    Text(String),
    List(Vec<u8>),
    Struct { only: Option<f32> },
    Map(BTreeMap<String, Untagged>),
}

/// A value, not deeper than `depth`, unless it is a chain that goes deep on purpose.
pub(crate) fn shape(rng: &mut Rng, depth: u32) -> Shape {
    // What holds others comes last.
    let kinds = if depth == 0 { 41 } else { 52 };
    match rng.u32(0..kinds) {
        0 => Shape::Bool(rng.bool()),
        1 => Shape::I8(rng.i8(..)),
        2 => Shape::I16(rng.i16(..)),
        3 => Shape::I32(rng.i32(..)),
        4 => Shape::I64(wide(rng) as i64),
        5 => Shape::I128(wide(rng)),
        6 => Shape::U8(rng.u8(..)),
        7 => Shape::U16(rng.u16(..)),
        8 => Shape::U32(rng.u32(..)),
        9 => Shape::U64(wide(rng).cast_unsigned() as u64),
        10 => Shape::U128(wide(rng).cast_unsigned()),
        11 => Shape::F32(single(rng)),
        12 => Shape::F64(float(rng)),
        13 => Shape::Char(char(rng)),
        14 => Shape::Text(text(rng)),
        15 => Shape::Bytes(Bytes(some(rng, |rng| rng.u8(..)))),
        16 => Shape::Unit,
        17 => Shape::UnitValue(()),
        18 => Shape::UnitStruct(Empty),
        19 => Shape::NumberOption(option(rng, float)),
        20 => Shape::TwiceOption(option(rng, |rng| option(rng, |rng| rng.u8(..)))),
        21 => Shape::UnitOption(option(rng, |_| ())),
        22 => Shape::Array([single(rng), single(rng), single(rng)]),
        23 => Shape::Set(some(rng, |rng| rng.u64(..))),
        24 => Shape::Sorted(some(rng, text)),
        25 => Shape::ByBool(some(rng, |rng| (rng.bool(), rng.u8(..)))),
        26 => Shape::ByChar(some(rng, |rng| (char(rng), rng.u8(..)))),
        27 => Shape::ByInt(some(rng, |rng| (wide(rng) as i64, float(rng)))),
        28 => Shape::ByWide(some(rng, |rng| (wide(rng).cast_unsigned(), wide(rng)))),
        29 => Shape::ByUnit(some(rng, |rng| {
            (if rng.bool() { Color::Red } else { Color::Green }, rng.u8(..))
        })),
        30 => Shape::ByNewtype(some(rng, |rng| (Key(rng.u16(..)), rng.u8(..)))),
        31 => Shape::ByOption(some(rng, |rng| (option(rng, text), rng.u8(..)))),
        32 => Shape::ByPair(some(rng, |rng| ((rng.u8(..), rng.u8(..)), rng.u8(..)))),
        33 => Shape::Renamed(Renamed { one_field: single(rng), another: option(rng, wide) }),
        34 => Shape::Skips(skips(rng)),
        35 => Shape::SkipsBadly(SkipsBadly { number: rng.u8(..) }),
        36 => {
            // The order of a map's entries is no part of its value.
            let mut entries: Vec<_> = some(rng, |rng| (rng.u8(0..9), rng.u8(..)));
            entries.sort_unstable();
            Shape::Doubled(Doubled(entries))
        }
        37 => Shape::External(external(rng)),
        38 => Shape::Internal(internal(rng)),
        39 => Shape::Untagged(untagged(rng, depth)),
        40 => Shape::FlatInts(FlatInts { rest: some(rng, |rng| (rng.u8(..), wide(rng))) }),
        41 => Shape::Option(option(rng, |rng| boxed(rng, depth))),
        42 => Shape::Newtype(Newtype(boxed(rng, depth))),
        43 => Shape::Pair(boxed(rng, depth), boxed(rng, depth)),
        44 => Shape::Tuple((boxed(rng, depth), rng.u8(..))),
        45 => Shape::List(some(rng, |rng| shape(rng, depth - 1))),
        46 => Shape::ByText(some(rng, |rng| (text(rng), shape(rng, depth - 1)))),
        47 => Shape::Struct { first: boxed(rng, depth), r#type: float(rng) },
        48 => Shape::Flat(Flat {
            id: rng.u64(..),
            rest: some(rng, |rng| {
                let key = if rng.u8(..) < 9 { "id".to_owned() } else { text(rng) };
                (key, untagged(rng, depth))
            }),
        }),
        49 => Shape::Adjacent(adjacent(rng, depth)),
        50 => Shape::Json(json(rng, depth)),
        _ => chain(rng),
    }
}

/// Around the depth that the parser takes, and now and then far beyond.
fn chain(rng: &mut Rng) -> Shape {
    let length = if rng.u8(..) == 0 { 5_000 } else { rng.u32(50..140) };
    let mut chain = Shape::Unit;
    for _ in 0..length {
        chain = match rng.u8(0..6) {
            0 => Shape::Newtype(Newtype(Box::new(chain))),
            1 => Shape::List(vec![chain]),
            2 => Shape::Adjacent(Adjacent::Struct { value: Box::new(chain) }),
            // Half of the links add one level, the others two: so some chains are just short enough.
            _ => Shape::Option(Some(Box::new(chain))),
        };
    }
    chain
}

fn boxed(rng: &mut Rng, depth: u32) -> Box<Shape> {
    Box::new(shape(rng, depth - 1))
}

fn skips(rng: &mut Rng) -> Skips {
    Skips { list: some(rng, |rng| rng.i8(..)), text: option(rng, text) }
}

fn external(rng: &mut Rng) -> External {
    match rng.u8(0..5) {
        0 => External::Unit,
        1 => External::Newtype(single(rng)),
        2 => External::Empty(),
        3 => External::Tuple(wide(rng), char(rng)),
        _ => External::Struct { wide: wide(rng).cast_unsigned() },
    }
}

fn internal(rng: &mut Rng) -> Internal {
    match rng.u8(0..7) {
        0 => Internal::Unit,
        1 => Internal::Newtype(skips(rng)),
        2 => Internal::Map(some(rng, |rng| (text(rng), rng.u8(..)))),
        3 => Internal::Float { float: single(rng) },
        4 => Internal::Wide { wide: wide(rng).cast_unsigned(), signed: wide(rng) },
        5 => Internal::ByInt { map: some(rng, |rng| (rng.u8(..), rng.u8(..))) },
        _ => Internal::Bytes { bytes: Bytes(some(rng, |rng| rng.u8(..))) },
    }
}

fn adjacent(rng: &mut Rng, depth: u32) -> Adjacent {
    match rng.u8(0..4) {
        0 => Adjacent::Unit,
        1 => Adjacent::Newtype(option(rng, |rng| option(rng, |rng| rng.u8(..)))),
        2 => Adjacent::Tuple(float(rng), wide(rng)),
        _ => Adjacent::Struct { value: boxed(rng, depth) },
    }
}

fn untagged(rng: &mut Rng, depth: u32) -> Untagged {
    match rng.u8(0..if depth == 0 { 8 } else { 9 }) {
        0 => Untagged::Unit,
        1 => Untagged::Small(rng.u8(..)),
        2 => Untagged::Signed(wide(rng) as i64),
        3 => Untagged::Float(float(rng)),
        4 => Untagged::Wide(wide(rng)),
        5 => Untagged::Text(text(rng)),
        6 => Untagged::List(some(rng, |rng| rng.u8(..))),
        7 => Untagged::Struct { only: option(rng, single) },
        _ => Untagged::Map(some(rng, |rng| (text(rng), untagged(rng, depth - 1)))),
    }
}

fn json(rng: &mut Rng, depth: u32) -> serde_json::Value {
    match rng.u8(0..if depth == 0 { 6 } else { 8 }) {
        0 => serde_json::Value::Null,
        1 => rng.bool().into(),
        2 => (wide(rng) as i64).into(),
        3 => (wide(rng).cast_unsigned() as u64).into(),
        4 => float(rng).into(),
        5 => text(rng).into(),
        6 => some::<_, Vec<_>>(rng, |rng| json(rng, depth - 1)).into(),
        _ => some::<_, serde_json::Map<_, _>>(rng, |rng| (text(rng), json(rng, depth - 1))).into(),
    }
}

/// Of any width, also at its edges.
fn wide(rng: &mut Rng) -> i128 {
    let any = rng.i128(..) >> rng.u32(0..128);
    match rng.u8(0..16) {
        0 => i128::MIN >> rng.u32(0..128),
        1 => i128::MAX >> rng.u32(0..128),
        _ => any,
    }
}

fn float(rng: &mut Rng) -> f64 {
    match rng.u8(0..32) {
        0 => f64::NAN,
        1 => f64::NEG_INFINITY,
        2 => -0.0,
        3 => f64::MIN_POSITIVE / 3.0,
        4 => f64::MAX,
        5..12 => f64::from(rng.i32(-99..99)),
        12..22 => rng.f64(),
        _ => f64::from_bits(rng.u64(..)),
    }
}

fn single(rng: &mut Rng) -> f32 {
    match rng.u8(0..4) {
        0 => f32::from_bits(rng.u32(..)),
        1 => float(rng) as f32,
        _ => rng.f32(),
    }
}

/// Of every plane.
fn char(rng: &mut Rng) -> char {
    match rng.u8(0..4) {
        0 => rng.char('\0'..=' '),
        1 => rng.char('!'..='~'),
        2 => rng.char('\u{80}'..='\u{ffff}'),
        _ => rng.char(..),
    }
}

fn text(rng: &mut Rng) -> String {
    match rng.u8(0..16) {
        0 => "$serde_json::private::Number".to_owned(),
        1 => wide(rng).to_string(),
        2 => "type".to_owned(),
        _ => some(rng, char),
    }
}

fn option<T>(rng: &mut Rng, value: impl Fn(&mut Rng) -> T) -> Option<T> {
    (rng.u8(0..3) > 0).then(|| value(rng))
}

/// A few of them, often none.
fn some<T, C: FromIterator<T>>(rng: &mut Rng, mut part: impl FnMut(&mut Rng) -> T) -> C {
    (0..rng.u8(0..4)).map(|_| part(rng)).collect()
}
