"""Pictures as people saw them: pixels of every kind become 8-bit sRGB in one way, or are refused.

What a file can hold, and what is done with it:

===================  ==============================================================================
16-bit grey          scaled by its range to 0 to 255, and rounded
16-bit colour        the upper byte of each value: less than 1/255 below the exact one
floats               0 to 1 become 0 to 255; other values are refused, as nothing says their range
32-bit integers      refused: no one range
1 bit, grey          three equal channels
palette              the colours that it names
alpha                laid on the background that the study names; refused where none is named and a
                     pixel is transparent
CMYK, YCbCr, Lab     to RGB; CMYK without a profile by (255 - c)(255 - k) / 255
ICC profile          to sRGB, relative colorimetric with black point compensation
PNG gamma            other than 1/2.2: brought to that, unless there is a profile
EXIF orientation     turned as the camera says
several pictures     refused (GIF, TIFF, APNG, WebP); of an MPO the first, of which the others are
                     previews
===================  ==============================================================================
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from convergent.errors import DataError
from convergent.text_files import MB, read_bytes

Colour = tuple[int, int, int]

FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF")
SHORTEST = 8  # pixels of a side
LONGEST = 20  # times the shorter side
MOST = 100_000_000  # pixels
AS_STORED = "as stored"

_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION, _BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 274, 258, 262, 0
_LARGEST_FILE = 1024 * MB


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (y, x, 3)
        sRGB.
    conversions : tuple of str
        What was done to get there, in the words of this module; empty for 8-bit sRGB.
    """

    pixels: NDArray[np.uint8]
    conversions: tuple[str, ...]


