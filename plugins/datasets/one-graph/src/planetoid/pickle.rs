//! As much of Python's pickle format as arrays, compressed rows and dictionaries of lists need.
//!
//! Nothing is called and nothing made but plain values: a class is a name, and an object is that name
//! with its arguments and its state. Every instruction makes at most one value, so a file cannot ask
//! for more memory than in proportion to its length.

use std::collections::HashMap;

/// Place of a value among all that were made.
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
}

impl<'a> Pickle<'a> {
    /// # Errors
    /// What is not a pickle, is cut off, or holds other things than arrays, dictionaries and lists.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine = Machine { rest: bytes, ..Machine::default() };
        loop {
            if let Some(root) = machine.step()? {
                return Ok(Self { items: machine.items, root });
            }
        }
    }

    pub(super) fn item(&self, id: Id) -> &Item<'a> {
        &self.items[id]
    }

    /// The name of the class of an object; empty for other values.
    pub(super) fn class(&self, id: Id) -> &'a str {
        match self.item(id) {
            Item::Object { class, .. } => match self.item(*class) {
                Item::Global(name) => name,
                _ => "",
            },
            _ => "",
        }
    }

    pub(super) fn whole(&self, id: Id) -> Option<i64> {
        match self.item(id) {
            Item::Whole(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn bytes(&self, id: Id) -> Option<&'a [u8]> {
        match self.item(id) {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.item(id) {
            Item::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A dictionary from whole numbers to lists of whole numbers.
    pub(super) fn lists(&self) -> Result<Vec<(u64, Vec<u64>)>, String> {
        let wrong = || "it is not a dictionary from nodes to lists of their neighbours".to_owned();
        let (Item::Dict(entries) | Item::Object { entries, .. }) = self.item(self.root) else {
            return Err(wrong());
        };
        let node = |id: Id| self.whole(id).and_then(|v| u64::try_from(v).ok()).ok_or_else(wrong);
        let row = |&(key, list): &(Id, Id)| {
            let Item::List(items) = self.item(list) else { return Err(wrong()) };
            Ok((node(key)?, items.iter().map(|&id| node(id)).collect::<Result<_, _>>()?))
        };
        entries.iter().map(row).collect()
    }
}

/// Runs the instructions of a pickle.
#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    items: Vec<Item<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl<'a> Machine<'a> {
    /// One instruction; the result at the last.
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
            // BINBYTES, BINUNICODE, BINBYTES8, BINUNICODE8
            b'U' | b'C' | 0x8c => self.string(1)?,
            b'T' | b'B' | b'X' => self.string(4)?,
            0x8e | 0x8d => self.string(8)?,
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

    /// A length or a small number: `n` bytes, not negative.
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

    #[test]
    fn a_dictionary_of_lists_is_read() {
        // pickle.dumps({0: [1, 300], 1: []}, protocol=2)
        let bytes = b"\x80\x02}q\x00(K\x00]q\x01(K\x01M,\x01eK\x01]q\x02u.";
        let lists = Pickle::read(bytes).unwrap().lists().unwrap();
        assert_eq!(lists, [(0, vec![1, 300]), (1, Vec::new())]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |bytes: &[u8]| match Pickle::read(bytes) {
            Err(error) => error,
            Ok(pickle) => pickle.lists().unwrap_err(),
        };
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
