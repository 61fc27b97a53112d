//! How clients are to encode what they publish. One table, handed out with the credentials, so that a
//! product changes its mind here and not in each of its clients. LiveKit itself does not enforce it.
//!
//! A screen is mostly still, and its text must stay readable: sharpness goes before smoothness, and a
//! lower layer gives up frames before it gives up pixels. A film is the opposite. A camera is shown
//! small to most who see it, so its layers are halves of each other, as LiveKit chooses among them.

use serde::Serialize;

/// One encoding of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    pub width: u32,
    pub height: u32,
    pub frames_per_s: u32,
    pub bits_per_s: u32,
}

/// A kind of track: its best encoding, and those below it that are sent beside it (simulcast).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Preset {
    #[serde(flatten)]
    pub best: Layer,
    pub layers: &'static [Layer],
    /// For `MediaStreamTrack.contentHint`: what the encoder is to keep when it cannot keep all.
    pub content_hint: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Presets {
    pub camera: Preset,
    pub screen_window: Preset,
    pub screen_text: Preset,
    pub screen_motion: Preset,
}

const fn layer(width: u32, height: u32, frames_per_s: u32, kbits_per_s: u32) -> Layer {
    Layer { width, height, frames_per_s, bits_per_s: kbits_per_s * 1_000 }
}

pub const PRESETS: Presets = Presets {
    // 720p is as much as a tile of a grid or a speaker's view shows; a quarter and a sixteenth of its
    // pixels are for grids of four and of twenty.
    camera: Preset {
        best: layer(1280, 720, 30, 1_700),
        layers: &[layer(640, 360, 20, 450), layer(320, 180, 15, 160)],
        content_hint: "motion",
    },
    // One window: text and buttons with some scrolling. Ten frames follow a pointer; 720 lines below,
    // because a window seldom fills the screen.
    screen_window: Preset {
        best: layer(1920, 1080, 10, 1_500),
        layers: &[layer(1280, 720, 5, 500)],
        content_hint: "detail",
    },
    // A whole desktop with small text: the sharpest, at five frames, with bits to spare for the moment
    // in which everything changes. Below it the pixels stay above 720 lines, and frames go.
    screen_text: Preset {
        best: layer(2560, 1440, 5, 2_500),
        layers: &[layer(1600, 900, 3, 600)],
        content_hint: "text",
    },
    // A film or an animation: thirty frames at 1080 lines take twice the bits; blur in motion is not seen.
    screen_motion: Preset {
        best: layer(1920, 1080, 30, 5_000),
        layers: &[layer(1280, 720, 30, 2_000), layer(640, 360, 15, 500)],
        content_hint: "motion",
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_layers_are_smaller_and_cheaper_and_of_the_same_shape() {
        for preset in [PRESETS.camera, PRESETS.screen_window, PRESETS.screen_text, PRESETS.screen_motion] {
            let all: Vec<Layer> = std::iter::once(preset.best).chain(preset.layers.iter().copied()).collect();
            assert!((2..=3).contains(&all.len()), "LiveKit has three layers at most");
            for pair in all.windows(2) {
                let (better, lower) = (pair[0], pair[1]);
                assert!(lower.width < better.width && lower.frames_per_s <= better.frames_per_s);
                assert!(lower.bits_per_s < better.bits_per_s / 2, "{lower:?} saves too little");
                assert_eq!(lower.width * better.height, better.width * lower.height);
            }
        }
    }

    #[test]
    fn text_is_sharper_than_film_and_film_smoother_than_text() {
        let (text, motion) = (PRESETS.screen_text.best, PRESETS.screen_motion.best);
        assert!(text.height > motion.height && text.frames_per_s < motion.frames_per_s);
        let lowest = PRESETS.screen_text.layers.last().unwrap();
        assert!(lowest.height >= 720, "text cannot be read below");
    }

    #[test]
    fn they_are_flat_on_the_wire() {
        let shown = serde_json::to_value(PRESETS).unwrap();
        assert_eq!(shown["camera"]["width"], 1280);
        assert_eq!(shown["camera"]["layers"][0]["bits_per_s"], 450_000);
        assert_eq!(shown["screen_text"]["content_hint"], "text");
    }
}
