//! A subset of Python's pickle format, sufficient for arrays, compressed rows and dictionaries of
//! lists.
//!
//! Nothing is called, and only plain values are created: a class is a name, and an object is that
//! name with its arguments and its state. Every instruction creates at most one value, and repeated
//! references share values, so memory use is proportional to the length of the file.

use std::borrow::Cow;
use std::collections::HashMap;

use batchlab_core::MemoryBudget;
use batchlab_core::memory::OverBudget;
use batchlab_npz::{Values, decode};

/// Index into all created values.
pub(super) type Id = usize;

#[derive(Debug)]
pub(super) enum Item<'a> {
    None,
    Whole(i64),
    Bytes(&'a [u8]),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function, without its module: modules were renamed in newer versions.
    Global(&'a str),
    Object {
        class: Id,
        arguments: Id,
        state: Option<Id>,
        entries: Vec<(Id, Id)>,
    },
}

/// A value as a tree of items.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    items: Vec<Item<'a>>,
    pub(super) root: Id,
    /// Bytes reserved from the budget.
    n_byte: u64,
    memory: MemoryBudget,
}

/// Maximum bytes per instruction: an item, its slots on the stack, in a list and in the memo, while
/// these grow.
const STEP_BYTES: u64 = 320;
/// Number of instructions per memory reservation.
const N_STEP: u64 = 4096;

impl Drop for Pickle<'_> {
    fn drop(&mut self) {
        self.memory.give_back(self.n_byte);
    }
}

pub(super) fn over(over: &OverBudget) -> String {
    format!("{over}; {}", over.remedy())
}

impl<'a> Pickle<'a> {
    /// # Errors
    /// If the input is not a pickle, is truncated, holds anything but arrays, dictionaries and
    /// lists, or exceeds the memory budget.
    pub(super) fn read(bytes: &'a [u8], memory: &MemoryBudget) -> Result<Self, String> {
        let mut machine = Machine { rest: bytes, ..Machine::default() };
        let mut pickle = Self { items: Vec::new(), root: 0, n_byte: 0, memory: memory.clone() };
        for n_step in 0_u64.. {
            if n_step.is_multiple_of(N_STEP) {
                let n_byte = N_STEP.min(machine.rest.len() as u64) * STEP_BYTES;
                memory.take(n_byte, "its values").map_err(|error| over(&error))?;
                pickle.n_byte += n_byte;
            }
            if let Some(root) = machine.step()? {
                (pickle.items, pickle.root) = (machine.items, root);
                break;
            }
        }
        Ok(pickle)
    }

    pub(super) fn item(&self, id: Id) -> &Item<'a> {
        &self.items[id]
    }

    /// The class name of an object; empty for other values.
    pub(super) fn class(&self, id: Id) -> &'a str {
        match self.item(id) {
            Item::Object { class, .. } => match self.item(*class) {
                Item::Global(name) => name,
                _ => "",
            },
            _ => "",
        }
    }

    /// The arguments of an object of that class.
    pub(super) fn arguments(&self, id: Id, class: &str) -> Option<&[Id]> {
        match self.item(id) {
            Item::Object { arguments, .. } if self.class(id) == class => self.tuple(*arguments),
            _ => None,
        }
    }

    /// A Python or `NumPy` integer.
    pub(super) fn whole(&self, id: Id) -> Option<i64> {
        if let Item::Whole(value) = self.item(id) {
            return Some(*value);
        }
        let [kind, data] = *self.arguments(id, "scalar")? else { return None };
        match decode(&self.kind(kind)?, &self.bytes(data)?) {
            Ok(Values::Integer(values)) => values.first().copied(),
            _ => None,
        }
    }

    /// A numeric type: an object of `dtype` with the state (version, byte order, ...).
    pub(super) fn kind(&self, id: Id) -> Option<String> {
        let name = self.bytes(*self.arguments(id, "dtype")?.first()?)?;
        let order = self.bytes(*self.state(id)?.get(1)?)?;
        Some(String::from_utf8_lossy(&[order, name].concat()).into_owned())
    }

    pub(super) fn state(&self, id: Id) -> Option<&[Id]> {
        match self.item(id) {
            Item::Object { state: Some(state), .. } => self.tuple(*state),
            _ => None,
        }
    }

    /// Bytes or text. Protocol 2 has no bytes, so Python 3 writes them as Latin-1 text to be
    /// encoded.
    pub(super) fn bytes(&self, id: Id) -> Option<Cow<'a, [u8]>> {
        if let Item::Bytes(bytes) = self.item(id) {
            return Some(Cow::Borrowed(bytes));
        }
        if self.arguments(id, "bytes").is_some_and(<[Id]>::is_empty) {
            return Some(Cow::Borrowed(&[]));
        }
        let text = *self.arguments(id, "encode")?.first()?;
        let Item::Bytes(text) = self.item(text) else { return None };
        let text = std::str::from_utf8(text).ok()?;
        text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<_>>().map(Cow::Owned)
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.item(id) {
            Item::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A dictionary from integers to lists: each key with its list, which other keys may share.
    pub(super) fn lists(&self) -> Result<Vec<(u64, &[Id])>, String> {
        let (Item::Dict(entries) | Item::Object { entries, .. }) = self.item(self.root) else {
            return Err(no_lists());
        };
        let row = |&(key, list): &(Id, Id)| match self.item(list) {
            Item::List(items) => Ok((self.node(key)?, items.as_slice())),
            _ => Err(no_lists()),
        };
        entries.iter().map(row).collect()
    }

    pub(super) fn node(&self, id: Id) -> Result<u64, String> {
        self.whole(id).and_then(|value| u64::try_from(value).ok()).ok_or_else(no_lists)
    }
}

