//! From layers to pixels: `zeno` says how much of each pixel a shape covers, and the colours are laid over each other (Porter-Duff `over`).

use zeno::{Cap, Fill, Join, Mask, Style, Transform};

use super::drawing::{GRID, Layer};

/// Red, green, blue and how opaque it is, not multiplied with it.
pub type Pixel = [u8; 4];

/// The pixels of a drawing, row by row.
pub fn draw(layers: &[Layer], size: u16) -> Vec<Pixel> {
    let mut pixels = vec![[0; 4]; usize::from(size) * usize::from(size)];
    for layer in layers {
        for (pixel, cover) in pixels.iter_mut().zip(coverage(layer, size)) {
            *pixel = over(*pixel, layer.colour, cover);
        }
    }
    pixels
}

/// How much of each pixel the shape covers, from 0 to 255.
fn coverage(layer: &Layer, size: u16) -> Vec<u8> {
    let scale = f32::from(size) / GRID;
    let style = match layer.stroke {
        None => Style::Fill(Fill::NonZero),
        Some(stroke) => {
            let mut style = zeno::Stroke::new(stroke.width);
            style.cap(if stroke.round_caps { Cap::Round } else { Cap::Butt });
            style.join(if stroke.round_joins { Join::Round } else { Join::Miter });
            Style::Stroke(style)
        }
    };
    // A line of no length with round ends is a dot (SVG 2 section 13.5.4), but not to zeno, which leaves it out.
    let path = layer.path.replace("h0", "h.01");
    let mut mask = Mask::new(path.as_str());
    mask.style(style).transform(Some(Transform::scale(scale, scale))).size(size.into(), size.into());
    mask.render().0
}

