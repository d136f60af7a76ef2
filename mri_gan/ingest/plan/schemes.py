"""How public collections name their files: who, when, which contrast, which slice.

A scheme is a regular expression that is searched in the whole path, with the groups of a Naming.
The order matters: the first that fits wins.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SEP = r"(?:^|[/_\-. ])"
_END = r"(?=[/_\-. ]|$)"
_SLICE = r"(?:[_\-. ]+(?:slice|sl|z|img)?[_\-. ]*(?P<position>\d{1,4}))?"


@dataclass(frozen=True)
class Scheme:
    """One collection's names."""

    layout: str
    text: str
    images: bool = True  # whether image files have such names too, or volumes only
    upper: bool = False  # subjects in capital letters, however they are spelled

    @functools.cached_property
    def form(self) -> re.Pattern[str]:
        """The expression, compiled where names are read: other processes do without."""
        return re.compile(self.text, re.IGNORECASE)


def _scheme(layout: str, form: str, **choices: bool) -> Scheme:
    return Scheme(layout, form, **choices)


OASIS_COURSE = re.compile(
    r"(?:keras_png_slices_(?:seg_)?(?P<split>train|validate|test)/(?:slices/)?|^|/)"
    r"(?P<kind>case|seg)_(?P<subject>\d+)_slice_(?P<position>\d+)(?:\.nii)?\.png$",
    re.IGNORECASE,
)
AKOA = re.compile(
    r"(?P<subject>OAI\d{7})_BaseLine_(?P<session>\d+)_?de3d1_SAG_3D_DESS_WE_"
    r"(?P<side>L_?E_?F_?T|R_?I_?G_?H_?T)(?:\.nii\.gz)?_(?P<position>\d+)\.png$",
    re.IGNORECASE,
)
BIDS = re.compile(
    r"(?:^|/)sub-(?P<subject>[A-Za-z0-9]+)(?:_sess?-(?P<session>[A-Za-z0-9]+))?_[^/]*$"
)

