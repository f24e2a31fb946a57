"""Letters of several alphabets as small pictures: many classes with a few items each."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold")  # carried by matplotlib
ALPHABETS = ((0x41, 0x5B), (0x61, 0x7B), (0x386, 0x3CF), (0x400, 0x460), (0x531, 0x557), (0x561, 0x587))
ITEMS, SIDE, DRAWN = 20, 16, 48


def glyphs() -> tuple[Tensor, Tensor, str]:
    """Letters of four alphabets in [-1, 1] (20 a class, 1, 16, 16), turned and sheared at random, and their classes.

    Letters that look the same in the first font, as A and Alpha do, are one class.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(folder / f"{name}.ttf", DRAWN * 2 // 3) for name in FONTS]
    letters = [chr(code) for first, last in ALPHABETS for code in range(first, last) if chr(code).isalpha()]
    upright = {_drawn(letter, fonts[0], (0.0, 0.0, 0.0)).numpy().tobytes(): letter for letter in letters}
    generator = torch.Generator().manual_seed(0)
    classes = sorted(upright.values())
    changes = torch.randn(len(classes), ITEMS, 3, generator=generator).clamp(-2, 2) * 0.12
    images = [
        _drawn(letter, fonts[k % len(fonts)], tuple(changes[number, k].tolist()))
        for number, letter in enumerate(classes)
        for k in range(ITEMS)
    ]
    labels = torch.arange(len(classes)).repeat_interleave(ITEMS)
    return torch.stack(images), labels, "DejaVu fonts (Bitstream Vera licence, changes public domain); from matplotlib"


def _drawn(letter: str, font: ImageFont.FreeTypeFont, change: tuple[float, ...]) -> Tensor:
    """The letter (1, 16, 16) in [-1, 1], white on black, about its middle turned, sheared and scaled by `change`."""
    picture = Image.new("L", (DRAWN, DRAWN))
    ImageDraw.Draw(picture).text((DRAWN / 2, DRAWN / 2), letter, 255, font, anchor="mm")
    turn, shear, scale = change
    a, b, c, d = 1 + scale, shear - turn, turn, 1 + scale
    x, y = (DRAWN / 2 * (1 - one - other) for one, other in ((a, b), (c, d)))
    moved = picture.transform(picture.size, Image.Transform.AFFINE, (a, b, x, c, d, y), Image.Resampling.BILINEAR)
    levels = np.asarray(moved.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    return torch.from_numpy(levels / 127.5 - 1)[None]
