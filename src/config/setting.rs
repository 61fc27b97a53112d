//! What a setting is: a name, a default, a meaning, and what may stand there. One value has one
//! form in all sources: the text of a flag or a variable is read exactly as a string of the file is,
//! so a secret made of digits stays text, and a list may be written with commas.

use figment::value::Value;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::num::NonZeroU32;

/// What may stand in a setting.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number of the unit, in a range.
    Number { unit: &'static str, from: u64, to: u64 },
    /// Text of this form.
    Text(&'static str),
    /// Text that is shown nowhere.
    Secret(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Texts of this form, separated by commas; in the file an array as well.
    List(&'static str),
}

#[derive(Debug)]
pub struct Setting {
    pub group: &'static str,
    pub name: &'static str,
    pub help: &'static str,
    pub default: Option<&'static str>,
    pub kind: Kind,
}

impl Setting {
    pub fn variable(&self) -> String {
        format!("CONVOKE_{}", self.name.to_uppercase())
    }

    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// What is expected here, for people.
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Number { unit, from, to } => format!("a whole number from {from} to {to} ({unit})"),
            Kind::Text(form) | Kind::Secret(form) => form.to_owned(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::List(form) => format!("a list of {form}"),
        }
    }

    /// Whether the number or the word is one of those allowed.
    pub fn allows(&self, text: &str) -> bool {
        match self.kind {
            Kind::Number { from, to, .. } => text.parse().is_ok_and(|number: u64| (from..=to).contains(&number)),
            Kind::Choice(words) => words.contains(&text),
            Kind::Text(_) | Kind::Secret(_) | Kind::List(_) => true,
        }
    }
}

/// The text of a value. The keys of the API may be an array in the file: they are joined as in a
/// variable.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.trim().to_owned()),
        Value::Num(_, number) => {
            number.to_i128().map(|n| n.to_string()).or_else(|| number.to_u128().map(|n| n.to_string()))
        }
        Value::Array(_, items) => {
            let texts: Option<Vec<String>> = items.iter().map(text_of).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

/// A type that settings have. `None`: the text is not of this type.
pub trait FromText: Sized {
    fn from_text(text: &str) -> Option<Self>;

    /// What the setting is when no source names it and it has no default.
    fn absent() -> Option<Self> {
        None
    }
}

macro_rules! parsed {
    ($($type:ty),*) => {
        $(impl FromText for $type {
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

parsed!(SocketAddr, String, usize, u32, u64, NonZeroU32);

impl FromText for SecretString {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned().into())
    }
}

impl FromText for Vec<String> {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }
}

impl<T: FromText> FromText for Option<T> {
    fn from_text(text: &str) -> Option<Self> {
        T::from_text(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}
