"""The user's folders of images."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from lowerbound.data import load, read
from lowerbound.errors import ConfigurationError, DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def save(folder, images, suffix="png", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{i}.{suffix}", **options)
    return folder


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "PNG"])
def test_grey_images_keep_one_channel(tmp_path, suffix):
    data = read(save(tmp_path / "im", GREY, suffix))
    np.testing.assert_array_equal(data.x[:, 0], GREY)
    assert data.name == "im"
    assert data.kind == "grey"
    assert data.labels is None


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff"])
def test_colour_images_have_three_channels_first(tmp_path, suffix):
    data = read(save(tmp_path, COLOUR, suffix))
    np.testing.assert_array_equal(data.x, np.moveaxis(COLOUR, 3, 1))


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {"quality": 95}), ("webp", {})])
def test_lossy_images(tmp_path, suffix, options):
    flat = np.full((2, 16, 16, 3), 100, np.uint8)
    data = read(save(tmp_path, flat, suffix, **options))
    assert data.x.shape == (2, 3, 16, 16)
    assert (data.x.float() - 100).abs().max() < 6


def test_grey_among_colour_becomes_colour(tmp_path):
    save(tmp_path, COLOUR[:2])
    Image.fromarray(GREY[0]).save(tmp_path / "z.png")
    data = read(tmp_path)
    assert data.x.shape == (3, 3, 5, 4)
    np.testing.assert_array_equal(data.x[2], np.stack([GREY[0]] * 3))


def test_other_modes(tmp_path):
    Image.fromarray(GREY[0] > 127).save(tmp_path / "a.png")
    Image.fromarray(GREY[1]).convert("P").save(tmp_path / "b.png")
    alpha = np.dstack([GREY[2], np.where(GREY[2] > 99, 255, 0)]).astype(np.uint8)
    Image.fromarray(alpha).save(tmp_path / "c.png")
    x = read(tmp_path).x
    np.testing.assert_array_equal(x[0, 0], np.where(GREY[0] > 127, 255, 0))
    np.testing.assert_array_equal(x[1, 0], GREY[1])
    np.testing.assert_array_equal(x[2, 0], np.where(GREY[2] > 99, GREY[2], 255))


def test_transparent_colour_lies_on_white(tmp_path):
    pixels = np.zeros((2, 5, 4, 4), np.uint8)
    pixels[0, ..., 3] = 255
    x = read(save(tmp_path, pixels)).x
    assert (x[0] == 0).all()
    assert (x[1] == 255).all()


def test_coloured_palette(tmp_path):
    image = Image.fromarray(GREY[0] % 4, mode=None).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save(tmp_path / "a.png")
    x = read(tmp_path).x
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])
    np.testing.assert_array_equal(x[0], np.moveaxis(colours[GREY[0] % 4], 2, 0))


def test_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, :8] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    x = read(tmp_path).x
    assert x.shape == (1, 1, 16, 8)
    assert x[0, 0, :8].min() > 200
    assert x[0, 0, 8:].max() < 50


def test_one_folder_per_class(tmp_path):
    save(tmp_path / "cat", GREY[:4])
    save(tmp_path / "ant", GREY[4:])
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("ignored")
    data = read(tmp_path)
    assert data.classes == ("ant", "cat")
    assert data.labels.tolist() == [0, 0, 1, 1, 1, 1]
    np.testing.assert_array_equal(data.x[:, 0], GREY[[4, 5, 0, 1, 2, 3]])
    assert data.summary().endswith("2 classes from the names of the folders")


@pytest.mark.parametrize("validation", [None, "validation", "val"])
def test_train_and_test_folders(tmp_path, validation):
    for part in ("train", "test", *([validation] if validation else [])):
        save(tmp_path / part / "7", GREY[:4])
        save(tmp_path / part / "10", GREY[4:])
    splits = load(tmp_path)
    assert len(splits.train) == len(splits.test) == 6
    assert (splits.validation is not None) == (validation is not None)
    assert splits.test.classes == ("7", "10")
    np.testing.assert_array_equal(splits.test.x[:, 0], GREY[[4, 5, 0, 1, 2, 3]])
    assert splits.test.labels.tolist() == [1, 1, 0, 0, 0, 0]


def test_train_folder_alone_is_divided(tmp_path):
    save(tmp_path / "train", GREY)
    assert len(load(tmp_path).test) == 1


def bomb(path, width, height):
    """A PNG whose header announces many pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected images \(.*\.png.*got none"):
        load(tmp_path)
    save(tmp_path / "a", GREY[:2])
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"images in every sub-folder, .*, got none in b/; remove"):
        load(tmp_path)
    save(tmp_path, GREY[:2])
    with pytest.raises(DataError, match=r"got both \(0\.png and a/0\.png\); move them"):
        load(tmp_path)


def test_images_of_different_sizes(tmp_path):
    save(tmp_path, GREY)
    Image.fromarray(GREY[0, :3]).save(tmp_path / "x.png")
    message = r"x\.png: expected 4×5 pixels \(width × height\) as in 0\.png, got 4×3; .*--resize"
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_images_of_different_sizes_in_parts(tmp_path):
    save(tmp_path / "train", GREY)
    save(tmp_path / "test", GREY[:, :3])
    with pytest.raises(DataError, match="expected 4×5 pixels"):
        load(tmp_path)


