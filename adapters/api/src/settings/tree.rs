//! The values of a configuration file, which remember where they stood.

/// A value of the configuration file and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Byte offset in the file.
    pub at: usize,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A date or time, which no option of ours is.
    Moment(String),
    /// A list.
    Array(Vec<Node>),
    /// Keys and values.
    Table(Table),
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Moment(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Keys in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Byte offset of the header, or of the brace.
    pub at: usize,
    /// Each key, the offset of the key itself, and its value.
    pub entries: Vec<(String, usize, Node)>,
}
