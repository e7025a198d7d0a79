//! A pickle read as data: no object is built and no function is called. What is not known stays opaque.

use std::collections::HashMap;
use std::rc::Rc;

/// A value of a pickle.
#[derive(Clone, Debug)]
pub enum Value {
    /// None, and everything of no interest.
    Opaque,
    /// An integer.
    Int(i64),
    /// Text.
    Str(Rc<str>),
    /// A tuple or list.
    List(Rc<std::cell::RefCell<Vec<Self>>>),
    /// A dict or OrderedDict.
    Dict(Rc<std::cell::RefCell<Vec<(Self, Self)>>>),
    /// `module.name`.
    Global(Rc<str>),
    /// What a persistent id names.
    Storage(Rc<StorageId>),
    /// A tensor over a storage.
    Tensor(Rc<TensorRef>),
}

/// A torch storage.
#[derive(Clone, Debug)]
pub struct StorageId {
    /// `torch.FloatStorage`.
    pub kind: String,
    /// Its key: the file name under `data/`.
    pub key: String,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub struct TensorRef {
    /// The storage.
    pub storage: Rc<StorageId>,
    /// First element.
    pub offset: usize,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// In elements.
    pub stride: Vec<usize>,
}

/// What is wrong with a pickle.
pub type Wrong = String;

impl Value {
    fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(std::cell::RefCell::new(items)))
    }

    fn dict() -> Self {
        Self::Dict(Rc::default())
    }

    /// An integer that is a size.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    fn sizes(&self) -> Option<Vec<usize>> {
        match self {
            Self::List(items) => items.borrow().iter().map(Self::size).collect(),
            _ => None,
        }
    }

    fn items(&self) -> Vec<Self> {
        match self {
            Self::List(items) => items.borrow().clone(),
            _ => Vec::new(),
        }
    }
}

