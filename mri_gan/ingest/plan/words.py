"""Words and schemes of file names: contrasts, planes, sides, visits, runs, slices, and the rest.

Of a name such as `p07_ses-2_T1w_slice_012`, only `p07` says whose it is.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from mri_gan.ingest.source import whole_number

# Words for a contrast, spelled without separators, and its one name here.
CONTRAST_WORDS = {
    "t1": "t1 t1w t1wi t1n t1raw t1weighted mprage memprage mpr spgr fspgr bravo mp2rage unit1 "
    "axt1 axt1pre t1pre t1wpre inplanet1 anat1 3dt1",
    "t1ce": "t1ce t1c t1gd t1gad t1post t1wce t1wc t1contrast cet1 ct1 t1km axt1post t1wpost "
    "cet1w t1wgd t1cw",
    "t2": "t2 t2w t2wi t2n t2weighted hrt2 tset2 t2tse axt2 inplanet2 t2fse t2space",
    "flair": "flair t2f t2flair t2wflair fla axflair flairw t2flairw darkfluid 3dflair",
    "pd": "pd pdw pdwi corpd protondensity pdfs corpdfs",
    "t2star": "t2star t2s t2starw t2stargre swan",
    "swi": "swi minip",
    "dwi": "dwi trace dki b1000 hbv",
    "adc": "adc",
    "dti": "dti fa md",
    "mra": "mra tof angio",
    "bold": "bold fmri rest rsfmri rfmri tfmri func cbv",
    "asl": "asl cbf perf perfusion tmax mtt",
    "sbref": "sbref",
    "m0scan": "m0scan m0",
    "phase": "phase phasediff phase1 phase2",
    "magnitude": "magnitude magnitude1 magnitude2",
    "fieldmap": "fieldmap fmap epi",
    "dess": "dess",
    "dixon": "dixon",
    "stir": "stir",
    "ct": "ct cbct ldct ncct cta ctp",
    "pet": "pet fdg av45",
    "localizer": "localizer localizers localiser localisers scout scouts",
}
CONTRAST_OF = {word: name for name, words in CONTRAST_WORDS.items() for word in words.split()}
# Anatomical pictures; the rest is another kind of measurement, taken only where it is named.
ANATOMICAL = {
    *("t1", "t1ce", "t2", "flair", "pd", "t2star", "swi", "dess", "dixon", "stir", "mra", "adc"),
    *("dwi", "dti"),
}
# What names a contrast agent behind T1, and what denies it
AGENTS = {"km", "gd", "gad", "gado", "gadovist", "gadolinium", "contrast", "ce"}
WITHOUT = {"no", "non", "without", "pre", "ohne"}
PLANE_WORDS = {
    **dict.fromkeys(["ax", "axial", "axi", "tra", "transverse", "transversal"], "axial"),
    **dict.fromkeys(["cor", "coronal"], "coronal"),
    **dict.fromkeys(["sag", "sagittal"], "sagittal"),
}
SIDES = {"l": "left", "r": "right"}
SIDE_WORDS = {"left": "left", "right": "right", "lt": "left", "rt": "right"}
# Words of processing, and words that every scan may be called.
_EMPTY_WORDS = """
    img image images imgs scan scans slice slices mri mr brain head anat anatomical data dataset
    nifti nii raw orig original dicom dcm png jpg jpeg tif tiff bmp output preprocessed processed
    preproc proc norm normalized normalised restore restored masked n3 n4 bias biascorr corrected
    corr reg registered coreg deface defaced anonymized anon ss skullstripped stripped bet bettered
    resampled resliced crop cropped 1mm 2mm stx pp gz unbiased acpc dc warped volume vol stack
    series 3d 2d iso std mni mni152 icbm space native final clean denoised hires highres lowres 3t
    7t 1.5t 15t copy of new mprage1 structural struct pre fullbody noisy wip sense zmap
