"""DICOM files whose pixels are packed as archives pack them.

The JPEG Lossless, JPEG-LS and JPEG 2000 frames were written by GDCM 3.2.6, of `packed_volume()`.
"""

from __future__ import annotations

import base64
import io

import numpy as np

from phantoms.formats import dicom_files
from phantoms.volumes import Array, brain_volume

JPEG_LOSSLESS = base64.b64decode(
    """
    /9j/wwALEAAaABQBAREA/8QAHgAAAQUBAQEBAQAAAAAAAAAABwMEBQYIAgEJAA//2gAIAQEAAQAA/gAd3HeuW6iL1lJN
    uXCaPblmny05edo+9tZPlt362V4b+yCSyLnlnYSPbL4hBj8cV9whyomlIJ+KFAtHmbuEbTKRUAYH5BNRl48TWNRg1byf
    qa5I+SUBhlsNdeIOmji+bPM2qboMKNAztms2Xc2ZZqTV2z/L6l1nujPxnCxKHd3HhUm8k4+ya84dtCRuraQ3N9mbuc3l
    AqVNvmjMuUhp0l5q/a2vxhNziMdDFBgDYLReUMBZuV9/bc1NbiIpd60M4DRo0nBOX8tZayKk5sewNSaaC2l8+l3PETrj
    NsDpmNHGL8bUVgSvpBtRi+e0qlH0UFEDwiuicoZmyeM3BR2vpqHIw+L6tNpmmhoQc+TCYUwGHEj9vYyaChBbaqqVA6cI
    JnMQoQo3zjEPZX21oHQNipuejvQeijK51PQkoo2+eY78IOrtO6AkagVstEQxRYShlYu44byjQF+d9lg8koXvzCy6soUr
    MJHRWY8QqLM9LfQHRw+m+xKgab/nI1Cw6YAxkD43yNJf0E0NC30XW+m6jgx6cAxxmj5/DHhryvp3aVhczMxpAaRj8Qp1
    rH2P494u1/XXahKJ12vg7M+bjqMA9n3J1RVjkEu+yeetlweww+WaDE5gCQgBHHvjhs8bdkPUBjqxE7bhcUhqidN/yqaf
    7lwlOG0iRLZUfDOBTbeqpKdR0i3VYOfJFv4zU8ddRrrmPkUFevWjuPdKo89o8Pk0e//ZAA==
    """
)
JPEG_LS = base64.b64decode(
    """
    /9j/9wALEAAaABQBAREA//gADQH//wASAEMBFABA/9oACAEBAAAAAEHYCwigBB8KQWHRmOUcEIaNjI6Dj4UioBwcgDBa
    AsAoAg6GIVQEgDAkCgdCIFjUAYPwVGYjCoFAuPpGxsjvAqEsf5HQthsCQSEQPi43Aw0JlxLSeUNouwWhdBGF8pZfT8TD
    wSgYSKjJoTAqxAWfUZIb3ngETYjyHsaCgZAUlMRkbKaWRTeNknoGxPipRGLMqIhj/FyGQrUiwBmlSHJYDGWRFLxLjNIe
    LdaZIhxQqlBYbBWQVCtAotNyS5gQnJeGNLpVghD2JsHUhBokCptVJRMDYWwUguGkfp6iRNSHSpyrPSLgJAQCl6B6QSGh
    XDebSYh7O8lpjjnKkmWWJ8BmojRqDk9Jn0moFLuO0E5bkbPCaSSXNSg9GqDsTPQokandIo5VYqMf4bDOCJyYjakIhDCS
    B0Ho5zxG8bpNV/HS5LXI+Sa4oPb1zlnJQugXFzBRLTaNIdgRFStZXguLkdXxHE2JnIkEICkmaz6AkQ5AoVPDkQCHkK5+
    zDkxOIoQwgHAMV1WYQDhJGBQlGoqxJDPiZ8kwmNOoVAqCp7zkzwNjjEeii2kskkeBYbhtAejILM0IaMFbHUjPf0aoCUi
    iczJnWrRjdQv2ORAifhwnkYLBKN4iVRLMV47SRQrHFu0jNuhKBcFoMvPNpeQLVKoB8FjIqrSZQdIyEYSFo+LlYN5cCSd
    Q0Or4jHH/czYO11gyOQbBCGNHQGmNB6pfEo0FncA89zfzma65QHhISNi5yJ5H7lixnWkRrIQtDNbawQuNjwLgRZ0uDMO
    ScVoaWsGoJtV+oUCSoaBUDCwfCK1IgaSeHioQxOCIWgcBSMpQxsD28MqHGlxub86HAqK2TI4XgxJBP/ZAA==
    """
)

