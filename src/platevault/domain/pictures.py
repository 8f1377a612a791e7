"""Derive one picture from another: decoded, cut, sized and encoded. Hostile files belong into a child process (stores/renderer)."""

import io
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from PIL import ExifTags, Image, ImageCms, ImageEnhance, ImageFile, ImageFilter, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