"""
EMPTY_WORDS = frozenset(_EMPTY_WORDS.split())
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validate",
    "valid": "validate",
    "validate": "validate",
    "validation": "validate",
    "test": "test",
    "testing": "test",
    "dev": "validate",
    "eval": "test",
}
SPLIT_WORD = re.compile(
    r"^(?:.*[_\-. ])?(?P<word>train|training|val|valid|validate|validation|test|testing|dev|eval)"
    r"(?:[AB]|[_\-. ]?(?:sets?|data|v\d|batch_\d+|images|img|imgs|slices|scans|cases|in|out|"
    r"mri))*$",
    re.IGNORECASE,
)
MASK_FOLDERS = {
    *("label", "labels", "labelstr", "labelsts", "labelsval", "mask", "masks", "seg", "segs"),
    *("segmentation", "segmentations", "groundtruth", "ground_truth", "ground", "gt", "gts"),
    *("annotation", "annotations", "contour", "contours", "manual_segmentation", "masques"),
    *("segmentation_masks", "seg_masks", "label_maps"),
}
MASK_WORD = re.compile(
    r"(?:^|[_\-. ])(?:f|d|a|w)?(?:[a-z]*seg(?:tri|img[a-z]*)?\d*|"
    r"(?!unmask|nomask)[a-z]*masks?\d*|msk|labels?\d*(?:for[a-z]+)?|truth|ground_?truth|"
    r"tissues?|parc|aparc\+aseg|aparc|wmparc|segmentations?|segm|ribbon|gt|lesion|"
    r"lesionsmooth|laendo|wmh|gtv|roi|OT(?=\.\d+$)|(?:delineation|manual)(?=$))"
    r"(?:[_\-. ]|$)",
    re.IGNORECASE,
)
IMAGE_FOLDERS = {"images", "image", "imagestr", "imagests", "img", "imgs", "scans", "slices"}
PROBABILITY = re.compile(r"(?:^|[_\-.])(?:probseg|probmap|pve_?\d|c[1-6](?=p\d|T1))", re.IGNORECASE)
GROUP_WORD = re.compile(
    r"^(?:site|center|centre|hospital|group|cohort|batch|part|disc|disk|fold|scanner|vendor|"
    r"domain|folder|dir|class|chunk|sub_?set|set|release|study|exp|experiment|noise|snr)"
    r"[_\-. ]*[a-z0-9]{0,4}$|^v\d*$"
    r"|^(?:ge|siemens|philips|toshiba|canon)?[_\-. ]*\d(?:[.T]\d)?T\d?$",
    re.IGNORECASE,
)
_CLASS_WORDS = """
    ad cn mci emci lmci smc hc hgg lgg gbm yes no tumor tumour notumor notumour healthy normal
    abnormal control controls patient patients case cases glioma meningioma pituitary demented
    nondemented positive negative benign malignant asd td mdd scz female females male males women
    men young old elderly children adults
"""
CLASS_WORDS = frozenset(_CLASS_WORDS.split())
# Of these a person has one only, so that numbers in two of them are two people.
_DIAGNOSES = """
    ad cn mci emci lmci smc hc hgg lgg gbm asd td mdd scz control controls patient patients female
    females male males women men young old elderly children adults
