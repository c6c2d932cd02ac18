//! How stories write the fields of methods: `name=value`, with strings, numbers, tables `{a=1}` and lists `[1 2]`.

/// A value as text notation has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Bool(bool),
    /// With the letter of its type in tables.
    Number(i64, char),
    Bytes(Vec<u8>),
    Table(Vec<(String, Item)>),
    Array(Vec<Item>),
    Void,
}

impl Item {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number, _) => number.to_string().into_bytes(),
            Self::Bool(bool) => bool.to_string().into_bytes(),
            other => panic!("{other:?} is no string"),
        }
    }

    pub(super) fn write_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(bool) => out.extend([b't', u8::from(*bool)]),
            Self::Number(number, 'I') => {
                out.push(b'I');
                out.extend((*number as i32).to_be_bytes());
            }
            Self::Number(number, kind) => {
                out.push(*kind as u8);
                let width = number_bytes(*kind);
                match kind {
                    'f' => out.extend((*number as f32).to_be_bytes()),
                    'd' => out.extend((*number as f64).to_be_bytes()),
                    // A scale of 0, then the number.
                    'D' => out.extend([&[0][..], &(*number as i32).to_be_bytes()].concat()),
                    _ => out.extend(number.to_be_bytes().iter().skip(8 - width)),
                }
            }
            Self::Bytes(bytes) => {
                out.push(b'S');
                out.extend((bytes.len() as u32).to_be_bytes());
                out.extend(bytes);
            }
            Self::Table(_) => {
                out.push(b'F');
                write_field(out, 'F', Some(self));
            }
            Self::Array(items) => {
                let mut inner = Vec::new();
                for item in items {
                    item.write_value(&mut inner);
                }
                out.push(b'A');
                out.extend((inner.len() as u32).to_be_bytes());
                out.extend(inner);
            }
            Self::Void => out.push(b'V'),
        }
    }
}

/// Bytes of a number in a table by the letter of its type.
pub(super) fn number_bytes(kind: char) -> usize {
    match kind {
        'b' | 'B' => 1,
        's' | 'u' => 2,
        'i' | 'I' | 'f' => 4,
        'D' => 5,
        _ => 8,
    }
}

pub(super) fn write_field(out: &mut Vec<u8>, kind: char, value: Option<&Item>) {
    let number = match value {
        Some(Item::Number(number, _)) => *number,
        _ => 0,
    };
    match kind {
        'B' => out.push(number as u8),
        'U' => out.extend((number as u16).to_be_bytes()),
        'I' => out.extend((number as u32).to_be_bytes()),
        'L' | 'T' => out.extend((number as u64).to_be_bytes()),
        's' => {
            let bytes = value.cloned().map(Item::into_bytes).unwrap_or_default();
            out.push(u8::try_from(bytes.len()).expect("a short string"));
            out.extend(bytes);
        }
        'S' => {
            let bytes = value.cloned().map(Item::into_bytes).unwrap_or_default();
            out.extend((bytes.len() as u32).to_be_bytes());
            out.extend(bytes);
        }
        'F' => {
            let mut inner = Vec::new();
            if let Some(Item::Table(pairs)) = value {
                for (name, value) in pairs {
                    inner.push(name.len() as u8);
                    inner.extend(name.as_bytes());
                    value.write_value(&mut inner);
                }
            }
            out.extend((inner.len() as u32).to_be_bytes());
            out.extend(inner);
        }
        other => panic!("field type {other}"),
    }
}

/// Text being read: `name=value` pairs, values as in tables.
pub(super) struct Text<'a> {
    pub(super) rest: &'a str,
}

impl Text<'_> {
    pub(super) fn pairs(&mut self) -> Vec<(String, Item)> {
        let mut pairs = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with('}') {
                return pairs;
            }
            let (name, rest) = self.rest.split_once('=').expect("name=value");
            self.rest = rest;
            pairs.push((name.to_owned(), self.value()));
        }
    }

    fn value(&mut self) -> Item {
        if let Some(rest) = self.rest.strip_prefix('"') {
            self.rest = rest;
            return Item::Bytes(self.string());
        }
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            let pairs = self.pairs();
            self.rest = self.rest.strip_prefix('}').expect("a table ends with }");
            return Item::Table(pairs);
        }
        if let Some(rest) = self.rest.strip_prefix('[') {
            self.rest = rest.trim_start();
            let mut items = Vec::new();
            while !self.rest.starts_with(']') {
                items.push(self.value());
                self.rest = self.rest.trim_start();
            }
            self.rest = &self.rest[1..];
            return Item::Array(items);
        }
        let end = self.rest.find([' ', '}', ']']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "true" => Item::Bool(true),
            "false" => Item::Bool(false),
            "void" => Item::Void,
            _ => number(word).unwrap_or_else(|| Item::Bytes(word.as_bytes().to_vec())),
        }
    }

    fn string(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return bytes;
                }
                '\\' => match chars.next().expect("an escape").1 {
                    'n' => bytes.push(b'\n'),
                    'r' => bytes.push(b'\r'),
                    't' => bytes.push(b'\t'),
                    'x' => {
                        let digits: String = chars.by_ref().take(2).map(|(_, digit)| digit).collect();
                        bytes.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
                    }
                    other => bytes.extend(other.to_string().as_bytes()),
                },
                other => bytes.extend(other.to_string().as_bytes()),
            }
        }
        panic!("a string ends with \"");
    }
}

fn number(word: &str) -> Option<Item> {
    let (digits, kind) = word.split_once(':').unwrap_or((word, "I"));
    let number = digits.parse().ok()?;
    if !"bBsuIilLTfdD".contains(kind) || kind.len() != 1 {
        return None;
    }
    let fits = i32::try_from(number).is_ok();
    Some(Item::Number(number, if kind == "I" && !fits { 'l' } else { kind.chars().next()? }))
}

/// All that a method in text gives, by field.
pub fn pairs(method: &str) -> Vec<(String, Item)> {
    method.split_once(' ').map_or_else(Vec::new, |(_, rest)| Text { rest }.pairs())
}

/// The value that a method in text gives a field, if it gives one.
pub fn given(method: &str, field: &str) -> Option<Item> {
    let (_, rest) = method.split_once(' ')?;
    take(&mut Text { rest }.pairs(), field)
}

pub(super) fn take(pairs: &mut Vec<(String, Item)>, name: &str) -> Option<Item> {
    let position = pairs.iter().position(|pair| pair.0 == name)?;
    Some(pairs.remove(position).1)
}