fn no_lists() -> String {
    "it is not a dictionary from nodes to lists of their neighbours".into()
}

/// Executes the instructions of a pickle.
#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    items: Vec<Item<'a>>,
    stack: Vec<Id>,
    /// Stack heights at marks.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
    /// Executes one instruction; returns the result at the last one.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let code = self.number(1)? as u8;
        match code {
            // PROTO, FRAME
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'.' => return self.pop().map(Some),
            b'N' => self.push(Item::None),
            0x88 => self.push(Item::Whole(1)),
            0x89 => self.push(Item::Whole(0)),
            b'K' => self.whole(1)?,
            b'M' => self.whole(2)?,
            b'J' => {
                let value = self.number(4)? as u32;
                self.push(Item::Whole(i64::from(value.cast_signed())));
            }
            // LONG1: little-endian, two's complement
            0x8a => {
                let n = self.number(1)?;
                let bytes = self.take(n)?;
                let mut wide =
                    [if bytes.last().is_some_and(|last| *last >= 128) { 255 } else { 0 }; 8];
                if n > 8 {
                    return Err("it holds a number of more than 64 bits".into());
                }
                wide[..n].copy_from_slice(bytes);
                self.push(Item::Whole(i64::from_le_bytes(wide)));
            }
            // Strings and bytes: SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE, BINSTRING,
            // BINBYTES, BINUNICODE, BINBYTES8, BINUNICODE8, BYTEARRAY8
            b'U' | b'C' | 0x8c => self.string(1)?,
            b'T' | b'B' | b'X' => self.string(4)?,
            0x8e | 0x8d | 0x96 => self.string(8)?,
            b'c' => {
                self.line()?;
                let name = self.line()?;
                self.push(Item::Global(name));
            }
            0x93 => {
                let name = self.pop()?;
                self.pop()?;
                let Item::Bytes(name) = self.items[name] else { return Err(damaged()) };
                let name = std::str::from_utf8(name).map_err(|_| damaged())?;
                self.push(Item::Global(name));
            }
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push(Item::Tuple(Vec::new())),
            b']' => self.push(Item::List(Vec::new())),
            b'}' => self.push(Item::Dict(Vec::new())),
            0x85..=0x87 => {
                let n = usize::from(code - 0x84);
                let at = self.stack.len().checked_sub(n).ok_or_else(damaged)?;
                let items = self.stack.split_off(at);
                self.push(Item::Tuple(items));
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Item::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            // REDUCE, NEWOBJ
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                let entries = Vec::new();
                self.push(Item::Object { class, arguments, state: None, entries });
            }
            b'b' => {
                let given = self.pop()?;
                let Item::Object { state, .. } = self.top()? else { return Err(damaged()) };
                *state = Some(given);
            }
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let id = *self.stack.last().ok_or_else(damaged)?;
                self.memo.insert(self.memo.len(), id);
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            _ => {
                return Err(format!(
                    "it is not one of Planetoid's pickles: instruction 0x{code:02x} is none that \
                     arrays, dictionaries and lists need"
                ));
            }
        }
        Ok(None)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or("it is cut off; copy it again")?;
        self.rest = rest;
        Ok(taken)
    }

    /// A non-negative length or small number of `n` bytes.
    fn number(&mut self, n: usize) -> Result<usize, String> {
        let bytes = self.take(n)?;
        Ok(bytes.iter().rev().fold(0, |sum, &byte| (sum << 8) | usize::from(byte)))
    }

    fn whole(&mut self, n: usize) -> Result<(), String> {
        let value = self.number(n)? as i64;
        self.push(Item::Whole(value));
        Ok(())
    }

    fn string(&mut self, n: usize) -> Result<(), String> {
        let length = self.number(n)?;
        let bytes = self.take(length)?;
        self.push(Item::Bytes(bytes));
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let n = self.rest.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let line = std::str::from_utf8(self.take(n)?).map_err(|_| damaged())?;
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, item: Item<'a>) {
        self.stack.push(self.items.len());
        self.items.push(item);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(damaged)
    }

    fn top(&mut self) -> Result<&mut Item<'a>, String> {
        let id = *self.stack.last().ok_or_else(damaged)?;
        Ok(&mut self.items[id])
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or_else(damaged)?))
    }

    fn append(&mut self, more: Vec<Id>) -> Result<(), String> {
        let Item::List(items) = self.top()? else { return Err(damaged()) };
        items.extend(more);
        Ok(())
    }

    fn set(&mut self, more: &[Id]) -> Result<(), String> {
        let (Item::Dict(entries) | Item::Object { entries, .. }) = self.top()? else {
            return Err(damaged());
        };
        let (pairs, rest) = more.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(damaged());
        }
        entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn remember(&mut self, n: usize) -> Result<(), String> {
        let place = self.number(n)?;
        let id = *self.stack.last().ok_or_else(damaged)?;
        self.memo.insert(place, id);
        Ok(())
    }

    fn recall(&mut self, n: usize) -> Result<(), String> {
        let place = self.number(n)?;
        let id = *self.memo.get(&place).ok_or_else(damaged)?;
        self.stack.push(id);
        Ok(())
    }
}