SCHEMES = (
    _scheme(
        "neurite",
        r"OASIS_(?P<subject>OAS1_\d{4})_MR(?P<session>\d+)/[^/]+$",
        images=False,
        upper=True,
    ),
    _scheme(
        "oasis1",
        r"(?P<subject>OAS1_\d{4})_MR(?P<session>\d+)(?:[^/]*_mpr-(?P<run>\d)_(?P<position>\d+)"
        r"\.(?:jpe?g|png)$)?",
        upper=True,
    ),
    _scheme("oasis2", r"(?P<subject>OAS2_\d{4})_MR(?P<session>\d+)(?:.*mpr-(?P<run>\d))?"),
    _scheme("oasis3", r"(?P<subject>OAS[34]\d{4})(?:_[A-Za-z0-9]+)??_(?P<session>d\d{4})"),
    _scheme("oasis3", rf"{_SEP}(?P<subject>OAS[34]\d{{4}}){_END}"),
    _scheme(
        "learn2reg",
        r"(?:^|/)(?P<subject>OASIS_\d{4})_\d{4}\.nii(?:\.gz)?$",
        images=False,
        upper=True,
    ),
    _scheme("learn2reg", r"(?P<subject>(?:LUMIRMRI|AbdomenMRCT|AbdomenCTCT)_\d{4})_(?P<run>\d{4})"),
    _scheme(
        "nnunet",
        r"(?:^|/)(?:images|labels)(?:Tr|Ts|Val)?/(?P<subject>[^/]*\d[^/]*)_(?P<contrast>00\d\d)"
        r"\.(?:nii(?:\.gz)?|mha|nrrd|png|tif)$",
    ),
    _scheme(
        "msd",
        r"(?:^|/)(?:images|labels)(?:Tr|Ts)/(?P<subject>[A-Za-z]+_?\d{1,3})\.nii(?:\.gz)?$",
        images=False,
    ),
    _scheme(
        "nnunet",
        r"(?:^|/)labels(?:Tr|Ts|Val)/(?P<subject>[^/]*\d)\.(?:nii(?:\.gz)?|mha|nrrd|png|tif)$",
    ),
    # 2023 and later: BraTS-GLI-00000-000; 2017 to 2019: Brats18_CBICA_AAB_1, the last number a
    # time point; 2020: BraTS20_Training_001; 2021: BraTS2021_00000.
    _scheme("brats", r"(?P<subject>BraTS-(?:[A-Z]+-)+\d{4,5})-(?P<session>\d{1,3})"),
    _scheme("brats", r"(?P<subject>Bra(?:TS|ts)1[789]_[A-Z0-9]+_[A-Z0-9]+)_(?P<session>\d+)"),
    _scheme("brats", r"(?P<subject>BraTS20_(?:Training|Validation|Testing)_\d{3})"),
    _scheme("brats", r"(?P<subject>BraTS20\d\d_\d{5})"),
    _scheme("brats", r"(?P<subject>brats_(?:2013|tcia)_pat\d+)_(?P<session>\d+)"),
    _scheme(
        "brats",
        r"(?P<subject>(?:UPENN-GBM|UCSF-PDGM|UCSD-PTGBM|BraTSReg)[-_]\d{3,5})"
        r"(?:[_-](?P<session>\d\d))?(?=[/_.-])",
    ),
    _scheme(
        "isles",
        r"(?:^|/)(?P<subject>\d{1,3}|(?:training|testing|case)_\d+)/"
        r"VSD\.Brain[^/]*(?:/[^/]*)?$",
    ),
    _scheme("rembrandt", r"(?:^|/)(?P<subject>900_00_\d{4}|HF\d{4}|E\d{5})_(?P<session>\d{4})_"),
    _scheme("ixi", r"(?P<subject>IXI\d{3})-[A-Za-z]+-\d{4}(?:-(?P<contrast>[A-Za-z0-9]+))?"),
    _scheme(
        "adni",
        rf"{_SEP}(?P<subject>\d{{3}}_S_\d{{4,5}})(?:.*?_(?P<session>(?:19|20)\d{{6}})"
        r"\d{0,11}(?=_))?",
    ),
    _scheme("atlas", r"(?:^|/)(?P<subject>\d{6})/(?P<session>t\d\d)/\d{6}_"),
    _scheme("ukbiobank", r"(?:^|[/_])(?P<subject>[1-6]\d{6})_(?:20\d{3})_(?P<session>\d)_\d"),
    _scheme("hcp", r"(?P<subject>HC[ADP]\d{7})_(?P<session>V\d)"),
    _scheme("hcp", r"(?:^|/)(?P<subject>\d{6})/(?:unprocessed|T1w|T2w|MNINonLinear)/"),
    _scheme("hcp", r"(?:^|/)(?P<subject>\d{6})_(?P<run>[37]T)_(?:T1w|T2w)"),
    _scheme(
        "freesurfer",
        r"(?:^|/)(?P<subject>[^/]+)/mri/(?:orig/|transforms/)?[^/]+\.mg[zh]$",
        images=False,
    ),
    _scheme(
        "mrnet",
        r"(?:^|/)(?:train|valid|test)/(?P<plane>axial|coronal|sagittal)/"
        r"(?P<subject>\d{4})(?:\.np[yz]$|[/_](?:\D*(?P<position>\d+))?)",
    ),
    _scheme(
        "fastmri",
        r"(?P<subject>file(?:_brain_(?P<contrast>AX[A-Z0-9]+)|_prostate_"
        rf"(?:AX[A-Z0-9]+)|_knee)?(?:_\d+)?_?\d{{5,7}}){_SLICE}",
    ),
    _scheme("fastmri", r"(?P<subject>fastMRI_(?:breast|prostate)_\d{3})(?:_(?P<session>\d))?"),
    _scheme(
        "oai",
        r"(?:^|[/_])(?P<subject>OAI\d{7}|9\d{6})(?:[_-]?V?(?P<session>\d\d)(?=[_./-]))?"
        r"[_-]?(?P<side>LEFT|RIGHT|L|R)?(?:[_-](?P<position>\d{1,3}))?(?=[/_.]|$)",
    ),
    _scheme(
        "lgg",
        r"(?P<subject>TCGA[_-][A-Z0-9]{2}[_-][A-Z0-9]{4})(?:_(?P<session>\d{8}))?"
        rf"(?:/TCGA[_-][A-Z0-9]{{2}}[_-][A-Z0-9]{{4}}(?:_\d{{8}})?)?{_SLICE}",
    ),
    _scheme(
        "abide",
        r"(?:^|/)(?:CMU|Caltech|KKI|Leuven|MaxMun|NYU|OHSU|Olin|Pitt|SBL|SDSU|Stanford|"
        r"Trinity|UCLA|UM|USM|Yale)(?:_[0-9a-d])?_(?P<subject>00\d{5})"
        r"(?:/(?P<session>session_\d+)/(?:anat|rest)_(?P<run>\d+))?(?=[/_.])",
    ),
    _scheme(
        "abide",
        r"(?:^|/)(?:wssd|\w+?_)?(?P<subject>\d{5,7})/(?P<session>session_\d+)/"
        r"(?:anat|rest)_(?P<run>\d+)/",
    ),
    _scheme(
        "loni",
        r"(?:^|/)(?P<subject>(?:PPMI|ABIDE|AIBL|ADHD|NIFD|ICBM|ADNI)_[A-Z0-9]+)_"
        r"MRI?_(?:.*?_(?P<session>(?:19|20)\d{6})\d{0,11}(?=_))?",
    ),
    _scheme("ppmi", r"(?:^|/)PPMI/(?P<subject>\d{4,6})/[^/]+/(?P<session>(?:19|20)\d\d-\d\d-\d\d)"),
    _scheme("camcan", rf"{_SEP}(?P<subject>CC\d{{6}}){_END}"),
    _scheme("cc359", r"(?:^|/)(?P<subject>CC0\d{3})_(?P<run>[a-z]+_(?:15|3))_\d+_[MF]"),
    _scheme("acdc", r"(?:^|/)(?P<subject>patient\d{3})_(?:frame(?P<run>\d\d)|(?P<session>4d))"),
    _scheme(
        "promise12",
        r"(?P<subject>(?:BIDMC|HK|I2CVB|UCL|BMC|RUNMC)/Case\d\d)(?:_segmentation)?\.nii",
    ),
    _scheme("promise12", r"(?:^|/)(?P<subject>Case\d\d)(?:_segmentation)?\.(?:mhd|raw|nii)"),
    _scheme("picai", r"(?:^|/)(?P<subject>1\d{4})_(?P<session>1\d{6})(?=[_.])"),
    _scheme("miriad", r"(?P<subject>miriad_\d{3})_[A-Z]+_[MF]_(?P<session>\d\d)_MR_(?P<run>\d)"),
    _scheme("ms2015", r"(?:^|/)(?P<subject>(?:training|test)\d\d)_(?P<session>\d\d)_"),
    _scheme("mmwhs", r"(?P<subject>mr_(?:train|test)_\d{4})"),
    _scheme("crossmoda", r"(?P<subject>crossmoda(?:20\d\d)?_(?:[a-z]+_)?\d+)_"),
    _scheme("myops", r"(?P<subject>myops_(?:training|test)_\d+)_"),
    _scheme("gsp", r"(?P<subject>Sub\d{4})_(?P<session>Ses\d)"),
    _scheme("ibsr", r"(?P<subject>IBSR_\d\d)_"),
    _scheme("iseg", r"(?P<subject>subject-\d+)-(?=T1|T2|label)"),
    _scheme("brats", r"(?P<subject>volume_\d+)_slice_(?P<position>\d+)"),
)


def read_scheme(scheme: Scheme, path: str) -> Mapping[str, str] | None:
    """What a path says if it is named as the scheme has it; the subject in one spelling."""
    found = scheme.form.search(path)
    if found is None:
        return None
    said = {key: value or "" for key, value in found.groupdict().items()}
    if scheme.upper:
        said["subject"] = said["subject"].upper()
    return said
