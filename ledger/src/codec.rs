//! The primitive shapes of a row's body: little-endian integers, and bytes and text behind their length.
//!
//! Reading never panics and never allocates more than the input holds; a value has exactly one encoding.

use crate::keys::checked_text;

/// Why bytes are not a body of this schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not readable at byte {at} of the body")]
pub(crate) struct Malformed {
    /// The field that could not be read.
    pub what: &'static str,
    /// Where in the body, counted from 0.
    pub at: usize,
}

/// Appends fields to a body.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// The bits of an IEEE 754 double, for declared figures that are only compared and printed.
    pub(crate) fn f64(&mut self, value: f64) -> &mut Self {
        self.u64(value.to_bits())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A `u32` count of elements or bytes; staged entries are bounded far below its range.
    pub(crate) fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).expect("limits of the entry types keep counts below 2^32"))
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.blob(text.as_bytes())
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }
}

/// Takes fields from a body, in order.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Ends the reading: bytes left over are an error, so that no two bodies mean the same.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.malformed("end of the body")) }
    }

    pub(crate) const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }

    pub(crate) fn raw(&mut self, what: &'static str, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(Malformed { what, at: self.at })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(what, N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn f64(&mut self, what: &'static str) -> Result<f64, Malformed> {
        Ok(f64::from_bits(self.u64(what)?))
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed(what)),
        }
    }

    /// A count of elements that take at least `element_bytes` each, so that a wild count cannot make the
    /// reader allocate more than the body holds.
    pub(crate) fn count(&mut self, what: &'static str, element_bytes: usize) -> Result<usize, Malformed> {
        let count = self.u32(what)? as usize;
        let left = self.bytes.len() - self.at;
        match count.checked_mul(element_bytes) {
            Some(needed) if needed <= left => Ok(count),
            _ => Err(self.malformed(what)),
        }
    }

    pub(crate) fn list<T>(
        &mut self,
        what: &'static str,
        element_bytes: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.count(what, element_bytes)?;
        (0..count).map(|_| element(self)).collect()
    }

    pub(crate) fn blob(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let length = self.count(what, 1)?;
        self.raw(what, length)
    }

    pub(crate) fn text(&mut self, what: &'static str, bytes_max: usize) -> Result<String, Malformed> {
        let at = self.at;
        let bytes = self.blob(what)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed { what, at })?;
        checked_text(what, text.to_owned(), bytes_max).map_err(|_| Malformed { what, at })
    }
}