/// Reads one pickle at the start of `bytes`; also returns how many bytes it took.
///
/// # Errors
/// A sentence, for damaged pickles and opcodes that torch never writes.
pub fn read(bytes: &[u8]) -> Result<(Value, usize), Wrong> {
    Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    }
    .run()
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl Machine<'_> {
    fn run(mut self) -> Result<(Value, usize), Wrong> {
        loop {
            let op = self.take(1)?.first().copied().unwrap_or(0);
            match op {
                0x80 => drop(self.take(1)?), // PROTO
                0x95 => drop(self.take(8)?), // FRAME
                b'.' => {
                    let value = self.pop()?;
                    return Ok((value, self.at));
                }
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let top = self.stack.last().cloned().ok_or("empty stack")?;
                    self.stack.push(top);
                }
                b'N' => self.stack.push(Value::Opaque),
                0x88 => self.stack.push(Value::Opaque),
                0x89 => self.stack.push(Value::Opaque),
                b'J' => {
                    let v = i32::from_le_bytes(self.array()?);
                    self.stack.push(Value::Int(v.into()));
                }
                b'K' => {
                    let v = self.array::<1>()?[0];
                    self.stack.push(Value::Int(v.into()));
                }
                b'M' => {
                    let v = u16::from_le_bytes(self.array()?);
                    self.stack.push(Value::Int(v.into()));
                }
                0x8a => self.long1()?,
                b'G' => {
                    let _ = self.array::<8>()?;
                    self.stack.push(Value::Opaque);
                }
                b'I' | b'L' => {
                    let line = self.line()?;
                    let value = match line.trim_end_matches('L') {
                        "01" | "00" if op == b'I' => Value::Opaque, // True and False
                        digits => digits.parse().map_or(Value::Opaque, Value::Int),
                    };
                    self.stack.push(value);
                }
                b'X' => {
                    let n = u32::from_le_bytes(self.array()?) as usize;
                    self.text(n)?;
                }
                0x8c => {
                    let n = self.array::<1>()?[0].into();
                    self.text(n)?;
                }
                b'T' | b'B' => {
                    let n = u32::from_le_bytes(self.array()?) as usize;
                    self.text(n)?;
                }
                b'U' | b'C' => {
                    let n = self.array::<1>()?[0].into();
                    self.text(n)?;
                }
                b'}' => self.stack.push(Value::dict()),
                b']' | b')' | 0x8f => self.stack.push(Value::list(Vec::new())),
                b't' | b'l' => {
                    let items = self.pop_mark()?;
                    self.stack.push(Value::list(items));
                }
                0x85..=0x87 => {
                    let n = usize::from(op - 0x84);
                    let from = self.stack.len().checked_sub(n).ok_or("short stack")?;
                    let items = self.stack.split_off(from);
                    self.stack.push(Value::list(items));
                }
                b'd' => {
                    let items = self.pop_mark()?;
                    self.stack.push(Value::dict());
                    self.set_items(items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(vec![key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(items)?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.stack
                        .push(Value::Global(format!("{module}.{name}").into()));
                }
                0x93 => {
                    let name = self.pop()?;
                    let module = self.pop()?;
                    let global = match (module, name) {
                        (Value::Str(module), Value::Str(name)) => {
                            Value::Global(format!("{module}.{name}").into())
                        }
                        _ => Value::Opaque,
                    };
                    self.stack.push(global);
                }
                b'R' | 0x81 => {
                    let arguments = self.pop()?;
                    let callee = self.pop()?;
                    self.stack.push(reduce(&callee, &arguments)?);
                }
                0x92 => {
                    let _keywords = self.pop()?;
                    let _arguments = self.pop()?;
                    let _class = self.pop()?;
                    self.stack.push(Value::Opaque);
                }
                b'b' => drop(self.pop()?), // BUILD: the state of an object of no interest
                b'Q' => {
                    let id = self.pop()?;
                    self.stack.push(storage(&id)?);
                }
                b'q' => {
                    let slot = self.array::<1>()?[0].into();
                    self.put(slot)?;
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.put(slot)?;
                }
                0x94 => {
                    let slot = self.memo.len() as u32;
                    self.put(slot)?;
                }
                b'h' => {
                    let slot = self.array::<1>()?[0].into();
                    self.get(slot)?;
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.get(slot)?;
                }
                other => {
                    return Err(format!(
                        "pickle opcode 0x{other:02x} is not one that torch writes"
                    ));
                }
            }
        }
    }

    fn take(&mut self, n: usize) -> Result<&[u8], Wrong> {
        let end = self.at.checked_add(n).ok_or("a length overflows")?;
        let bytes = self
            .bytes
            .get(self.at..end)
            .ok_or("the pickle ends early")?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        self.take(N)?
            .try_into()
            .map_err(|_| "the pickle ends early".to_owned())
    }

    fn line(&mut self) -> Result<String, Wrong> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let n = rest
            .iter()
            .position(|b| *b == b'\n')
            .ok_or("a line does not end")?;
        let line = String::from_utf8_lossy(rest.get(..n).unwrap_or_default()).into_owned();
        self.at += n + 1;
        Ok(line)
    }

    fn text(&mut self, n: usize) -> Result<(), Wrong> {
        let text: Rc<str> = String::from_utf8_lossy(self.take(n)?).into();
        self.stack.push(Value::Str(text));
        Ok(())
    }

    fn long1(&mut self) -> Result<(), Wrong> {
        let n = self.array::<1>()?[0].into();
        let bytes = self.take(n)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        let value = if bytes.len() <= 8 {
            for (to, from) in wide.iter_mut().zip(bytes) {
                *to = *from;
            }
            Value::Int(i64::from_le_bytes(wide))
        } else {
            // torch's magic number of the legacy format is longer than 64 bits.
            Value::Str(
                bytes
                    .iter()
                    .rev()
                    .map(|b| format!("{b:02x}"))
                    .collect::<String>()
                    .into(),
            )
        };
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, Wrong> {
        self.stack.pop().ok_or_else(|| "empty stack".to_owned())
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>, Wrong> {
        let mark = self
            .marks
            .pop()
            .filter(|mark| *mark <= self.stack.len())
            .ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), Wrong> {
        if let Value::List(list) = self.stack.last().ok_or("empty stack")? {
            list.borrow_mut().extend(items);
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), Wrong> {
        if let Value::Dict(dict) = self.stack.last().ok_or("empty stack")? {
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                dict.borrow_mut().push((key, value));
            }
        }
        Ok(())
    }

    fn put(&mut self, slot: u32) -> Result<(), Wrong> {
        let top = self.stack.last().cloned().ok_or("empty stack")?;
        let _ = self.memo.insert(slot, top);
        Ok(())
    }

    fn get(&mut self, slot: u32) -> Result<(), Wrong> {
        let value = self
            .memo
            .get(&slot)
            .cloned()
            .ok_or("an unknown memo slot")?;
        self.stack.push(value);
        Ok(())
    }
}

/// What a call would give, for the few functions torch uses; everything else is opaque.
fn reduce(callee: &Value, arguments: &Value) -> Result<Value, Wrong> {
    let Value::Global(name) = callee else {
        return Ok(Value::Opaque);
    };
    let items = arguments.items();
    Ok(match &**name {
        "collections.OrderedDict" => Value::dict(),
        "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => {
            let (Some(Value::Storage(storage)), Some(offset), Some(shape), Some(stride)) = (
                items.first(),
                items.get(1).and_then(Value::size),
                items.get(2).and_then(Value::sizes),
                items.get(3).and_then(Value::sizes),
            ) else {
                return Err("a tensor is described in an unknown way".to_owned());
            };
            if shape.len() != stride.len() {
                return Err("a tensor has more dimensions than strides".to_owned());
            }
            Value::Tensor(Rc::new(TensorRef {
                storage: storage.clone(),
                offset,
                shape,
                stride,
            }))
        }
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            items.first().cloned().unwrap_or(Value::Opaque)
        }
        _ => Value::Opaque,
    })
}

