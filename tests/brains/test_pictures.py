"""Pictures of every kind that people have are what they saw, or are refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from convergent.brains.pictures import read_picture
from convergent.errors import DataError

Y, X = np.mgrid[0:40, 0:32]
COLOUR = np.stack([X * 8, Y * 6, (X + Y) * 3], axis=-1).astype(np.uint8)
RAMP = (Y * 32 + X) / (40 * 32 - 1)  # 0 to 1
RAMP16 = np.rint(RAMP * 65535).astype(np.uint16)
SHOWN16 = np.rint(RAMP16 / 257)
HOLES = np.where(X < 10, 0, np.where(X < 20, 128, 255)).astype(np.uint8)
BEHIND = (200, 10, 90)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(values)[..., None], 3, axis=-1)


def over(values: np.ndarray, alpha: np.ndarray = HOLES) -> np.ndarray:
    """The formula of compositing, in floats."""
    weight = alpha[..., None] / 255
    return weight * values + (1 - weight) * np.array(BEHIND)


def png(bits: int, kind: int, rows: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand; rows as bytes (y, bytes of a row)."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    wide = rows.shape[1] * 8 // (bits * {0: 1, 2: 3, 4: 2, 6: 4}[kind])
    head = struct.pack(">IIBBBBB", wide, len(rows), bits, kind, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows.astype(np.uint8)))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def two_bytes(values: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(values.reshape(len(values), -1), dtype=">u2")
    return flat.view(np.uint8)


def tiff(values: np.ndarray, bits: int, photometric: int, order: str = "<") -> bytes:
    """A grey TIFF written by hand, of 12 or 16 bits."""
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(np.uint32)
        joined = pairs[:, 0] << 12 | pairs[:, 1]
        body = np.stack([joined >> 16, joined >> 8, joined], axis=-1).astype(np.uint8).tobytes()
    else:
        body = values.astype(f"{order}u2").tobytes()
    high, wide = values.shape
    tags = [(256, wide), (257, high), (258, bits), (259, 1), (262, photometric), (273, 8),
            (277, 1), (278, high), (279, len(body))]  # fmt: skip
    listed = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    start = 8 + len(body)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return head + body + struct.pack(f"{order}H", len(tags)) + listed + b"\0\0\0\0"


# Adobe RGB (1998) adapted to D50, as its ICC profile has it: columns are the primaries
ADOBE = np.array([
    [0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457],
])  # fmt: skip
SRGB = np.array([
    [0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410],
])  # fmt: skip


# Lab of paper and of full ink alone, for a printer's profile; with black all is black
INKS = {0b0000: (100, 0, 0), 0b1000: (60, -20, -20), 0b0100: (50, 40, 0), 0b0010: (85, 0, 60)}


def press() -> bytes:
    """A table of the Lab colours at the corners of CMYK."""
    corners = [INKS.get(k, (30, 0, 0)) if k % 2 == 0 else (0, 0, 0) for k in range(16)]
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel().tolist())
    lut += bytes(range(256)) * 4
    lut += b"".join(bytes([round(c[0] * 2.55), c[1] + 128, c[2] + 128]) for c in corners)
    return packed_icc(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut + bytes(range(256)) * 3})


def from_lab(lightness: float, a: float, b: float) -> np.ndarray:
    """The formula of CIE Lab of white D50, to sRGB."""
    y = (lightness + 16) / 116
    f = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return encoded(xyz * [0.9642, 1.0, 0.82491] @ np.linalg.inv(SRGB).T)


def icc(space: bytes = b"RGB ") -> bytes:
    """A matrix profile of Adobe RGB's primaries and gamma 2.2, or a grey one of gamma 1."""

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * (2.2 if space == b"RGB " else 1)))
    tags = {b"kTRC": curve}
    if space == b"RGB ":
        tags = {letter + b"TRC": curve for letter in (b"r", b"g", b"b")}
        for place, letter in enumerate((b"r", b"g", b"b")):
            tags[letter + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*ADOBE[:, place])
    return packed_icc(b"mntr", space, b"XYZ ", tags)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def packed_icc(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2."""
    name = b"wide\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.82491)
    directory, body = b"", b""
    for tag, content in tags.items():
        place = 132 + 12 * len(tags) + len(body)
        directory += tag + struct.pack(">II", place, len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", 132 + len(directory) + len(body), b"lcms", 0x02400000,
                       kind, space, pcs)  # fmt: skip
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.82491) + bytes(48)
    return head + struct.pack(">I", len(tags)) + directory + body


def encoded(linear: np.ndarray) -> np.ndarray:
    """The transfer curve of sRGB."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_adobe(values: np.ndarray) -> np.ndarray:
    return encoded((values / 255) ** 2.2 @ ADOBE.T @ np.linalg.inv(SRGB).T)


def saved(image: Image.Image, kind: str, **said: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **said)
    return stream.getvalue()


def turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


RGB = Image.fromarray(COLOUR)
CUT = Image.fromarray(np.dstack([COLOUR, HOLES]))
PALETTE = RGB.quantize(16)
COLOURS = np.asarray(PALETTE.convert("RGB"))
BITS = Image.fromarray(COLOUR[..., 0] > 100)
MUTED = (96 + COLOUR // 4).astype(np.uint8)  # inside the gamut of both spaces
GREY_LEVELS = (X // 8 % 4).astype(np.uint8)  # 0 to 3, four to a byte
PACKED = (GREY_LEVELS.reshape(40, 8, 4) @ [64, 16, 4, 1]).astype(np.uint8)

INKED = 255 * np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
PRINTED = np.repeat(np.repeat(INKED, 8, axis=0)[:, None], 10, axis=1).astype(np.uint8)
SEEN = np.array([from_lab(*lab) for lab in (*INKS.values(), (0, 0, 0))])

# file, what people saw, what was done, largest difference
RIGHT: dict[str, tuple[bytes, np.ndarray, tuple[str, ...], float]] = {
    "8-bit colour": (saved(RGB, "PNG"), COLOUR, (), 0),
    "bmp": (saved(RGB, "BMP"), COLOUR, (), 0),
    "webp": (saved(RGB, "WEBP", lossless=True), COLOUR, (), 0),
    "grey": (saved(Image.fromarray(COLOUR[..., 0]), "PNG"), grey(COLOUR[..., 0]), ("grey",), 0),
    "grey of 2 bits": (png(2, 0, PACKED), grey(85 * GREY_LEVELS), ("grey",), 0),
    "1 bit": (saved(BITS, "PNG"), grey(255 * (COLOUR[..., 0] > 100)), ("1 bit",), 0),
    "16-bit grey png": (saved(Image.fromarray(RAMP16), "PNG"), grey(SHOWN16), ("16-bit grey",), 0),
    "16-bit grey tiff": (tiff(RAMP16, 16, 1), grey(SHOWN16), ("16-bit grey",), 0),
    "16-bit grey tiff of Macs": (tiff(RAMP16, 16, 1, ">"), grey(SHOWN16), ("16-bit grey",), 0),
    "16-bit tiff, 0 is white": (
        tiff(RAMP16, 16, 0), grey(255 - SHOWN16), ("16-bit grey",), 0,
    ),
    "12-bit tiff": (
        tiff(np.rint(RAMP * 4095).astype(np.uint16), 12, 1), grey(np.rint(RAMP * 255)),
        ("16-bit grey",), 1,
    ),
    "16-bit pgm": (
        b"P5 32 40 65535\n" + two_bytes(RAMP16).tobytes(), grey(SHOWN16), ("16-bit grey",), 0,
    ),
    "10-bit pgm": (
        b"P5 32 40 1023\n" + two_bytes(np.rint(RAMP * 1023)).tobytes(), grey(RAMP * 255),
        ("16-bit grey",), 1,
    ),
    "16-bit colour png": (
        png(16, 2, two_bytes(np.stack([RAMP16, RAMP16[::-1], RAMP16 // 2], axis=-1))),
        np.stack([RAMP16, RAMP16[::-1], RAMP16 // 2], axis=-1) / 257, ("16-bit colour",), 1,
    ),
    "16-bit colour and alpha": (
        png(16, 6, two_bytes(np.stack([RAMP16] * 3 + [HOLES * np.uint16(257)], axis=-1))),
        over(grey(RAMP16 / 257)), ("16-bit colour", "laid on the background"), 1,
    ),
    "floats of 0 to 1": (
        saved(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), grey(RAMP * 255), ("floats",), 0.5,
    ),
    "palette": (saved(PALETTE, "PNG"), COLOURS, ("palette",), 0),
    "gif": (saved(PALETTE, "GIF"), COLOURS, ("palette",), 0),
    "alpha": (saved(CUT, "PNG"), over(COLOUR), ("laid on the background",), 0.5),
    "alpha in a tiff": (saved(CUT, "TIFF"), over(COLOUR), ("laid on the background",), 0.5),
    "grey and alpha": (
        saved(Image.fromarray(np.dstack([COLOUR[..., 0], HOLES])), "PNG"),
        over(grey(COLOUR[..., 0])), ("grey", "laid on the background"), 0.5,
    ),
    "alpha that hides nothing": (
        saved(Image.fromarray(np.dstack([COLOUR, np.full_like(HOLES, 255)])), "PNG"), COLOUR,
        ("opaque alpha left out",), 0,
    ),
    "palette with a transparent colour": (
        saved(PALETTE, "PNG", transparency=3),
        over(COLOURS, np.where(np.asarray(PALETTE) == 3, 0, 255)),
        ("palette", "laid on the background"), 0.5,
    ),
    "a transparent grey of 2 bits": (
        png(2, 0, PACKED, (b"tRNS", struct.pack(">H", 2))),
        over(grey(85 * GREY_LEVELS), np.where(GREY_LEVELS == 2, 0, 255)),
        ("grey", "laid on the background"), 0.5,
    ),
    "a transparent grey of 16 bits": (
        png(16, 0, two_bytes(RAMP16), (b"tRNS", struct.pack(">H", RAMP16[3, 3]))),
        over(grey(SHOWN16), np.where(RAMP16[3, 3] == RAMP16, 0, 255)),
        ("16-bit grey", "laid on the background"), 0.5,
    ),
    "a transparent colour": (
        png(8, 2, COLOUR.reshape(40, -1), (b"tRNS", struct.pack(">HHH", *COLOUR[3, 3]))),
        over(COLOUR, np.where((COLOUR[3, 3] == COLOUR).all(-1), 0, 255)),
        ("laid on the background",), 0.5,
    ),
    "cmyk": (saved(RGB.convert("CMYK"), "TIFF"), COLOUR, ("CMYK",), 1),
    "cmyk jpeg": (saved(RGB.convert("CMYK"), "JPEG", quality=100), COLOUR, ("CMYK",), 8),
    "cmyk of a printer": (
        saved(Image.fromarray(PRINTED, "CMYK"), "TIFF", icc_profile=press()),
        np.repeat(np.repeat(SEEN, 8, axis=0)[:, None], 10, axis=1), ("CMYK", "ICC profile"), 2,
    ),
    "ycbcr": (saved(RGB.convert("YCbCr"), "TIFF"), COLOUR, ("YCbCr",), 4),
    "lab": (
        saved(ImageCms.profileToProfile(
            Image.fromarray(MUTED), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"),
            outputMode="LAB"), "TIFF", icc_profile=None),
        MUTED, ("Lab",), 4,
    ),
    "a camera on its side": (
        saved(RGB, "PNG", exif=turned(6)), np.rot90(COLOUR, -1), ("rotated as EXIF says",), 0,
    ),
    "a mirrored tiff": (
        saved(RGB, "TIFF", exif=turned(2)), COLOUR[:, ::-1], ("rotated as EXIF says",), 0,
    ),
    "a camera upright": (saved(RGB, "PNG", exif=turned(1)), COLOUR, (), 0),
    "sRGB profile": (
        saved(RGB, "PNG", icc_profile=ImageCms.ImageCmsProfile(
            ImageCms.createProfile("sRGB")).tobytes()), COLOUR, (), 0,
    ),
    "wide gamut": (
        saved(Image.fromarray(MUTED), "PNG", icc_profile=icc()), from_adobe(MUTED),
        ("ICC profile",), 2,
    ),
    "wide gamut under alpha": (
        saved(Image.fromarray(np.dstack([MUTED, HOLES])), "PNG", icc_profile=icc()),
        over(from_adobe(MUTED)), ("ICC profile", "laid on the background"), 2.5,
    ),
    "16-bit grey jpeg 2000": (
        saved(Image.fromarray(RAMP16), "JPEG2000"), grey(SHOWN16), ("16-bit grey",), 0,
    ),
    "linear grey profile": (
        saved(Image.fromarray(COLOUR[..., 0]), "TIFF", icc_profile=icc(b"GRAY")),
        grey(encoded(COLOUR[..., 0] / 255)), ("grey", "ICC profile"), 2,
    ),
    "png of linear light": (
        png(8, 2, COLOUR.reshape(40, -1), (b"gAMA", struct.pack(">I", 100_000))),
        255 * (COLOUR / 255) ** (1 / 2.2), ("PNG gamma",), 0.5,
    ),
    "png of the usual gamma": (
        png(8, 2, COLOUR.reshape(40, -1), (b"gAMA", struct.pack(">I", 45_455))), COLOUR, (), 0,
    ),
    "camera with a preview": (
        saved(RGB, "MPO", save_all=True, append_images=[RGB.rotate(90)], quality=100), COLOUR,
        ("first picture of an MPO",), 8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("name", ["x.png", "X.JPG"])
def test_pixels_are_what_people_saw(tmp_path, kind, name):
    """Whatever the name says; no kind is read as mode RGB of Pillow alone."""
    content, expected, done, far = RIGHT[kind]
    (tmp_path / name).write_bytes(content)
    picture = read_picture(tmp_path / name, BEHIND)
    assert picture.pixels.dtype == np.uint8
    assert picture.conversions == done
    np.testing.assert_allclose(picture.pixels, expected, rtol=0, atol=far + 1e-9)


def damaged(content: bytes) -> bytes:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 16
    return bytes(flipped)


SECOND = [RGB.rotate(90)]
WRONG: dict[str, tuple[bytes, str]] = {
    "alpha without a background": (
        saved(CUT, "PNG"), "62.5% of the pixels are transparent.*Fix: set it",
    ),
    "floats of 0 to 255": (
        saved(Image.fromarray((RAMP * 255).astype(np.float32)), "TIFF"), "floats from 0 to 255",
    ),
    "missing floats": (
        saved(Image.fromarray(np.where(X == 3, np.nan, RAMP).astype(np.float32)), "TIFF"),
        "floats from nan to nan",
    ),
    "32-bit integers": (
        saved(Image.fromarray(RAMP16.astype(np.int32)), "TIFF"), "32-bit integers",
    ),
    "a film": (saved(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(90)]),
               "a GIF of 2 pictures"),
    "pages": (saved(RGB, "TIFF", save_all=True, append_images=SECOND), "a TIFF of 2 pictures"),
    "apng": (saved(RGB, "PNG", save_all=True, append_images=SECOND), "a PNG of 2 pictures"),
    "moving webp": (
        saved(RGB, "WEBP", save_all=True, append_images=SECOND), "a WEBP of 2 pictures",
    ),
    "a pixel": (saved(RGB.resize((1, 1)), "PNG"), "a picture of 1 x 1 pixels"),
    "a strip": (saved(RGB.resize((1, 400)), "PNG"), "a picture of 1 x 400 pixels"),
    "a broad strip": (saved(RGB.resize((170, 8)), "PNG"), "170 x 8 pixels.*20 times"),
    "a bomb": (
        png(1, 0, np.zeros((12_000, 1_250), np.uint8)), "10000 x 12000 pixels.*100,000,000",
    ),
    "a larger bomb": (b"P5 50000 50000 255\n", "more than 100,000,000 pixels"),
    "nothing": (b"", "the file is empty"),
    "a page of the web": (b"<html>not found</html>", "this is no picture"),
    "half a jpeg": (saved(RGB, "JPEG", quality=95)[:700], "truncated"),
    "half a png": (saved(RGB, "PNG")[:-20], "the picture is truncated"),
    "half a gif": (saved(PALETTE, "GIF")[:300], "no picture"),
    "half a bmp": (saved(RGB, "BMP")[:900], "truncated"),
    "a flipped bit": (damaged(saved(RGB, "PNG")), "damaged: a PNG checksum is wrong"),
    "a broken profile": (saved(RGB, "PNG", icc_profile=b"no profile"), "ICC profile cannot be"),
    "the profile of another kind": (
        saved(RGB, "PNG", icc_profile=icc(b"GRAY")), "an ICC profile of GRAY in a picture of RGB",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_has_no_one_meaning_is_refused_in_one_line(tmp_path, monkeypatch, kind):
    # what other libraries set for all of the process must not matter
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content, message = WRONG[kind]
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=message) as told:
        read_picture(tmp_path / "x.png", fix="set it")
    assert "x.png" in str(told.value)
    assert "\n" not in str(told.value)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None])
def test_folders_and_missing_files_are_named(tmp_path, make: Callable[[Path], None]):
    make(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png"):
        read_picture(tmp_path / "x.png")
