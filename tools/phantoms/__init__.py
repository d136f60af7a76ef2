"""Made-up scans for tests: every file a user may bring, and every broken one; no real data.

The same arguments give the same bytes on every run. Volumes are in RAS+ order and carry a bright
marker at the patient's left, anterior and superior, so that a mirrored picture shows.
"""

from __future__ import annotations

from phantoms.archives import (
    akoa_zip,
    bomb_zip,
    hostile_zip,
    oasis_course_zip,
    slices_folder,
)
from phantoms.formats import (
    Files,
    analyze_bytes,
    dicom_files,
    mgh_bytes,
    nifti_bytes,
)
from phantoms.images import (
    image_bytes,
    png_bytes,
    slice_pixels,
)
from phantoms.sets import (
    AKOA_SIDES,
    AKOA_VISITS,
    OASIS_1_AXES,
    OASIS_1_PATHS,
    akoa_files,
    hostile_files,
    oasis_course_files,
    oasis_disc_files,
    slice_files,
    twin_files,
)
from phantoms.volumes import (
    MARKER,
    ORIGIN_MM,
    SHAPE,
    TISSUE,
    Array,
    ball_volume,
    brain_volume,
    distance_mm,
    head_volume,
    marker_index,
    orientations,
    oriented,
)
from phantoms.writing import (
    ZIP_TIME,
    flipped,
    truncated,
    write_folder,
    write_tar,
    write_zip,
)

__all__ = [
    "AKOA_SIDES",
    "AKOA_VISITS",
    "MARKER",
    "OASIS_1_AXES",
    "OASIS_1_PATHS",
    "ORIGIN_MM",
    "SHAPE",
    "TISSUE",
    "ZIP_TIME",
    "Array",
    "Files",
    "akoa_files",
    "akoa_zip",
    "analyze_bytes",
    "ball_volume",
    "bomb_zip",
    "brain_volume",
    "dicom_files",
    "distance_mm",
    "flipped",
    "head_volume",
    "hostile_files",
    "hostile_zip",
    "image_bytes",
    "marker_index",
    "mgh_bytes",
    "nifti_bytes",
    "oasis_course_files",
    "oasis_course_zip",
    "oasis_disc_files",
    "orientations",
    "oriented",
    "png_bytes",
    "slice_files",
    "slice_pixels",
    "slices_folder",
    "truncated",
    "twin_files",
    "write_folder",
    "write_tar",
    "write_zip",
]