def read_picture(
    path: Path,
    background: Colour | None = None,
    *,
    fix: str = "save it without transparency, on the colour that was behind it",
) -> Picture:
    """Read a picture file.

    Parameters
    ----------
    path : Path
        Its content says its format, whatever its name.
    background : tuple of int, optional
        sRGB colour behind transparent pixels; without one they are refused.
    fix : str
        What to do about transparent pixels.

    Raises
    ------
    DataError
        No picture, a damaged one, one of a side below 8 pixels, longer than 20 times its width or
        of more than 100 million pixels, or one that has no one meaning: see this module.
    """
    content = read_bytes(path, error=DataError, largest=_LARGEST_FILE)
    where = str(path)
    if not content:
        raise DataError("the file is empty", where=where, fix="copy it again")
    if content.startswith(_PNG):
        _check_png(content, where)
    try:
        with _strictly(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return _converted(image, background, where, fix)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(
            f"a picture of more than {MOST:,} pixels", where=where, fix="scale it down"
        ) from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise DataError("this is no picture", where=where, fix=f"give one of {known}") from None
    except Exception as error:  # Pillow raises what it likes on a broken file
        raise DataError(f"no picture: {error}", where=where, fix="replace it") from None


@contextmanager
def _strictly() -> Iterator[None]:
    """Let no truncated file pass, whatever another library has set, and remark on nothing."""
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities that change no pixel, such as bad EXIF
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _check_png(content: bytes, where: str) -> None:
    """Compare the checksums of all chunks: Pillow leaves out those of the pixels."""
    place = len(_PNG)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        body, place = content[place + 4 : place + 8 + length], place + 12 + length
        if place > len(content):
            break
        if zlib.crc32(body) != struct.unpack_from(">I", content, place - 4)[0]:
            raise DataError(
                "the picture is damaged: a PNG checksum is wrong", where=where, fix="copy it again"
            )
        if body[:4] == b"IEND":
            return
    raise DataError("the picture is truncated", where=where, fix="copy it again")


def _converted(image: Any, background: Colour | None, where: str, fix: str) -> Picture:
    _check_size(image, where)
    done: list[str] = []
    frames = getattr(image, "n_frames", 1)
    if image.format == "MPO":
        done.append("first picture of an MPO")
    elif frames > 1:
        raise DataError(
            f"a {image.format} of {frames} pictures", where=where, fix="save the one that was shown"
        )
    said = _Said.of(image)  # before the EXIF, for which Pillow reads all of a PNG
    turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    image.load()
    upright = ImageOps.exif_transpose(image)
    if turned:
        done.append("rotated as EXIF says")
    upright, alpha = _in_eight_bits(upright, said, where, done)
    pixels = _in_srgb(upright, said.info, where, done)
    if alpha is not None:
        pixels = _on_background(pixels, alpha, background, where, fix, done)
    return Picture(np.ascontiguousarray(pixels), tuple(done))


@dataclass(frozen=True)
class _Said:
    """What a file says of its pixels, which Pillow forgets as it reads or turns them."""

    info: dict[str, Any]
    format: str
    rawmode: str
    tags: dict[int, Any]

    @classmethod
    def of(cls, image: Any) -> _Said:
        raw = image.tile[0][3] if image.tile else ""
        raw = str(raw if isinstance(raw, str) else raw[0] if raw else "")
        return cls(dict(image.info), image.format, raw, dict(getattr(image, "tag_v2", {})))

    @property
    def most(self) -> float:
        """Largest value of a grey picture of more than 8 bits."""
        bits = np.ravel(self.tags.get(_BITS, 16))[0] if self.format == "TIFF" else 16
        return float(2 ** int(bits) - 1)

    @property
    def inverted(self) -> bool:
        """Whether 0 is white, which Pillow undoes for 8 bits alone."""
        return self.format == "TIFF" and self.tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _check_size(image: Any, where: str) -> None:
    wide, high = image.size
    size = f"a picture of {wide} x {high} pixels"
    if min(wide, high) < SHORTEST:
        raise DataError(
            size, where=where, fix=f"give {SHORTEST} pixels a side or more: what was shown?"
        )
    if max(wide, high) > LONGEST * min(wide, high):
        raise DataError(
            size, where=where, fix=f"give a side of at most {LONGEST} times the other: models cut "
            "out the middle",
        )  # fmt: skip
    if wide * high > MOST:
        raise DataError(size, where=where, fix=f"scale it down to {MOST:,} pixels or fewer")


def _in_eight_bits(
    image: Any, said: _Said, where: str, done: list[str]
) -> tuple[Any, NDArray[np.uint8] | None]:
    """Picture in mode L, RGB, CMYK, YCbCr or LAB, and its alpha where it has one."""
    mode, clear = image.mode, said.info.get("transparency")
    alpha: NDArray[np.uint8] | None = None
    if mode.startswith("I;16") or mode == "F" or (mode == "I" and said.format == "PPM"):
        values = np.asarray(image, dtype=np.float64)
        if clear is not None:
            alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        if mode == "F":
            _check_floats(values, where)
        done.append("floats" if mode == "F" else "16-bit grey")
        values = np.rint(255 * np.minimum(values / (1.0 if mode == "F" else said.most), 1.0))
        values = 255 - values if said.inverted else values
        return Image.fromarray(values.astype(np.uint8)), alpha
    if mode in ("1", "L"):
        done.append("1 bit" if mode == "1" else "grey")
        grey = image.convert("L")
        if clear is not None:
            # the transparent grey is said in the file's own levels
            levels = {"1": 255, "L;2": 85, "L;4": 17}.get(said.rawmode, 1)
            alpha = np.where(np.asarray(grey) == levels * int(clear), 0, 255).astype(np.uint8)
        return grey, alpha
    if mode in ("P", "PA"):
        done.append("palette")
        if mode == "P" and clear is None and image.palette.mode == "RGB":
            return image.convert("RGB"), None
        image = image.convert("RGBA")
    if "16" in said.rawmode:
        done.append("16-bit colour")
        if mode == "RGB" and clear is not None:
            raise DataError(
                "one colour of a 16-bit picture is transparent",
                where=where,
                fix="save it with 8 bits a channel",
            )
    if mode == "RGB" and clear is not None:
        values = np.asarray(image)
        alpha = np.where((values == np.asarray(clear)).all(axis=-1), 0, 255).astype(np.uint8)
        return image, alpha
    if image.mode in ("RGBA", "LA", "RGBa", "La"):
        image = image.convert({"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode))
        alpha = np.asarray(image.getchannel("A"))
        if mode in ("LA", "La"):
            done.append("grey")
        return image.convert("L" if image.mode == "LA" else "RGB"), alpha
    if image.mode not in ("RGB", "CMYK", "YCbCr", "LAB"):
        what = {"I": "32-bit integers, whose range nothing says"}.get(
            mode, f"pixels of mode {mode}"
        )
        raise DataError(what, where=where, fix="save it with 8 or 16 bits a channel")
    return image, None


def _check_floats(values: NDArray[np.float64], where: str) -> None:
    low, high = values.min(), values.max()  # NaN if one value is
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"floats from {low:g} to {high:g}, whose range nothing says",
            where=where,
            fix="scale them to 0 to 1, or save the picture with 8 or 16 bits a channel",
        )


def _in_srgb(image: Any, said: dict[str, Any], where: str, done: list[str]) -> NDArray[np.uint8]:
    profile = said.get("icc_profile")
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        done.append({"LAB": "Lab"}.get(image.mode, image.mode))
    if profile and image.mode != "YCbCr":
        image = _by_profile(image, profile, where, done)
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    pixels = np.asarray(image.convert("RGB"))
    gamma = said.get("gamma")
    if gamma and not profile and "srgb" not in said and abs(2.2 * gamma - 1) > 0.05:
        done.append("PNG gamma")
        table = np.rint(255 * (np.arange(256) / 255) ** (1 / (2.2 * gamma))).astype(np.uint8)
        pixels = table[pixels]
    return pixels


def _by_profile(image: Any, content: bytes, where: str, done: list[str]) -> Any:
    fix = "save it as sRGB"
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    except OSError as error:
        raise DataError(f"its ICC profile cannot be read ({error})", where=where, fix=fix) from None
    space = profile.profile.xcolor_space.strip()
    if space == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space) != image.mode:
        raise DataError(
            f"an ICC profile of {space} in a picture of {image.mode}", where=where, fix=fix
        )
    if space == "RGB" and "srgb" in ImageCms.getProfileDescription(profile).lower():
        return image
    done.append("ICC profile")
    return ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _on_background(
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    background: Colour | None,
    where: str,
    fix: str,
    done: list[str],
) -> NDArray[np.uint8]:
    share = float((alpha < 255).mean())
    if share == 0:
        done.append("opaque alpha left out")
        return pixels
    if background is None:
        raise DataError(
            f"{max(share, 0.001):.1%} of the pixels are transparent, and nothing says what was "
            "behind them",
            where=where,
            fix=fix,
        )
    done.append("laid on the background")
    weight = alpha[..., None].astype(np.uint32)
    mixed = weight * pixels + (255 - weight) * np.array(background, dtype=np.uint32)
    result: NDArray[np.uint8] = ((mixed + 127) // 255).astype(np.uint8)
    return result