JPEG_2000 = base64.b64decode(
    """
    /0//UQApAAAAAAAUAAAAGgAAAAAAAAAAAAAAFAAAABoAAAAAAAAAAAABDwEB/1IADAAAAAEAAwQEAAH/XAANQICIiJCI
    iJCIiJD/ZAAqAAFDcmVhdGVkIGJ5IEdEQ00vT3BlbkpQRUcgdmVyc2lvbiAyLjMuMP+QAAoAAAAAAl0AAf+T3/iQ2BGK
    Amvy5YV20uOHlrIwLSFK3hI+goL1cDd3L8AfmFwB+YbAD8wkCefzH01efSrtdxgTcaTAO7IOfpzo44hnB8OWVHbtK38v
    wB+ZVAB9pDAB+BGAJ+HI8/VUiVyhY7LAbL5hibHQuZiBPmgxMEK5BTIDML+39J0t5bJxsrePGYsc8SkBxJsyrz2gYiix
    Mlgjocub6G9b4LpovEIQCgxzDIw5TwBf0ZebvVo3FQH0i7gf2KIz4f8IiZJqrevTqn21YnHAD8KBgA+17gA/CghecY4P
    skZ1r69JZaaNy90tDBLEulpNyEp3ZvDkvbtDc7mrLv9ERWewwgL1hjl0p0MIR2JcLdcOD48nmOFCs63AHHBCmQl89z+A
    gUkA35ygvyvVtHIfEPE2pF1zfMY5zztKiTBZn5LC8T81TzNZaK0iQD+VejWqeB0qvichGRDxyyQjdlqjNW9ZYKhlTT1B
    LsNTHsbwu5qoFYEVCM0ELP5SU6DfXM8XEza0jkxuKi9R+6J1V8fCWJR49BfvLkABIFSsJ2HVfIrxogQHTOrIzu3Tvl1j
    whXdUsjoxblz/ms2yspcDaDukj/kmEzaGBml6OyITRBKwC8xNrxGhdcfvX4HGVnGtZwxBFsWhEiTMP36Yelz9EfwjpQq
    KeCc8duZbOE9nmO7wsaMOzHFKhSQwf2zfDnkn+UNoFslQVOD2H+Frio5i/OTXMofYWerwlU2zCYsfwpy3ZtAAIOTlE9y
    VIA9oUapc7txV2VF8IvWhaMf3XVkPOB/76akG1XobA2r/9kA
    """
)
SYNTAXES = {
    "JPEG Lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
}
FRAMES = {"JPEG Lossless": JPEG_LOSSLESS, "JPEG-LS": JPEG_LS, "JPEG 2000": JPEG_2000}


def packed_volume() -> Array:
    """A volume of one slice, of which the packed frames are."""
    return np.floor(brain_volume()[..., 8:9])


def packed_dicom(how: str) -> bytes:
    """One DICOM file of `packed_volume()`, its pixels packed as SYNTAXES names it."""
    import pydicom
    from pydicom.encaps import encapsulate

    plain = next(iter(dicom_files(packed_volume()).values()))
    header = pydicom.dcmread(io.BytesIO(plain))
    if how in FRAMES:
        header.file_meta.TransferSyntaxUID = pydicom.uid.UID(SYNTAXES[how])
        header.PixelData = encapsulate([FRAMES[how]])
        header["PixelData"].VR = "OB"
        header["PixelData"].is_undefined_length = True
    else:
        header.compress(SYNTAXES[how], generate_instance_uid=False)
    stream = io.BytesIO()
    header.save_as(stream)
    return stream.getvalue()
