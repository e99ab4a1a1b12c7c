"""Words of every edit that training never uses: for evaluation alone.

None can be reached from a training one (`phrases.py`) by dropping words that carry no meaning, nor by another order of
the words that do: training drops such words at random (`training/wording.py`).
"""

from __future__ import annotations

HELD_OUT: dict[str, tuple[str, ...]] = {
    "black_and_white": (
        "without any color only black and white",
        "make everything in this photo gray",
        "i want no colors in this picture only gray",
    ),
    "sepia": (
        "make it look like a brown old photo",
        "give it a vintage brown look",
        "like a sepia photograph from long ago",
    ),
    "night": (
        "make it look like midnight",
        "take this picture at night in the dark",
        "change it from day to a dark night",
    ),
    "sunset": (
        "make it an orange sunset",
        "show it in the evening sun",
        "give the scene warm sunset light",
    ),
    "negative": (
        "show it with all colors inverted",
        "swap dark and light like on a film negative",
        "make dark parts light and light parts dark",
    ),
    "thermal": (
        "show the heat like an infrared camera",
        "view it with a heat camera",
        "make it look like a picture of heat",
    ),
    "cyberpunk": (
        "make the colors cyberpunk",
        "a futuristic cyberpunk night",
        "paint it in magenta and teal like cyberpunk",
    ),
    "snow": (
        "make it a snowy day",
        "put a layer of snow on the ground",
        "show this place in a cold winter with snow",
    ),
    "fog": (
        "make it a foggy morning",
        "fill the scene with mist",
        "hide it behind thick fog",
    ),
    "rain": (
        "make the rain fall",
        "show heavy rain and wet streets",
        "i want a rainy storm here",
    ),
    "autumn": (
        "turn the leaves to autumn colors",
        "make it an autumn day",
        "give all the leaves the red and orange of fall",
    ),
    "spring": (
        "make the trees blossom",
        "turn it into a spring day",
        "put pink cherry flowers on the trees",
    ),
    "desert": (
        "bury the scene in desert sand",
        "make a dry desert with sand everywhere",
        "turn the ground into sand dunes",
    ),
    "underwater": (
        "put it at the bottom of the ocean",
        "show it deep under the water",
        "make it look like it is deep in the sea",
    ),
    "fire": (
        "make it look like it burns",
        "let flames burn all over it",
        "the whole place should be on fire",
    ),
    "pencil_sketch": (
        "draw this scene with a gray pencil",
        "show it as if drawn by hand",
        "make a pencil sketch by hand of this",
    ),
    "oil_painting": (
        "paint it as an oil painting",
        "make it a thick oil paint canvas",
        "like a monet painting in oil",
    ),
    "watercolor": (
        "paint this picture in soft watercolor",
        "make it soft like a watercolor painting",
        "a watercolor drawing of this scene",
    ),
    "cartoon": (
        "make it an animated cartoon",
        "make it a page of a comic book",
        "draw everything like in a cartoon movie",
    ),
    "pop_art": (
        "paint it as pop art in bold colors",
        "a warhol print",
        "make a bright pop art picture like warhol",
    ),
    "wooden_statue": (
        "make them look like statues of wood",
        "make it look carved from wood",
        "everything should be made of brown wood",
    ),
    "marble_statue": (
        "make them look like statues of marble",
        "make it look carved from white marble",
        "everything should be made of white stone",
    ),
    "blueprint": (
        "draw it as a blueprint",
        "make an architect blueprint with white lines",
        "white lines on a blue technical drawing",
    ),
    "neon_lights": (
        "draw it with neon lights",
        "make it a glowing neon sign",
        "turn all the edges into bright neon",
    ),
    "green_to_red": (
        "change the green parts to red",
        "all that is green should become red",
        "give the green things a red color",
    ),
    "green_to_purple": (
        "change the green parts to purple",
        "all that is green should become purple",
        "give the green things a purple color",
    ),
    "red_to_blue": (
        "change the red parts to blue",
        "all that is red should become blue",
        "give the red things a blue color",
    ),
    "red_to_green": (
        "change the red parts to green",
        "all that is red should become green",
        "give the red things a green color",
    ),
    "blue_to_orange": (
        "change the blue parts to orange",
        "all that is blue should become orange",
        "give the blue things an orange color",
    ),
    "yellow_to_pink": (
        "change the yellow parts to pink",
        "all that is yellow should become pink",
        "give the yellow things a pink color",
    ),
    "only_red": (
        "keep only red in color",
        "make everything black and white but red",
        "take away all colors that are not red",
    ),
}