/// `("storage", kind, key, location, count, ...)`.
fn storage(id: &Value) -> Result<Value, Wrong> {
    let items = id.items();
    match (
        items.get(1),
        items.get(2),
        items.get(4).and_then(Value::size),
    ) {
        (Some(Value::Global(kind)), Some(Value::Str(key)), Some(_)) => {
            Ok(Value::Storage(Rc::new(StorageId {
                kind: kind.to_string(),
                key: key.to_string(),
            })))
        }
        _ => Err("a storage is described in an unknown way".to_owned()),
    }
}

/// A pickled list of dicts as rows of text, numbers in digits: what PathVQA publishes. Other values are left out.
///
/// # Errors
/// It is damaged, or no list of dicts.
pub fn rows(bytes: &[u8]) -> Result<Vec<std::collections::BTreeMap<String, String>>, Wrong> {
    let (root, _) = read(bytes)?;
    let Value::List(items) = &root else {
        return Err("it is no list".to_owned());
    };
    let row = |item: &Value| {
        let Value::Dict(pairs) = item else {
            return Err("an entry is no dict".to_owned());
        };
        let cell = |(key, value): &(Value, Value)| match (key, value) {
            (Value::Str(key), Value::Str(value)) => Some((key.to_string(), value.to_string())),
            (Value::Str(key), Value::Int(value)) => Some((key.to_string(), value.to_string())),
            _ => None,
        };
        Ok(pairs.borrow().iter().filter_map(cell).collect())
    };
    items.borrow().iter().map(row).collect()
}

/// The tensors of a checkpoint dict by name: at the top, or under `state_dict`; nested dicts are joined with dots.
pub fn tensors(root: &Value) -> Vec<(String, Rc<TensorRef>)> {
    let mut out = Vec::new();
    let Value::Dict(top) = root else { return out };
    let inner = top
        .borrow()
        .iter()
        .find_map(|(key, value)| match (key, value) {
            (Value::Str(key), Value::Dict(_)) if &**key == "state_dict" => Some(value.clone()),
            _ => None,
        });
    collect("", &inner.unwrap_or_else(|| root.clone()), 0, &mut out);
    out
}

fn collect(prefix: &str, value: &Value, depth: usize, out: &mut Vec<(String, Rc<TensorRef>)>) {
    let Value::Dict(items) = value else { return };
    if depth > 8 {
        return; // also ends a dict that holds itself
    }
    for (key, value) in items.borrow().iter() {
        let Value::Str(key) = key else { continue };
        let name = if prefix.is_empty() {
            key.to_string()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Tensor(tensor) => out.push((name, tensor.clone())),
            Value::Dict(_) => collect(&name, value, depth + 1, out),
            _ => {}
        }
    }
}
