"""Small trees of pictures in the layout of cats and dogs: reddish cats, bluish dogs."""

import numpy as np
from PIL import Image


def write_trainset(folder, num_of_each=30, size=64):
    """`trainset/Cat/1.Cat.png` … and `trainset/Dog/1.Dog.png` … in `folder`; returns the trainset."""
    rng = np.random.default_rng(0)
    for name, color in (("Cat", (200, 40, 40)), ("Dog", (40, 40, 200))):
        (folder / "trainset" / name).mkdir(parents=True)
        for n in range(1, num_of_each + 1):
            noise = rng.integers(-40, 41, (size, size, 3))
            picture = Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8))
            picture.save(folder / "trainset" / name / f"{n}.{name}.png", compress_level=0)
    return folder / "trainset"