"""
DIAGNOSES = frozenset(_DIAGNOSES.split())
STAGES = frozenset(["ad", "cn", "mci", "emci", "lmci", "smc"])  # of one disease
_NUMBERED = {
    "slice": r"(?:slices?|slc|sl|s|z|img|image|im|frame|idx|page|layer|depth)",
    "visit": r"(?:ses|sess|session|visit|timepoint|time|tp|wave|month|mo|week|wk|year|yr|fu|"
    r"followup|baseline|bl|day|date|sid|exam|m|w|y|t|v|d|mr(?=\d\d?$))",
    "run": r"(?:run|rep|repeat|acq|echo|series|ser|try|mpr|scan|anat|ana|inv|e|r|pn|rf)",
}
NUMBERED = {kind: re.compile(rf"^{words}(\d+)$", re.I) for kind, words in _NUMBERED.items()}
ANNOUNCING = {kind: re.compile(rf"^{words}$", re.I) for kind, words in _NUMBERED.items()}
LATER_WORDS = {"sid", "exam"}  # of visits only where somebody was named already
VISIT_WORD = re.compile(
    r"^(?:baseline|bl|follow-?up|fu|pre-?op|post-?op|preoperative|postoperative|retest|"
    r"(?:19|20)\d\d[01]\d[0-3]\d[0-2]\d[0-5]\d[0-5]\d\d*|"
    r"(?:19|20)\d\d-?[01]\d-?[0-3]\d(?:_.*)?|(?:19|20)\d\d|\d+\.\d+\.\d[\d.]*)$",
    re.IGNORECASE,
)
YEAR = re.compile(r"^(?:19|20)\d\d$")
PERSON_WORD = re.compile(
    r"^(?:p|pt|pat|patient|sub|subj|subject|case|person|participant|volunteer|id|subjid)$", re.I
)
PERSON_NUMBER = re.compile(
    r"^(?:p|pt|pat|patient|s|sub|subj|subject|case|person|participant|volunteer|id)[_\-. ]?\d+",
    re.IGNORECASE,
)
GLUED_CONTRAST = re.compile(r"^(.*\d)(t1w?|t1ce|t1c|t2w?|flair|pdw?)$", re.IGNORECASE)
SEPARATORS = re.compile(r"[_\-. ()\[\]+,;=#@]+")
# `ID01KneeL`, `hipLeft`: a part of the body and its side.
GLUED_SIDE = re.compile(
    r"^(?P<name>(?:.*?(?:(?<=[a-z0-9])(?=[A-Z])|(?<=\d)))?"
    r"(?i:knee|kn|hip|hand|foot|wrist|ankle|shoulder|elbow|breast|eye|thigh|calf|kidney))"
    r"(?P<side>L|R|l|r|(?i:left|right|lt|rt))$"
)
GLUED_NUMBER = re.compile(r"^(\D*?)(\d+)$")
GLUED_WORDS = re.compile(
    r"(?<=\d)(?=(?:slice|slc|img|ses|visit|run|day|week|month|scan)_?\d)", re.I
)
GLUED_RUN = re.compile(r"^(t1|t2|flair|pd)(\d\d)$", re.IGNORECASE)
SPELLED_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-._]([01]\d)[-._]([0-3]\d)(?!\d)")


@dataclass
class Words:
    """What the words of one part of a path say; `name` are those that say whose it is."""

    name: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)  # what stood before each of them
    contrast: str = ""
    plane: str = ""
    side: str = ""
    visit: str = ""
    run: str = ""
    position: int = -1
    last: str = ""  # the kind of the last word
    counts_slices: bool = True
    has_years: bool = True

    @property
    def text(self) -> str:
        """The words of the name, as they were written."""
        pairs = zip(self.gaps, self.name, strict=True)
        return "".join(gap + word for gap, word in pairs)[len("".join(self.gaps[:1])) :]


def plain_text(text: str) -> str:
    """One spelling of a name: Unicode letters composed, separators of Windows as slashes."""
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    return composed.replace("\\", "/")


def contrast_of(word: str) -> str:
    """The contrast that a word names, such as `t1` for `T1w`; empty for other words."""
    return CONTRAST_OF.get(SEPARATORS.sub("", word).lower(), "")


@functools.lru_cache(maxsize=1 << 15)  # folders, and slices' names, come again and again
def read_words(text: str, kind: str = "image", years: bool = True) -> Words:
    """Sort the words of a folder's or a file's name without its suffix; `years`: 1998 may be one.

    `kind` is `image`, `volume` or `folder`: numbers count slices in names of images only.
    """
    found = Words(counts_slices=kind == "image", has_years=years)
    text = SPELLED_DATE.sub(r"\1\2\3", GLUED_WORDS.sub("_", text))
    parts = re.split(f"({SEPARATORS.pattern})", text)
    tokens, gaps = parts[::2], ["", *parts[1::2]]
    pairs = [(token, gap) for token, gap in zip(tokens, gaps, strict=True) if token]
    while pairs:
        pairs = pairs[_take([token for token, _ in pairs[:3]], found, pairs[0][1]) :]
    return found


def _take(tokens: list[str], found: Words, gap: str) -> int:
    """Sort the first of three words, or two that belong together; how many those were."""
    lower = [token.lower() for token in tokens]
    pair = "".join(lower[:2])
    halves = lower[0] in CONTRAST_OF or pair in ("mprage", "darkfluid")
    apart = len(tokens) == 1 or _count_agent(lower[1:]) == 2  # `t1`, and then `post_Gd`
    if pair in CONTRAST_OF and halves and not apart:
        return _set(found, "contrast", CONTRAST_OF[pair], 2)
    if found.contrast == "t1" and (count := _count_agent(lower)):
        return _set(found, "contrast", "t1" if lower[0] in WITHOUT else "t1ce", count)
    if len(tokens) > 1 and tokens[1].isdecimal():
        for kind, form in ANNOUNCING.items():
            if form.match(tokens[0]) and _may_announce(kind, tokens, found):
                return _set(found, kind, tokens[1], 2)
    _sort_one(tokens[0], found, gap)
    return 1


def _count_agent(words: list[str]) -> int:
    """How many of the first words are about a contrast agent: `KM`, `post_Gd`, `no_contrast`."""
    told = words[0] in {"post", *WITHOUT} and AGENTS.intersection(words[1:2])
    return 2 if told else int(words[0] in AGENTS)


def _may_announce(kind: str, tokens: list[str], found: Words) -> bool:
    # `baseline_0012` is person 0012's, `p1_baseline_0012` is not: of an image it is the slice.
    is_slice = found.counts_slices and len(tokens) == 2
    is_person = len(tokens[1]) > 2 and not found.name
    is_else = VISIT_WORD.match(tokens[0]) and (is_slice or is_person)
    return not is_else and _may_be(kind, tokens[0], found)


def _may_be(kind: str, word: str, found: Words) -> bool:
    # A letter or two and a number may be a person; where somebody was named already, they are not.
    letters = word.rstrip("0123456789").lower()
    if letters in LATER_WORDS:
        return bool(found.name)
    if kind == "slice" and not found.counts_slices:
        return bool(found.name) and letters != "s"
    short = letters == "s" if kind == "slice" else len(letters) < 3
    return bool(found.name) or not short


def _sort_one(token: str, found: Words, gap: str) -> None:
    lower = token.lower()
    run = GLUED_RUN.match(token)
    if run:
        found.run = run[2]
        _set(found, "contrast", contrast_of(run[1]))
        return
    for kind, words in (("contrast", CONTRAST_OF), ("plane", PLANE_WORDS), ("side", SIDE_WORDS)):
        if lower in words:
            _set(found, kind, words[lower])
            return
    for kind, form in NUMBERED.items():
        match = form.match(token)
        if match and _may_be(kind, token, found):
            _set(found, kind, match[1])
            return
    is_date = VISIT_WORD.match(token) and (found.has_years or not YEAR.match(token))
    if is_date and (found.name or not token.isdecimal() or len(token) == 8):
        _set(found, "visit", lower)
    elif lower in EMPTY_WORDS:
        found.last = "empty"
    else:
        _name(token, found, gap)


def _name(token: str, found: Words, gap: str) -> None:
    glued = GLUED_CONTRAST.match(token)
    sided = GLUED_SIDE.match(token)
    if glued:
        _set(found, "contrast", contrast_of(glued[2]))
    if sided:
        _set(found, "side", SIDES[sided["side"][0].lower()])
    found.name.append(glued[1] if glued else sided["name"] if sided else token)
    found.gaps.append(gap)
    found.last = "contrast" if glued else "name"


def _set(found: Words, kind: str, value: str, n_words: int = 1) -> int:
    if kind == "slice":
        found.position = whole_number(value)
    else:
        setattr(found, kind, value)
    found.last = kind
    return n_words


@functools.lru_cache(maxsize=1 << 12)
def mask_folder(folder: str) -> str | None:
    """What a folder of label maps says beside that, such as `train` of `train_masks`; else None."""
    lower = folder.lower()
    if lower in MASK_FOLDERS:
        return ""
    parts = SEPARATORS.split(lower)
    rest = [part for part in parts if part.strip("0123456789") not in MASK_FOLDERS]
    known = SPLIT_FOLDERS.keys() | CONTRAST_OF.keys()
    if len(rest) == len(parts) or not all(part in known or part.isdecimal() for part in rest):
        return None
    return "_".join(rest)


# How public collections name their files: who, when, which contrast, which slice. A scheme is
# searched in the whole path, with the groups of a Naming; the first that fits wins.

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
    Scheme(
        "neurite",
        r"OASIS_(?P<subject>OAS1_\d{4})_MR(?P<session>\d+)/[^/]+$",
        images=False,
        upper=True,
    ),
    Scheme(
        "oasis1",
        r"(?P<subject>OAS1_\d{4})_MR(?P<session>\d+)(?:[^/]*_mpr-(?P<run>\d)_(?P<position>\d+)"
        r"\.(?:jpe?g|png)$)?",
        upper=True,
    ),
    Scheme("oasis2", r"(?P<subject>OAS2_\d{4})_MR(?P<session>\d+)(?:.*mpr-(?P<run>\d))?"),
    Scheme("oasis3", r"(?P<subject>OAS[34]\d{4})(?:_[A-Za-z0-9]+)??_(?P<session>d\d{4})"),
    Scheme("oasis3", rf"{_SEP}(?P<subject>OAS[34]\d{{4}}){_END}"),
    Scheme(
        "learn2reg",
        r"(?:^|/)(?P<subject>OASIS_\d{4})_\d{4}\.nii(?:\.gz)?$",
        images=False,
        upper=True,
    ),
    Scheme("learn2reg", r"(?P<subject>(?:LUMIRMRI|AbdomenMRCT|AbdomenCTCT)_\d{4})_(?P<run>\d{4})"),
    Scheme(
        "nnunet",
        r"(?:^|/)(?:images|labels)(?:Tr|Ts|Val)?/(?P<subject>[^/]*\d[^/]*)_(?P<contrast>00\d\d)"
        r"\.(?:nii(?:\.gz)?|mha|nrrd|png|tif)$",
    ),
    Scheme(
        "msd",
        r"(?:^|/)(?:images|labels)(?:Tr|Ts)/(?P<subject>[A-Za-z]+_?\d{1,3})\.nii(?:\.gz)?$",
        images=False,
    ),
    Scheme(
        "nnunet",
        r"(?:^|/)labels(?:Tr|Ts|Val)/(?P<subject>[^/]*\d)\.(?:nii(?:\.gz)?|mha|nrrd|png|tif)$",
    ),
    # 2023 and later: BraTS-GLI-00000-000; 2017 to 2019: Brats18_CBICA_AAB_1, the last a time point.
    Scheme("brats", r"(?P<subject>BraTS20_(?:Training|Validation|Testing)_\d{3})"),
    Scheme("brats", r"(?P<subject>BraTS20\d\d_\d{5})"),
    Scheme("brats", r"(?P<subject>BraTS-(?:[A-Z]+-)+\d{4,5})-(?P<session>\d{1,3})"),
    Scheme("brats", r"(?P<subject>Bra(?:TS|ts)1[789]_[A-Z0-9]+_[A-Z0-9]+)_(?P<session>\d+)"),
    Scheme("brats", r"(?P<subject>brats_(?:2013|tcia)_pat\d+)_(?P<session>\d+)"),
    Scheme(
        "brats",
        r"(?P<subject>(?:UPENN-GBM|UCSF-PDGM|UCSD-PTGBM|BraTSReg)[-_]\d{3,5})"
        r"(?:[_-](?P<session>\d\d))?(?=[/_.-])",
    ),
    Scheme(
        "isles",
        r"(?:^|/)(?P<subject>\d{1,3}|(?:training|testing|case)_\d+)/"
        r"VSD\.Brain[^/]*(?:/[^/]*)?$",
    ),
    Scheme("rembrandt", r"(?:^|/)(?P<subject>900_00_\d{4}|HF\d{4}|E\d{5})_(?P<session>\d{4})_"),
    Scheme("ixi", r"(?P<subject>IXI\d{3})-[A-Za-z]+-\d{4}(?:-(?P<contrast>[A-Za-z0-9]+))?"),
    Scheme(
        "adni",
        rf"{_SEP}(?P<subject>\d{{3}}_S_\d{{4,5}})(?:.*?_(?P<session>(?:19|20)\d{{6}})"
        r"\d{0,11}(?=_))?",
    ),
    Scheme("atlas", r"(?:^|/)(?P<subject>\d{6})/(?P<session>t\d\d)/\d{6}_"),
    Scheme("ukbiobank", r"(?:^|[/_])(?P<subject>[1-6]\d{6})_(?:20\d{3})_(?P<session>\d)_\d"),
    Scheme("hcp", r"(?P<subject>HC[ADP]\d{7})_(?P<session>V\d)"),
    Scheme("hcp", r"(?:^|/)(?P<subject>\d{6})/(?:unprocessed|T1w|T2w|MNINonLinear)/"),
    Scheme("hcp", r"(?:^|/)(?P<subject>\d{6})_(?P<run>[37]T)_(?:T1w|T2w)"),
    Scheme(
        "freesurfer",
        r"(?:^|/)(?P<subject>[^/]+)/mri/(?:orig/|transforms/)?[^/]+\.mg[zh]$",
        images=False,
    ),
    Scheme(
        "mrnet",
        r"(?:^|/)(?:train|valid|test)/(?P<plane>axial|coronal|sagittal)/"
        r"(?P<subject>\d{4})(?:\.np[yz]$|[/_](?:\D*(?P<position>\d+))?)",
    ),
    Scheme(
        "fastmri",
        r"(?P<subject>file(?:_brain_(?P<contrast>AX[A-Z0-9]+)|_prostate_"
        rf"(?:AX[A-Z0-9]+)|_knee)?(?:_\d+)?_?\d{{5,7}}){_SLICE}",
    ),
    Scheme("fastmri", r"(?P<subject>fastMRI_(?:breast|prostate)_\d{3})(?:_(?P<session>\d))?"),
    Scheme(
        "oai",
        r"(?:^|[/_])(?P<subject>OAI\d{7}|9\d{6})(?:[_-]?V?(?P<session>\d\d)(?=[_./-]))?"
        r"[_-]?(?P<side>LEFT|RIGHT|L|R)?(?:[_-](?P<position>\d{1,3}))?(?=[/_.]|$)",
    ),
    Scheme(
        "lgg",
        r"(?P<subject>TCGA[_-][A-Z0-9]{2}[_-][A-Z0-9]{4})(?:_(?P<session>\d{8}))?"
        rf"(?:/TCGA[_-][A-Z0-9]{{2}}[_-][A-Z0-9]{{4}}(?:_\d{{8}})?)?{_SLICE}",
    ),
    Scheme(
        "abide",
        r"(?:^|/)(?:CMU|Caltech|KKI|Leuven|MaxMun|NYU|OHSU|Olin|Pitt|SBL|SDSU|Stanford|"
        r"Trinity|UCLA|UM|USM|Yale)(?:_[0-9a-d])?_(?P<subject>00\d{5})"
        r"(?:/(?P<session>session_\d+)/(?:anat|rest)_(?P<run>\d+))?(?=[/_.])",
    ),
    Scheme(
        "abide",
        r"(?:^|/)(?:wssd|\w+?_)?(?P<subject>\d{5,7})/(?P<session>session_\d+)/"
        r"(?:anat|rest)_(?P<run>\d+)/",
    ),
    Scheme(
        "loni",
        r"(?:^|/)(?P<subject>(?:PPMI|ABIDE|AIBL|ADHD|NIFD|ICBM|ADNI)_[A-Z0-9]+)_"
        r"MRI?_(?:.*?_(?P<session>(?:19|20)\d{6})\d{0,11}(?=_))?",
    ),
    Scheme("ppmi", r"(?:^|/)PPMI/(?P<subject>\d{4,6})/[^/]+/(?P<session>(?:19|20)\d\d-\d\d-\d\d)"),
    Scheme(
        "ge", r"(?:^|/)(?P<subject>E\d+)S(?P<run>\d+)I(?P<position>\d+)\.(?:png|jpe?g|tiff?|bmp)$"
    ),
    Scheme("camcan", rf"{_SEP}(?P<subject>CC\d{{6}}){_END}"),
    Scheme("cc359", r"(?:^|/)(?P<subject>CC0\d{3})_(?P<run>[a-z]+_(?:15|3))_\d+_[MF]"),
    Scheme("acdc", r"(?:^|/)(?P<subject>patient\d{3})_(?:frame(?P<run>\d\d)|(?P<session>4d))"),
    Scheme(
        "promise12",
        r"(?P<subject>(?:BIDMC|HK|I2CVB|UCL|BMC|RUNMC)/Case\d\d)(?:_segmentation)?\.nii",
    ),
    Scheme("promise12", r"(?:^|/)(?P<subject>Case\d\d)(?:_segmentation)?\.(?:mhd|raw|nii)"),
    Scheme("picai", r"(?:^|/)(?P<subject>1\d{4})_(?P<session>1\d{6})(?=[_.])"),
    Scheme("miriad", r"(?P<subject>miriad_\d{3})_[A-Z]+_[MF]_(?P<session>\d\d)_MR_(?P<run>\d)"),
    Scheme("ms2015", r"(?:^|/)(?P<subject>(?:training|test)\d\d)_(?P<session>\d\d)_"),
    Scheme("mmwhs", r"(?P<subject>mr_(?:train|test)_\d{4})"),
    Scheme("crossmoda", r"(?P<subject>crossmoda(?:20\d\d)?_(?:[a-z]+_)?\d+)_"),
    Scheme("myops", r"(?P<subject>myops_(?:training|test)_\d+)_"),
    Scheme("gsp", r"(?P<subject>Sub\d{4})_(?P<session>Ses\d)"),
    Scheme("ibsr", r"(?P<subject>IBSR_\d\d)_"),
    Scheme("iseg", r"(?P<subject>subject-\d+)-(?=T1|T2|label)"),
    Scheme("brats", r"(?P<subject>volume_\d+)_slice_(?P<position>\d+)"),
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