def test_images_of_16_bits_are_numbers_from_0_to_1(tmp_path, caplog):
    deep = GREY.astype(np.uint16) * 257 + 1
    save(tmp_path, deep[:3])
    Image.fromarray(GREY[3]).save(tmp_path / "3.png")
    with caplog.at_level("INFO", "lowerbound"):
        data = read(tmp_path)
    expected = np.concatenate([deep[:3] / 65535, GREY[3:4] / 255])
    np.testing.assert_allclose(data.x[:, 0], expected, rtol=1e-6)
    assert data.kind == "unit"
    assert "levels of 16 bits become numbers from 0 to 1" in caplog.text
    Image.fromarray(GREY[3]).save(tmp_path / "0.png")  # now 8 bits come first, and colour last
    Image.fromarray(COLOUR[0]).save(tmp_path / "z.png")
    again = read(tmp_path, resize=2).x
    assert again.shape == (5, 3, 2, 2)
    assert torch.equal(again[0], again[3])


@pytest.mark.parametrize("most", [65535, 4095])
def test_pgm_of_16_bits_is_a_number_from_0_to_1(tmp_path, most):
    levels = np.array([[0, 1000, most], [7, 300, 4000]])
    for name in ("a.pgm", "b.pgm"):
        header = f"P5 3 2 {most}\n".encode()
        (tmp_path / name).write_bytes(header + levels.astype(">u2").tobytes())
    np.testing.assert_allclose(read(tmp_path).x[1, 0], levels / most, atol=1 / 65535)


def test_modes_that_are_refused(tmp_path):
    Image.fromarray(GREY[0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: expected an image of 8 bits .*, got mode F"):
        read(tmp_path)


def test_crop_and_resize(tmp_path):
    save(tmp_path, GREY)
    np.testing.assert_array_equal(read(tmp_path, crop=(2, 3)).x[:, 0], GREY[:, 1:4, 1:3])
    Image.fromarray(np.full((9, 6), 7, np.uint8)).save(tmp_path / "x.png")
    found = read(tmp_path, crop=4, resize=(2, 2)).x
    assert found.shape == (7, 1, 2, 2)
    assert (found[6] == 7).all()
    halves = np.repeat([[0] * 4 + [200] * 12], 4, axis=0).astype(np.uint8)  # 4 high, 16 wide
    found = read(save(tmp_path / ".wide", [halves]), resize=2).x[0, 0]  # of the middle: 200 alone
    assert (found == 200).all()
    found = read(tmp_path / ".wide", resize=(4, 1)).x[0, 0, 0]
    assert found[0] < 30 < 170 < found[1]
    assert found[2:].tolist() == [200, 200]
    with pytest.raises(DataError, match=r"0\.png: expected at least 5×5 pixels .* got 4×5; choose"):
        read(tmp_path, crop=5)
    for size in (0, (3,), 2.5, True, "64"):
        with pytest.raises(ConfigurationError, match=r"expected resize= the pixels of a square"):
            read(tmp_path, resize=size)


def test_what_cannot_be_read_is_left_out_when_told_so(tmp_path, caplog):
    save(tmp_path / "a", GREY)
    save(tmp_path / "b", GREY)
    (tmp_path / "a" / "1.png").write_bytes(b"broken")
    (tmp_path / "a" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"1\.png: expected a whole image, .*--skip-broken"):
        read(tmp_path)
    with caplog.at_level("INFO", "lowerbound"):
        data = read(tmp_path, skip_broken=True)
    np.testing.assert_array_equal(data.x[:, 0], np.concatenate([GREY[[0, 2, 3, 4, 5]], GREY]))
    assert data.labels.tolist() == [0] * 5 + [1] * 6
    assert "1 of 12 images are broken, left out: '1.png'" in caplog.text
    assert "1 of 7 images are no files, or links that lead to none" in caplog.text
    for path in (tmp_path / "a").glob("?.png"):
        path.write_bytes(b"")
    (tmp_path / "b").rename(tmp_path / "gone")
    for path in (tmp_path / "gone").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="images that can be read, got none"):
        read(tmp_path, skip_broken=True)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_truncated_images(tmp_path, suffix, kept):
    save(tmp_path, RNG.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8), suffix)
    path = tmp_path / f"1.{suffix}"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DataError, match=rf"1\.{suffix}: expected a whole image"):
        load(tmp_path)


@pytest.mark.parametrize("width", [10_000, 100_000])
def test_images_of_too_many_pixels(tmp_path, width):
    bomb(tmp_path / "a.png", width, 10_000)
    with pytest.raises(DataError, match=r"a\.png: expected at most 89,478,485 pixels, got more"):
        load(tmp_path)


def test_too_many_images_for_memory(tmp_path, monkeypatch):
    save(tmp_path, GREY)
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(DataError, match="expected data that fit in memory"):
        load(tmp_path)
