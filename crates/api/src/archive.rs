//! Taking an archive out of a request while it arrives.
//!
//! `CreateFunction` and its like carry up to 50 MB of zip as base64 in the middle of a JSON document. A [`Scanner`]
//! reads the document part by part: the archive comes out decoded, the rest is kept, with an empty string in the
//! archive's place. It knows just enough JSON to find that string; what is not JSON is left to the parser of the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where the archive is: names of members, the outermost first.
pub type Path = &'static [&'static str];

/// The document cannot be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// What is beside the archive is longer than it may be.
    #[error("the document is too long")]
    TooLong,
    /// The archive is not base64.
    #[error("a blob is not valid base64")]
    NotBase64,
}

/// See the documentation of the module.
#[derive(Debug)]
pub struct Scanner {
    path: Path,
    /// Longest rest, in bytes.
    limit: usize,
    rest: Vec<u8>,
    place: Place,
    /// Objects and arrays around the current place.
    depth: usize,
    /// How many of them, from the outermost, are the objects of `path`.
    on_path: usize,
    /// The current object's member has the name that `path` wants here.
    named: bool,
    blob: Blob,
    had_archive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where a value may begin.
    Value,
    /// After `{` or `,` in an object of the path: where a name may begin.
    BeforeName,
    /// In such a name; whether all of it so far is as wanted, and where in `rest` it began.
    Name { begin: usize, escaped: bool },
    /// In any other string.
    Text { escaped: bool },
    /// In the archive.
    Archive,
    /// In the archive, after a backslash.
    Escape,
    /// In the archive, in the digits of `\u`; how many are left, and what they are so far.
    Unicode { left: u8, value: u32 },
}

impl Scanner {
    /// For an archive at `path`, beside which the document has at most `limit` bytes.
    pub fn new(path: Path, limit: usize) -> Self {
        Self {
            path,
            limit,
            rest: Vec::new(),
            place: Place::Value,
            depth: 0,
            on_path: 0,
            named: false,
            blob: Blob::default(),
            had_archive: false,
        }
    }

    /// Takes the next part of the document; what it has of the archive is appended to `archive`.
    ///
    /// # Errors
    /// See [`ScanError`]. The scanner is of no use after one.
    pub fn push(&mut self, part: &[u8], archive: &mut Vec<u8>) -> Result<(), ScanError> {
        let mut part = part;
        while let Some((&byte, after)) = part.split_first() {
            if self.place == Place::Archive {
                let plain = part.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(part.len());
                if plain > 0 {
                    let (text, after) = part.split_at(plain);
                    self.blob.push(text, archive)?;
                    part = after;
                    continue;
                }
            }
            self.byte(byte, archive)?;
            part = after;
        }
        Ok(())
    }

    /// Whether the archive has begun.
    pub fn had_archive(&self) -> bool {
        self.had_archive
    }

    /// The document without its archive. One that broke off inside the archive is left as no JSON.
    pub fn finish(self) -> Vec<u8> {
        self.rest
    }

    fn byte(&mut self, byte: u8, archive: &mut Vec<u8>) -> Result<(), ScanError> {
        match self.place {
            Place::Archive | Place::Escape | Place::Unicode { .. } => return self.in_archive(byte, archive),
            Place::Name { begin, escaped } => self.in_name(byte, begin, escaped),
            Place::Text { escaped } => {
                self.place = match byte {
                    _ if escaped => Place::Text { escaped: false },
                    b'\\' => Place::Text { escaped: true },
                    b'"' => Place::Value,
                    _ => self.place,
                };
            }
            Place::BeforeName if byte == b'"' => {
                self.place = Place::Name { begin: self.rest.len() + 1, escaped: false };
            }
            Place::Value | Place::BeforeName => self.outside(byte),
        }
        if self.rest.len() >= self.limit {
            return Err(ScanError::TooLong);
        }
        self.rest.push(byte);
        Ok(())
    }

