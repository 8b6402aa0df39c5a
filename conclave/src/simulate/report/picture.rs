//! A grey image as a PNG inside the page.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// A data URI of `values`, row by row; 0 is white paper and `darkest` is black. `None` unless `values` fill the shape.
pub(super) fn data_uri(values: &[f32], (height, width): (u32, u32), darkest: f32) -> Option<String> {
    let pixels = u64::from(height) * u64::from(width);
    if pixels == 0 || pixels > PIXELS_MAX || values.len() as u64 != pixels {
        return None;
    }
    let mut scanlines = Vec::new();
    for row in values.chunks(width as usize) {
        scanlines.push(NO_FILTER);
        scanlines.extend(row.iter().map(|&value| grey(value, darkest)));
    }
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let data = zlib.write_all(&scanlines).and_then(|()| zlib.finish()).ok()?;
    let mut png = SIGNATURE.to_vec();
    let mut header = [height.to_be_bytes(), width.to_be_bytes()];
    header.reverse();
    let header = [header.as_flattened(), &[8, GREY, 0, 0, 0]].concat();
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"IDAT", &data);
    chunk(&mut png, *b"IEND", &[]);
    Some(format!("data:image/png;base64,{}", base64(&png)))
}

fn grey(value: f32, darkest: f32) -> u8 {
    let share = if darkest > 0.0 { (value / darkest).clamp(0.0, 1.0) } else { 0.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 255 fits into a byte"
    )]
    let ink = (share * 255.0).round() as u8;
    255 - ink
}

/// Length, kind, data, CRC-32 over kind and data (PNG, section 5.3).
fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("an image of PIXELS_MAX fits");
    png.extend(length.to_be_bytes());
    png.extend(kind);
    png.extend(data);
    let mut crc = flate2::Crc::new();
    crc.update(&kind);
    crc.update(data);
    png.extend(crc.sum().to_be_bytes());
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= group.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    text
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
const GREY: u8 = 0;
const NO_FILTER: u8 = 0;
/// More would make the page heavy; no data set that we know needs it.
const PIXELS_MAX: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_vectors_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn values_that_do_not_fill_the_shape_make_no_picture() {
        assert!(data_uri(&[0.0; 5], (2, 3), 1.0).is_none());
        assert!(data_uri(&[], (0, 0), 1.0).is_none());
        assert!(data_uri(&[0.0; 6], (2, 3), 0.0).unwrap().starts_with("data:image/png;base64,iVBORw0KGgo"));
    }

    #[test]
    fn more_ink_is_darker() {
        assert_eq!([0.0, 8.0, 16.0, 99.0, -1.0].map(|value| grey(value, 16.0)), [255, 127, 0, 0, 255]);
    }
}