fn damaged() -> String {
    "its instructions do not fit each other; copy the file again".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(bytes: &[u8]) -> Result<Vec<(u64, Vec<u64>)>, String> {
        let pickle = Pickle::read(bytes, &MemoryBudget::default())?;
        let nodes = |ids: &[Id]| ids.iter().map(|&id| pickle.node(id)).collect::<Result<_, _>>();
        pickle.lists()?.into_iter().map(|(key, ids)| Ok((key, nodes(ids)?))).collect()
    }

    #[test]
    fn a_dictionary_of_lists_is_read() {
        // pickle.dumps({0: [1, 300], 1: []}, protocol=2)
        let bytes = b"\x80\x02}q\x00(K\x00]q\x01(K\x01M,\x01eK\x01]q\x02u.";
        assert_eq!(lists(bytes), Ok(vec![(0, vec![1, 300]), (1, Vec::new())]));
        let memory = MemoryBudget::new(1 << 20);
        drop(Pickle::read(bytes, &memory).unwrap());
        assert_eq!(memory.left(), 1 << 20);
        let refused = Pickle::read(bytes, &MemoryBudget::new(1000)).unwrap_err();
        assert!(refused.starts_with("its values would take"), "{refused}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |bytes: &[u8]| lists(bytes).unwrap_err();
        assert!(error(b"").contains("cut off"));
        assert!(error(b"\x80\x02}q\x00(K").contains("cut off"));
        assert!(error(b"\x80\x02K\x01.").contains("not a dictionary"));
        assert!(error(b"\x80\x02}K\xff\x00s.").contains("instruction 0x00"));
        assert!(error(b"e.").contains("do not fit"));
        assert!(error(b"}(K\x01u.").contains("do not fit"));
        assert!(error(b"h\x05.").contains("do not fit"));
        assert!(error(b"(K\x01)\x87\x87\x87.").contains("do not fit"));
        assert!(error(b"U\xffabc").contains("cut off"));
    }
}