fn over([red, green, blue, alpha]: Pixel, colour: [u8; 3], cover: u8) -> Pixel {
    let (below, above) = (u32::from(alpha) * (255 - u32::from(cover)), u32::from(cover) * 255);
    let whole = below + above;
    if whole == 0 {
        return [0; 4];
    }
    let mix = |old: u8, new: u8| ((u32::from(old) * below + u32::from(new) * above + whole / 2) / whole) as u8;
    [mix(red, colour[0]), mix(green, colour[1]), mix(blue, colour[2]), ((whole + 127) / 255) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::icons::{
        drawing::{self, Stroke},
        themes::{State, Theme},
    };

    /// zeno leaves out the rest of a path that it can't read, such as a further arc without its letter.
    #[test]
    fn the_paths_of_all_drawings_are_read_to_their_ends() {
        for (theme, state) in Theme::ALL.into_iter().flat_map(|theme| State::ALL.map(|state| (theme, state))) {
            for layer in drawing::layers(theme.drawing(state)) {
                assert_eq!(zeno::validate_svg(&layer.path), Ok(()), "{theme:?} {state:?}: {}", layer.path);
            }
        }
    }

    /// A crescent is what a smaller disc leaves of a larger one: the one about the middle of the arc of 6.4, and the one of 5.2.
    #[test]
    fn the_icon_of_xa_is_a_crescent() {
        // Both circles go through (7.1, 1.7) and (14.3, 8.9), and so their middles lie on the line that halves that chord.
        let middle = |radius: f32, aside: f32| {
            let along = aside * ((radius * radius - 2.0 * 3.6 * 3.6) / 2.0).sqrt();
            (10.7 - along, 5.3 + along)
        };
        let (larger, smaller) = (middle(6.4, 1.0), middle(5.2, -1.0));
        for theme in Theme::ALL {
            // What is filled without its outline.
            let fill = drawing::layers(theme.drawing(State::Xa)).into_iter().rfind(|layer| layer.stroke.is_none());
            for size in [16, 48, 256] {
                let scale = f32::from(size) / GRID;
                for (place, cover) in coverage(fill.as_ref().unwrap(), size).into_iter().enumerate() {
                    let (x, y) = (place % usize::from(size), place / usize::from(size));
                    let (x, y) = ((x as f32 + 0.5) / scale, (y as f32 + 0.5) / scale);
                    // How far outside the larger disc or inside the smaller one, in pixels; a pixel at the edge may be either.
                    let distance = |(at_x, at_y): (f32, f32)| (x - at_x).hypot(y - at_y);
                    let outside = scale * (distance(larger) - 6.4).max(5.2 - distance(smaller));
                    let expected = if outside > 0.0 { 0 } else { 255 };
                    assert!(outside.abs() < 1.0 || cover == expected, "{theme:?} {size}: {cover} at {x} {y}");
                }
            }
        }
    }

    /// SVG 2 section 9.5: of the four arcs the flags choose one, a radius that is too small grows, and an ellipse may lean.
    #[test]
    fn arcs_are_those_of_svg() {
        for (arc, inside, outside) in [
            ("M4 8A5 5 0 0 0 12 8z", [(8.0, 9.7), (8.0, 8.3)], [(8.0, 10.3), (8.0, 7.5)]),
            ("M4 8A5 5 0 0 1 12 8z", [(8.0, 6.3), (8.0, 7.7)], [(8.0, 5.7), (8.0, 8.5)]),
            ("M4 8a5 5 0 1 0 8 0z", [(8.0, 15.7), (12.7, 11.0)], [(8.0, 7.5), (13.3, 11.0)]),
            ("M4 8a5 5 0 1 1 8 0z", [(8.0, 0.3), (3.3, 5.0)], [(8.0, 8.5), (2.7, 5.0)]),
            ("M4 8A1 1 0 0 1 12 8z", [(8.0, 4.3), (11.0, 6.0)], [(8.0, 3.7), (8.0, 8.5)]),
            ("M4 8A1 2 0 0 0 12 8z", [(8.0, 15.7), (11.0, 12.0)], [(8.0, 7.5), (12.0, 13.0)]),
            ("M4 4A8 3 45 0 1 12 12z", [(8.5, 7.5), (8.1, 7.8)], [(8.8, 7.2), (7.7, 8.3)]),
        ] {
            let mask = coverage(&Layer { path: arc.to_owned(), ..square([0; 3]) }, 256);
            let cover = |(x, y): (f32, f32)| mask[(y * 16.0) as usize * 256 + (x * 16.0) as usize];
            assert_eq!((inside.map(cover), outside.map(cover)), ([255; 2], [0; 2]), "{arc}");
        }
    }

    fn square(colour: [u8; 3]) -> Layer {
        Layer { path: "M4 4h8v8h-8z".to_owned(), colour, stroke: None }
    }

    #[test]
    fn a_shape_on_the_grid_has_no_soft_edge() {
        for size in [16, 32, 48, 256] {
            let pixels = draw(&[square([1, 2, 3])], size);
            let (edge, side) = (usize::from(size) / 4, usize::from(size));
            for (place, pixel) in pixels.iter().enumerate() {
                let within = |place: usize| (edge..side - edge).contains(&place);
                let expected = if within(place % side) && within(place / side) { [1, 2, 3, 255] } else { [0; 4] };
                assert_eq!(*pixel, expected, "{size}: {place}");
            }
        }
    }

    #[test]
    fn half_a_pixel_is_half_opaque() {
        let half = Layer { path: "M0 0h.5v16h-.5z".to_owned(), ..square([9, 9, 9]) };
        let pixel = draw(&[half], 16)[0];
        assert!(pixel[..3] == [9, 9, 9] && (126..=130).contains(&pixel[3]), "{pixel:?}");
    }

    #[test]
    fn a_later_shape_covers_an_earlier_one() {
        assert_eq!(over([10, 10, 10, 255], [200, 0, 10], 255), [200, 0, 10, 255]);
        assert_eq!(over([10, 10, 10, 255], [200, 0, 10], 0), [10, 10, 10, 255]);
        assert_eq!(over([0, 0, 0, 255], [255, 255, 255], 128), [128, 128, 128, 255]);
        assert_eq!(over([0; 4], [7, 8, 9], 51), [7, 8, 9, 51]);
    }

    /// The bubble has three.
    #[test]
    fn a_line_of_no_length_is_a_dot() {
        let stroke = Some(Stroke { width: 4.0, round_caps: true, round_joins: false });
        let dot = Layer { path: "M8 8h0".to_owned(), colour: [0; 3], stroke };
        let pixels = draw(&[dot], 16);
        assert_eq!((pixels[8 * 16 + 8][3], pixels[7 * 16 + 7][3], pixels[8 * 16 + 11][3]), (255, 255, 0));
    }
}
