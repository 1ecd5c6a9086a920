//! Pixels as a file.

use std::collections::HashMap;

use super::raster::Pixel;

/// The pixels as PNG (third edition). Its chunks are few and simple; a library for all of them would take more of the memory that every loaded
/// version has to itself than everything else here together.
///
/// A drawing has few colours and the steps between them, so that a pixel is mostly an index (section 11.2.2); more than 256 are written as they are.
pub fn png(pixels: &[Pixel], size: u16) -> Vec<u8> {
    let indexed = indexed(pixels);
    let (colour_type, bytes, width) = match &indexed {
        Some((_, indices)) => (3, indices.as_slice(), 1),
        None => (6, pixels.as_flattened(), 4),
    };
    let mut header = [u32::from(size).to_be_bytes(), u32::from(size).to_be_bytes()].concat();
    // Eight bits, what they are; and of compression, filters and interlacing the only one or none.
    header.extend([8, colour_type, 0, 0, 0]);
    let row = usize::from(size) * width;
    let compressed = [Filter::None, Filter::Up].map(|filter| fdeflate::compress_to_vec(&filtered(bytes, row, filter)));
    let [plain, up] = &compressed;
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    chunk(&mut file, *b"IHDR", &header);
    if let Some((colours, _)) = &indexed {
        chunk(
            &mut file,
            *b"PLTE",
            &colours.iter().flat_map(|colour| [colour[0], colour[1], colour[2]]).collect::<Vec<_>>(),
        );
        chunk(&mut file, *b"tRNS", &colours.iter().map(|colour| colour[3]).collect::<Vec<_>>());
    }
    chunk(&mut file, *b"IDAT", if up.len() < plain.len() { up } else { plain });
    chunk(&mut file, *b"IEND", &[]);
    file
}

/// The colours, the most frequent first, and the place of each pixel's; `None`: there are more than 256.
fn indexed(pixels: &[Pixel]) -> Option<(Vec<Pixel>, Vec<u8>)> {
    let mut counts = HashMap::new();
    pixels.iter().for_each(|pixel| *counts.entry(*pixel).or_insert(0) += 1);
    let mut colours: Vec<Pixel> = counts.keys().copied().collect();
    // The second makes it the same order every time.
    colours.sort_by_key(|colour| (std::cmp::Reverse(counts[colour]), *colour));
    if colours.len() > 256 {
        return None;
    }
    let places: HashMap<_, _> = colours.iter().zip(0..=u8::MAX).collect();
    let indices = pixels.iter().map(|pixel| places[pixel]).collect();
    Some((colours, indices))
}

/// How a row is written (section 9.2): as it is, or as what it has more than the one above it.
#[derive(Clone, Copy)]
enum Filter {
    None = 0,
    Up = 2,
}

fn filtered(pixels: &[u8], length: usize, filter: Filter) -> Vec<u8> {
    let (mut bytes, mut above) = (Vec::with_capacity(pixels.len() + pixels.len() / length), vec![0; length]);
    for row in pixels.chunks_exact(length) {
        bytes.push(filter as u8);
        bytes.extend(row.iter().zip(&above).map(|(byte, above)| byte.wrapping_sub(*above)));
        if matches!(filter, Filter::Up) {
            above.copy_from_slice(row);
        }
    }
    bytes
}

/// A chunk (section 5.3): length, type, data, and the CRC of the last two.
fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(data);
    file.extend(crc32fast::hash(&file[start..]).to_be_bytes());
}

/// The pixels as GIF. There a pixel is either seen or not: a drawing has an edge in the colour of the page that it is meant for, and the cut
/// falls outside of it.
pub fn gif(pixels: &[Pixel], size: u16) -> Vec<u8> {
    let (palette, indices) = palette(pixels);
    let mut file = Vec::new();
    let frame =
        gif::Frame { width: size, height: size, buffer: indices.into(), transparent: Some(0), ..gif::Frame::default() };
    let written =
        gif::Encoder::new(&mut file, size, size, &palette).and_then(|mut encoder| encoder.write_frame(&frame));
    written.expect("memory takes any picture");
    file
}