    /// Between strings.
    fn outside(&mut self, byte: u8) {
        match byte {
            b'"' if self.named && self.on_path == self.path.len() && !self.had_archive => {
                self.had_archive = true;
                self.named = false;
                self.place = Place::Archive;
            }
            b'"' => {
                self.named = false;
                self.place = Place::Text { escaped: false };
            }
            b'{' => {
                let is_next = self.depth == self.on_path && (self.depth == 0 || self.named);
                if is_next && self.on_path < self.path.len() {
                    self.on_path += 1;
                }
                self.depth += 1;
                self.enter();
            }
            b'[' => {
                self.depth += 1;
                self.enter();
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.on_path = self.on_path.min(self.depth);
                self.named = false;
                self.place = Place::Value;
            }
            b',' => self.enter(),
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            // A number or the like.
            _ => self.named = false,
        }
    }

    /// What comes next is a name if this is an object of the path.
    fn enter(&mut self) {
        self.named = false;
        let is_object_of_path = self.depth > 0 && self.depth == self.on_path;
        self.place = if is_object_of_path { Place::BeforeName } else { Place::Value };
    }

    fn in_name(&mut self, byte: u8, begin: usize, escaped: bool) {
        match byte {
            _ if escaped => self.place = Place::Name { begin, escaped: false },
            b'\\' => self.place = Place::Name { begin, escaped: true },
            b'"' => {
                let wanted = self.on_path.checked_sub(1).and_then(|at| self.path.get(at));
                self.named = wanted.is_some_and(|name| self.rest.get(begin..) == Some(name.as_bytes()));
                self.place = Place::Value;
            }
            _ => {}
        }
    }

    fn in_archive(&mut self, byte: u8, archive: &mut Vec<u8>) -> Result<(), ScanError> {
        match (self.place, byte) {
            (Place::Archive, b'"') => {
                self.blob.end()?;
                self.rest.push(b'"');
                self.place = Place::Value;
            }
            (Place::Archive, b'\\') => self.place = Place::Escape,
            // The two characters of base64 that some encoders escape: / and +.
            (Place::Escape, b'/') => {
                self.blob.push(b"/", archive)?;
                self.place = Place::Archive;
            }
            (Place::Escape, b'u') => self.place = Place::Unicode { left: 4, value: 0 },
            (Place::Unicode { left, value }, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(ScanError::NotBase64)?;
                let value = value * 16 + digit;
                if left > 1 {
                    self.place = Place::Unicode { left: left - 1, value };
                } else {
                    let byte = u8::try_from(value).map_err(|_| ScanError::NotBase64)?;
                    self.blob.push(&[byte], archive)?;
                    self.place = Place::Archive;
                }
            }
            _ => return Err(ScanError::NotBase64),
        }
        Ok(())
    }
}

/// base64 that comes in parts.
#[derive(Debug, Default)]
struct Blob {
    /// Fewer than four characters.
    pending: Vec<u8>,
    /// A group with padding has been decoded, so nothing may follow.
    is_over: bool,
}

