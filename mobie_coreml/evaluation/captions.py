"""What a picture shows before and after every edit, for scores that compare pictures with captions."""

from __future__ import annotations

CAPTIONS: dict[str, tuple[str, str]] = {
    "black_and_white": ("a color photo", "a black and white photo"),
    "sepia": ("a photo", "a sepia photo"),
    "night": ("a photo taken by day", "a photo taken at night"),
    "sunset": ("a photo", "a photo at sunset"),
    "negative": ("a photo", "a color negative of a photo"),
    "thermal": ("a photo", "an image from a thermal camera"),
    "cyberpunk": ("a photo", "a photo in cyberpunk colors"),
    "snow": ("a photo", "a photo in the snow"),
    "fog": ("a photo", "a photo in thick fog"),
    "rain": ("a photo", "a photo in the rain"),
    "autumn": ("a photo", "a photo in autumn"),
    "spring": ("a photo", "a photo in spring with cherry blossom"),
    "desert": ("a photo", "a photo of a desert"),
    "underwater": ("a photo", "an underwater photo"),
    "fire": ("a photo", "a photo of a fire"),
    "pencil_sketch": ("a photo", "a pencil sketch"),
    "oil_painting": ("a photo", "an oil painting"),
    "watercolor": ("a photo", "a watercolor painting"),
    "cartoon": ("a photo", "a cartoon"),
    "pop_art": ("a photo", "a pop art print"),
    "wooden_statue": ("a photo", "a wooden statue"),
    "marble_statue": ("a photo", "a marble statue"),
    "blueprint": ("a photo", "a blueprint"),
    "neon_lights": ("a photo", "a drawing in neon lights"),
    "green_to_red": ("a photo of green things", "a photo of red things"),
    "green_to_purple": ("a photo of green things", "a photo of purple things"),
    "red_to_blue": ("a photo of red things", "a photo of blue things"),
    "red_to_green": ("a photo of red things", "a photo of green things"),
    "blue_to_orange": ("a photo of blue things", "a photo of orange things"),
    "yellow_to_pink": ("a photo of yellow things", "a photo of pink things"),
    "only_red": ("a color photo", "a black and white photo where only red things have color"),
}
"""By the edit's name: the caption of the source and that of the edited picture."""