/// The colours, of which the first stands for what can't be seen, and the one of each pixel. A drawing has few colours and the steps between
/// them; with 32 steps a channel they are far fewer than a GIF has room for, and should they be more, the rest takes the last.
fn palette(pixels: &[Pixel]) -> (Vec<u8>, Vec<u8>) {
    let mut palette = vec![0; 3];
    let mut known = HashMap::new();
    let mut index = |pixel: &Pixel| {
        if pixel[3] < 128 {
            return 0;
        }
        let colour = [pixel[0], pixel[1], pixel[2]].map(coarse);
        *known.entry(colour).or_insert_with(|| {
            if palette.len() < 256 * 3 {
                palette.extend(colour);
            }
            (palette.len() / 3 - 1) as u8
        })
    };
    let indices = pixels.iter().map(&mut index).collect();
    (palette, indices)
}

/// The nearest of 32 steps, black and white among them.
fn coarse(channel: u8) -> u8 {
    let step = (u16::from(channel) * 31 + 127) / 255;
    (step * 255 / 31) as u8
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::icons::{
        drawing, raster,
        themes::{State, Theme},
    };

    fn every_picture() -> impl Iterator<Item = (u16, Vec<Pixel>)> {
        let drawings = Theme::ALL.into_iter().flat_map(|theme| State::ALL.map(|state| theme.drawing(state)));
        drawings.flat_map(|file| [16, 33, 48].map(|size| (size, raster::draw(&drawing::layers(file), size))))
    }

    #[test]
    fn a_png_is_read_back_as_drawn() {
        for (size, pixels) in every_picture() {
            let file = png(&pixels, size);
            let mut decoder = png::Decoder::new(Cursor::new(&file));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().unwrap();
            let mut read = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut read).unwrap();
            assert_eq!((info.width, info.height), (size.into(), size.into()));
            assert_eq!(read, pixels.as_flattened());
        }
    }

    #[test]
    fn more_colours_than_a_palette_holds_are_written_as_they_are() {
        let pixels: Vec<Pixel> = (0..32 * 32u32).map(|number| [number as u8, (number >> 8) as u8, 7, 200]).collect();
        assert!(indexed(&pixels).is_none() && indexed(&pixels[..256]).is_some());
        let file = png(&pixels, 32);
        let mut reader = png::Decoder::new(Cursor::new(&file)).read_info().unwrap();
        let mut read = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut read).unwrap();
        assert_eq!(read, pixels.as_flattened());
    }

    /// They are on pages many times over.
    #[test]
    fn files_are_small() {
        for (size, pixels) in every_picture() {
            let (png, gif) = (png(&pixels, size).len(), gif(&pixels, size).len());
            let most = 600 + usize::from(size) * usize::from(size);
            assert!(png <= most && gif <= most, "{size}: {png} and {gif} bytes");
        }
    }

    #[test]
    fn a_gif_is_read_back_as_near_as_its_steps() {
        for (size, pixels) in every_picture() {
            let file = gif(&pixels, size);
            let mut options = gif::DecodeOptions::new();
            options.set_color_output(gif::ColorOutput::RGBA);
            let mut decoder = options.read_info(Cursor::new(&file)).unwrap();
            let frame = decoder.read_next_frame().unwrap().unwrap();
            assert_eq!((frame.width, frame.height), (size, size));
            for (read, drawn) in frame.buffer.chunks_exact(4).zip(&pixels) {
                assert_eq!(read[3] == 255, drawn[3] >= 128);
                let near = read.iter().zip(drawn).take(3).all(|(read, drawn)| read.abs_diff(*drawn) <= 9);
                assert!(near || drawn[3] < 128, "{read:?} {drawn:?}");
            }
        }
    }

    #[test]
    fn the_steps_reach_black_and_white() {
        assert_eq!([0, 255, 1, 254].map(coarse), [0, 255, 0, 255]);
        assert!((0..=255).all(|channel| coarse(channel).abs_diff(channel) <= 5));
    }
}