impl Blob {
    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
        let missing = (4 - self.pending.len()) % 4;
        let (head, text) = text.split_at(missing.min(text.len()));
        self.pending.extend_from_slice(head);
        if self.pending.len() == 4 {
            let group = std::mem::take(&mut self.pending);
            self.decode(&group, out)?;
        }
        let (groups, tail) = text.split_at(text.len() / 4 * 4);
        self.decode(groups, out)?;
        self.pending.extend_from_slice(tail);
        Ok(())
    }

    fn decode(&mut self, groups: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
        let Some(last) = groups.last() else { return Ok(()) };
        if self.is_over {
            return Err(ScanError::NotBase64);
        }
        self.is_over = *last == b'=';
        STANDARD.decode_vec(groups, out).map_err(|_| ScanError::NotBase64)
    }

    fn end(&self) -> Result<(), ScanError> {
        if self.pending.is_empty() { Ok(()) } else { Err(ScanError::NotBase64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Path = &["Code", "ZipFile"];

    fn scan(path: Path, parts: &[&[u8]]) -> Result<(String, Option<Vec<u8>>), ScanError> {
        let mut scanner = Scanner::new(path, 4096);
        let mut archive = Vec::new();
        for part in parts {
            scanner.push(part, &mut archive)?;
        }
        let had_archive = scanner.had_archive();
        Ok((String::from_utf8(scanner.finish()).unwrap(), had_archive.then_some(archive)))
    }

    /// The same however the document is cut into three parts.
    fn scan_cut(path: Path, text: &str) -> Result<(String, Option<Vec<u8>>), ScanError> {
        let whole = scan(path, &[text.as_bytes()]);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let bytes = text.as_bytes();
                let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(scan(path, &parts), whole, "{text} cut at {first} and {second}");
            }
        }
        whole
    }

    fn archive(path: Path, text: &str) -> Option<Vec<u8>> {
        scan_cut(path, text).unwrap().1
    }

    #[test]
    fn the_archive_comes_out_and_the_rest_stays() {
        let (rest, archive) =
            scan_cut(CODE, r#"{"Code":{"ZipFile":"aGVsbG8="},"Tags":{"ZipFile":"x"}}"#).unwrap();
        assert_eq!(rest, r#"{"Code":{"ZipFile":""},"Tags":{"ZipFile":"x"}}"#);
        assert_eq!(archive.unwrap(), b"hello");
        let (rest, archive) =
            scan_cut(&["ZipFile"], "{ \"DryRun\" : true,\n\"ZipFile\" : \"AAEC\" }").unwrap();
        assert_eq!(rest, "{ \"DryRun\" : true,\n\"ZipFile\" : \"\" }");
        assert_eq!(archive.unwrap(), [0, 1, 2]);
    }

    #[test]
    fn only_the_string_at_the_path_is_the_archive() {
        for text in [
            r#"{"ZipFile":"AAEC"}"#,
            r#"{"code":{"ZipFile":"AAEC"}}"#,
            r#"{"Code":[{"ZipFile":"AAEC"}]}"#,
            r#"{"Code":{"Code":{"ZipFile":"AAEC"}}}"#,
            r#"{"Tags":{"Code":{"ZipFile":"AAEC"}}}"#,
            r#"{"Code":{"S3Key":"ZipFile","ZipFile":null}}"#,
            r#"{"Code":{"ZipFile":["AAEC"]}}"#,
            r#"{"Code":{"ZipFile":{"ZipFile":"AAEC"}}}"#,
            r#"{"Code":1,"ZipFile":"AAEC"}"#,
            r#"[{"Code":{"ZipFile":"AAEC"}}]"#,
            r#"{"Description":"\",\"Code\":{\"ZipFile\":\"AAEC","Code":{}}"#,
            r#"{"Code":{"Zip\u0046ile":"AAEC"}}"#,
            r#""Code""#,
            "",
            "}}]],{{",
        ] {
            assert_eq!(scan_cut(CODE, text).unwrap(), (text.to_owned(), None), "{text}");
        }
        // A second one is left for the parser to refuse.
        let (rest, archive) = scan_cut(CODE, r#"{"Code":{"ZipFile":"AAEC","ZipFile":"AAEC"}}"#).unwrap();
        assert_eq!(
            (rest.as_str(), archive.unwrap().len()),
            (r#"{"Code":{"ZipFile":"","ZipFile":"AAEC"}}"#, 3)
        );
    }

    #[test]
    fn encoders_may_escape_what_base64_has() {
        assert_eq!(archive(&["ZipFile"], r#"{"ZipFile":"+\/\u002b\u002F"}"#).unwrap(), [0xfb, 0xff, 0xbf]);
        assert_eq!(archive(&["ZipFile"], r#"{"ZipFile":""}"#).unwrap(), b"");
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["AAE", "AAEC=", "A===", "AA==AAEC", "AA\\nEC", "AA EC", "\\u00e4AEC", "\\u12", "AA_C"] {
            let text = format!("{{\"ZipFile\":\"{text}\"}}");
            assert_eq!(scan_cut(&["ZipFile"], &text), Err(ScanError::NotBase64), "{text}");
        }
    }

    #[test]
    fn the_rest_is_bounded_and_the_archive_is_not() {
        let long = "A".repeat(8192);
        let archive = scan(CODE, &[format!(r#"{{"Code":{{"ZipFile":"{long}"}}}}"#).as_bytes()]).unwrap().1;
        assert_eq!(archive.unwrap().len(), 6144);
        let text = format!(r#"{{"Description":"{long}"}}"#);
        assert_eq!(scan(CODE, &[text.as_bytes()]), Err(ScanError::TooLong));
    }
}
