"""A folder in Broden's layout, small enough to be read by eye, with every peculiarity of the real one."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.broden import write_mask

HEIGHT, WIDTH = 4, 6

TABLES = {
    "category.csv": """name,first,last,count,frequency
color,1,1,1,3
object,2,300,3,6
part,2,3,2,2
scene,5,5,1,2
texture,6,7,2,3
""",
    # Columns in another order than Broden's, and one that nobody knows.
    "label.csv": """name,number,category,remark
-,0,,
red-c,1,color(3),
wheel,2,part(9);object(1),
tree,3,object(4);part(1),
street-s,5,scene(2),
dotted,6,texture(2),
striped,7,texture(1),
car,300,object(3),
""",
    "c_color.csv": "code,number,name,frequency,coverage\n1,1,red-c,3,2.5\n",
    # A wheel is a part more often, and covers more as an object; a tree covers the same as both.
    "c_object.csv": """code,number,name,frequency,coverage
1,3,tree,4,1.5
2,300,car,3,9.25
3,2,wheel,1,4.5
""",
    "c_part.csv": "code,number,name,frequency,coverage\n1,2,wheel,9,4.25\n2,3,tree,1,1.5\n",
    "c_scene.csv": "code,number,name,frequency,coverage\n1,5,street-s,2,2.0\n",
    "c_texture.csv": "code,number,name,frequency,coverage\n1,6,dotted,2,2.0\n2,7,striped,1,1.0\n",
    "index.csv": """image,split,ih,iw,sh,sw,texture,color,object,part,scene
a/0.png,train,8,8,4,6,,a/0_color.png,a/0_object.png,,5
a/1.png,val,8,8,4,6,7;6,,,,0
a/2.png,train,8,8,4,6,,a/2_color.png,a/2_object_1.png;a/2_object_2.png,2;a/2_part.png,
a/3.jpg,val,5,7,4,6,,,a/3_object.png,,5
a/4.png,train,8,8,4,6,6,,,,
""",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with five annotated images, which a test may change."""
    folder = tmp_path / "broden"
    (folder / "images" / "a").mkdir(parents=True)
    for name, content in TABLES.items():
        (folder / name).write_text(content)
    generator = np.random.default_rng(7)
    for row in csv.DictReader((folder / "index.csv").open()):
        pixels = generator.integers(0, 256, (int(row["ih"]), int(row["iw"]), 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / row["image"])
        for category, members in {"color": [0, 1], "object": [0, 2, 3, 300], "part": [0, 2, 3]}.items():
            for token in row[category].split(";"):
                if token.endswith(".png"):
                    write_mask(folder / "images" / token, generator.choice(members, (HEIGHT, WIDTH)))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's cache folder of a test, an empty one."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder
