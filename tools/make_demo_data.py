"""Make `data/demo/`: one real brain volume that anybody may copy, with its licence.

The volume is the ICBM 152 2009a symmetric T1 average in the form that nilearn ships, with the
skull removed and the intensities scaled to 0..255. The voxels are passed through unchanged;
only the header is tidied and the gzip wrapper made reproducible.

    pip download nilearn==0.14.1 --no-deps --dest /tmp/nilearn
    python tools/make_demo_data.py --nilearn-wheel /tmp/nilearn/nilearn-*.whl --out data/demo
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import nibabel as nib

from mri_gan.errors import DataError
from mri_gan.files import make_folder, write_bytes

TEMPLATE = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
TEMPLATE_SHA256 = "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6"
NILEARN_LICENCE = ".dist-info/licenses/LICENSE"

VOLUME = "mni152_t1_1mm.nii.gz"
LICENCE = "LICENSE-MNI152.txt"
SUMS = "SHA256SUMS"

TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")

# The owner's words, as nibabel's COPYING quotes them for the 2009a T1 template. nilearn carries
# the template without them, and the licence asks that they appear in every copy.
MNI_LICENCE = """\
Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre,
Montreal Neurological Institute, McGill University.

Permission to use, copy, modify, and distribute this software and its
documentation for any purpose and without fee is hereby granted, provided
that the above copyright notice appear in all copies.  The authors and
McGill University make no representations about the suitability of this
software for any purpose.  It is provided "as is" without express or
implied warranty.  The authors are not responsible for any data loss,
equipment damage, property loss, or injury to subjects or patients
resulting from the use or misuse of this software package.
"""

LICENCE_PAGE = """\
mni152_t1_1mm.nii.gz is the ICBM 152 nonlinear symmetric T1-weighted average,
release 2009a, with the skull removed and the intensities scaled to 0..255 by
the nilearn developers. Two notices apply, and both travel with every copy.

1. The template. "Software" below means the image.

{mni}
2. The skull-stripped, rescaled form, taken from nilearn.

{nilearn}
Please cite, when you publish something that uses the volume:

V. S. Fonov, A. C. Evans, K. Botteron, C. R. Almli, R. C. McKinstry,
D. L. Collins and the Brain Development Cooperative Group. Unbiased average
age-appropriate atlases for pediatric studies. NeuroImage 54(1), 313-327, 2011.
doi:10.1016/j.neuroimage.2010.07.033

V. S. Fonov, A. C. Evans, R. C. McKinstry, C. R. Almli and D. L. Collins.
Unbiased nonlinear average age-appropriate brain templates from birth to
adulthood. NeuroImage 47, Supplement 1, S102, 2009.
doi:10.1016/S1053-8119(09)70884-5
"""


@dataclass(frozen=True)
class Carried:
    """What nilearn carries: the gzipped template and nilearn's own licence text."""

    template: bytes
    licence: str


def read_wheel(path: Path) -> Carried:
    """Read the template and the licence out of a nilearn wheel, which is a zip.

    Nothing is unpacked to disk. Raises DataError where the file is no such wheel.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            licence = next(name for name in wheel.namelist() if name.endswith(NILEARN_LICENCE))
            return Carried(wheel.read(TEMPLATE), wheel.read(licence).decode())
    except (OSError, zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise DataError(f"{path}: not a nilearn wheel", "pip download nilearn --no-deps") from error


def read_installed() -> Carried:
    """Read the same two files from the nilearn that this Python has.

    They are found through the package's metadata, so nilearn itself is not imported.
    """
    try:
        package = metadata.distribution("nilearn")
        template = Path(str(package.locate_file(TEMPLATE))).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise DataError("nilearn: not found", "pip install nilearn, or --nilearn-wheel") from error
    licence = package.read_text("licenses/LICENSE")
    if licence is None:
        raise DataError("nilearn: no licence text", "use the wheel of nilearn 0.14.1")
    return Carried(template, licence)


def build_volume(template: bytes) -> bytes:
    """The template as a gzipped NIfTI file with a plain header; the voxels stay as they are.

    Raises DataError where the template is not the one that this script was written for: the
    licence page describes that one.
    """
    if hashlib.sha256(template).hexdigest() != TEMPLATE_SHA256:
        raise DataError("nilearn: another template", "use the wheel of nilearn 0.14.1")
    image: Any = nib.Nifti1Image.from_bytes(gzip.decompress(template))
    image.header.extensions.clear()
    for field in TEXT_FIELDS:
        image.header[field] = b""
    image.header.set_xyzt_units("mm")  # the template leaves its unit blank
    return compress(image.to_bytes())


def compress(data: bytes) -> bytes:
    """Gzip without a time or a file name, so that the same input gives the same bytes.

    `gzip.compress` would not do: what it writes for the operating system varies by version.
    """
    stream = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=stream, mtime=0) as file:
        file.write(data)
    return stream.getvalue()


def build_files(carried: Carried) -> dict[str, bytes]:
    """Every file of the demo folder by name; the last holds the digests of the others."""
    page = LICENCE_PAGE.format(mni=MNI_LICENCE, nilearn=carried.licence.strip() + "\n")
    files = {LICENCE: page.encode(), VOLUME: build_volume(carried.template)}
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    return files | {SUMS: "".join(sums).encode()}


def write_files(out: Path, files: dict[str, bytes]) -> None:
    """Write each file whole or not at all, and print its size and digest."""
    make_folder(out)
    for name, data in files.items():
        write_bytes(out / name, data)
        click.echo(f"{out / name}  {len(data)} bytes  sha256 {hashlib.sha256(data).hexdigest()}")


@click.command()
@click.option(
    "--nilearn-wheel",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A nilearn wheel (.whl) to read the template from.",
)
@click.option("--installed", is_flag=True, help="Read it from the installed nilearn instead.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/demo"),
    show_default=True,
    help="Folder to write to.",
)
def main(nilearn_wheel: Path | None, installed: bool, out: Path) -> None:
    """Make the demo folder: the volume, its licence and the checksums."""
    if (nilearn_wheel is not None) == installed:
        raise click.UsageError("give either --nilearn-wheel PATH or --installed")
    try:
        carried = read_wheel(nilearn_wheel) if nilearn_wheel else read_installed()
        write_files(out, build_files(carried))
    except DataError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
