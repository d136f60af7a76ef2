"""Public collections, as their files are named: names alone, with made-up people.

    python tools/naming_schemes.py

prints what a file of each becomes. `{who}` is the person as the collection writes it; each name of
`files` exists for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mri_gan.ingest.plan.filenames import identify_all
from mri_gan.preparation import PrepareConfig


@dataclass(frozen=True)
class Collection:
    """Names of one collection."""

    name: str
    source: str
    people: Sequence[str]
    files: Sequence[str]
    contrasts: Sequence[str] = ()  # that its scans have, masks left out
    masks: int = 0  # of the files


def numbered(form: str, count: int = 10, first: int = 1) -> list[str]:
    """People with running numbers."""
    return [form.format(number) for number in range(first, first + count)]


BRATS = ("t1", "t1ce", "t2", "flair")
COLLECTIONS = (
    Collection(
        "OASIS course archive",
        "https://sites.wustl.edu/oasisbrains/",
        numbered("{:03}"),
        [
            *(f"keras_png_slices_train/case_{{who}}_slice_{k}.nii.png" for k in range(3)),
            *(f"keras_png_slices_seg_train/seg_{{who}}_slice_{k}.nii.png" for k in range(3)),
        ],
        masks=3,
    ),
    Collection(
        "OASIS course slices in another folder",
        "https://sites.wustl.edu/oasisbrains/",
        numbered("{:03}", first=685),
        [f"brains/case_{{who}}_slice_{k}.nii.png" for k in range(3)],
    ),
    Collection(
        "OASIS-1 discs",
        "https://sites.wustl.edu/oasisbrains/home/oasis-1/",
        numbered("OAS1_{:04}"),
        [
            "disc1/{who}_MR1/PROCESSED/MPRAGE/T88_111/{who}_MR1_mpr_n4_anon_111_t88_gfc.hdr",
            "disc1/{who}_MR1/PROCESSED/MPRAGE/T88_111/{who}_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr",
            "disc1/{who}_MR1/RAW/{who}_MR1_mpr-1_anon.hdr",
            "disc1/{who}_MR2/RAW/{who}_MR2_mpr-1_anon.hdr",
            "disc1/{who}_MR1/FSL_SEG/{who}_MR1_mpr_n4_anon_111_t88_masked_gfc_fseg.hdr",
        ],
        ("t1",),
        masks=1,
    ),
    Collection(
        "OASIS-1 slices on Kaggle",
        "https://www.kaggle.com/datasets/ninadaithal/imagesoasis",
        numbered("OAS1_{:04}"),
        [f"Data/Mild Dementia/{{who}}_MR1_mpr-{r}_{k}.jpg" for r in (1, 2) for k in (100, 101)],
        ("t1",),
    ),
    Collection(
        "OASIS-2",
        "https://sites.wustl.edu/oasisbrains/home/oasis-2/",
        numbered("OAS2_{:04}"),
        [f"OAS2_RAW_PART1/{{who}}_MR{v}/RAW/mpr-{r}.nifti.hdr" for v in (1, 2) for r in (1, 2)],
        ("t1",),
    ),
    Collection(
        "OASIS-3",
        "https://sites.wustl.edu/oasisbrains/home/oasis-3/",
        numbered("OAS30{:03}"),
        [
            "{who}_MR_d0129/anat2/NIFTI/sub-{who}_ses-d0129_run-01_T1w.nii.gz",
            "{who}_MR_d0757/anat2/NIFTI/sub-{who}_ses-d0757_run-01_T1w.nii.gz",
            "{who}_MR_d0757/anat4/NIFTI/sub-{who}_ses-d0757_T2w.nii.gz",
        ],
        ("t1", "t2"),
    ),
    Collection(
        "OASIS-3, FreeSurfer",
        "https://sites.wustl.edu/oasisbrains/home/oasis-3/",
        numbered("OAS30{:03}"),
        ["{who}_Freesurfer53_d0129/DATA/{who}_MR_d0129/mri/T1.mgz"],
        ("t1",),
    ),
    Collection(
        "AKOA",
        "https://nda.nih.gov/oai",
        numbered("OAI90000{:02}"),
        [
            f"AKOA_Analysis/{{who}}_BaseLine_3_de3d1_SAG_3D_DESS_WE_{s}.nii.gz_{k}.png"
            for s in ("LEFT", "Right", "R_I_G_H_T")
            for k in (0, 1)
        ],
    ),
    Collection(
        "neurite-OASIS",
        "https://github.com/adalca/medical-datasets/blob/master/neurite-oasis.md",
        numbered("OAS1_{:04}"),
        [f"OASIS_{{who}}_MR1/{k}.nii.gz" for k in ("norm", "orig", "aligned_norm", "seg4")],
        masks=1,
    ),
    Collection(
        "Learn2Reg OASIS",
        "https://learn2reg.grand-challenge.org/",
        numbered("{:04}"),
        ["imagesTr/OASIS_{who}_0000.nii.gz", "labelsTr/OASIS_{who}_0000.nii.gz"],
        masks=1,
    ),
    Collection(
        "Learn2Reg, MR and CT of one person",
        "https://learn2reg.grand-challenge.org/",
        numbered("{:04}"),
        ["imagesTr/AbdomenMRCT_{who}_0000.nii.gz", "imagesTr/AbdomenMRCT_{who}_0001.nii.gz"],
    ),
    Collection(
        "ADNI volumes",
        "https://ida.loni.usc.edu",
        numbered("{:03}_S_0295"),
        [
            "ADNI/{who}/MP-RAGE/2006-04-18_08_20_30.0/S13408/ADNI_{who}_MR_MP-RAGE__br_raw_"
            "20060418193538653_1_S13408_I13722.nii",
            "ADNI/{who}/MP-RAGE/2007-05-02_11_00_00.0/S31633/ADNI_{who}_MR_MP-RAGE__br_raw_"
            "20070502193538653_1_S31633_I53722.nii",
        ],
    ),
    Collection(
        "ADNI slices",
        "https://ida.loni.usc.edu",
        numbered("{:03}_S_1286"),
        [f"AD/ADNI_{{who}}_MR_MPR__GradWarp_br_20070717_S23847_I60451_{k}.png" for k in (88, 89)],
    ),
    Collection(
        "IXI",
        "https://brain-development.org/ixi-dataset/",
        numbered("IXI{:03}"),
        [f"IXI-{c}/{{who}}-Guys-0828-{c}.nii.gz" for c in ("T1", "T2", "PD", "MRA")],
        ("t1", "t2", "pd", "mra"),
    ),
    Collection(
        "BraTS 2017",
        "https://www.med.upenn.edu/sbia/brats2017.html",
        numbered("Brats17_2013_{}"),
        [f"HGG/{{who}}_1/{{who}}_1_{c}.nii.gz" for c in (*BRATS, "seg")],
        BRATS,
        masks=1,
    ),
    Collection(
        "BraTS 2018",
        "https://www.med.upenn.edu/sbia/brats2018.html",
        ["Brats18_CBICA_AAB", "Brats18_TCIA02_135", "Brats18_2013_10", "Brats18_TCIA02_151"],
        [f"MICCAI_BraTS_2018/HGG/{{who}}_1/{{who}}_1_{c}.nii.gz" for c in (*BRATS, "seg")],
        BRATS,
        masks=1,
    ),
    Collection(
        "BraTS 2019",
        "https://www.med.upenn.edu/cbica/brats2019.html",
        ["BraTS19_CBICA_AAB", "BraTS19_TMC_06290", "BraTS19_2013_10", "BraTS19_TCIA01_186"],
        [f"LGG/{{who}}_1/{{who}}_1_{c}.nii.gz" for c in (*BRATS, "seg")],
        BRATS,
        masks=1,
    ),
    Collection(
        "BraTS 2020",
        "https://www.med.upenn.edu/cbica/brats2020/",
        numbered("BraTS20_Training_{:03}"),
        [f"MICCAI_BraTS2020_TrainingData/{{who}}/{{who}}_{c}.nii" for c in (*BRATS, "seg")],
        BRATS,
        masks=1,
    ),
    Collection(
        "BraTS 2021",
        "https://www.synapse.org/Synapse:syn25829067",
        numbered("BraTS2021_{:05}"),
        [f"{{who}}/{{who}}_{c}.nii.gz" for c in (*BRATS, "seg")],
        BRATS,
        masks=1,
    ),
    Collection(
        "BraTS 2023",
        "https://www.synapse.org/Synapse:syn51156910",
        numbered("BraTS-GLI-{:05}"),
        [f"{{who}}-000/{{who}}-000-{c}.nii.gz" for c in ("t1n", "t1c", "t2w", "t2f", "seg")],
        BRATS,
        masks=1,
    ),
    Collection(
        "BraTS 2024, two time points",
        "https://www.synapse.org/Synapse:syn53708249",
        numbered("BraTS-MET-{:05}"),
        [
            f"{{who}}-{v}/{{who}}-{v}-{c}.nii.gz"
            for v in ("100", "101")
            for c in ("t1n", "t1c", "t2w", "t2f", "seg")
        ],
        BRATS,
        masks=2,
    ),
    Collection(
        "BraTS as slices",
        "https://www.kaggle.com/datasets/awsaf49/brats2020-training-data",
        numbered("BraTS20_Training_{:03}"),
        [f"png/{{who}}_{c}_{k}.png" for c in BRATS for k in (70, 71)],
        BRATS,
    ),
    Collection(
        "UPENN-GBM",
        "https://www.cancerimagingarchive.net/collection/upenn-gbm/",
        numbered("UPENN-GBM-{:05}"),
        [f"images_structural/{{who}}_11/{{who}}_11_{c}.nii.gz" for c in ("T1", "T1GD", "T2")],
        ("t1", "t1ce", "t2"),
    ),
    Collection(
        "UCSF-PDGM",
        "https://www.cancerimagingarchive.net/collection/ucsf-pdgm/",
        numbered("UCSF-PDGM-{:04}"),
        [f"{{who}}_nifti/{{who}}_{c}.nii.gz" for c in ("T1", "T1c", "T2", "FLAIR", "SWI")],
        ("t1", "t1ce", "t2", "flair", "swi"),
    ),
    Collection(
        "Medical Segmentation Decathlon",
        "http://medicaldecathlon.com",
        numbered("hippocampus_{:03}"),
        [f"Task04_Hippocampus/{f}/{{who}}.nii.gz" for f in ("imagesTr", "labelsTr")],
        masks=1,
    ),
    Collection(
        "nnU-Net, two channels",
        "https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md",
        numbered("BRATS_{:03}"),
        [
            "Dataset001_BrainTumour/imagesTr/{who}_0000.nii.gz",
            "Dataset001_BrainTumour/imagesTr/{who}_0001.nii.gz",
            "Dataset001_BrainTumour/labelsTr/{who}.nii.gz",
        ],
        ("0000", "0001"),
        masks=1,
    ),
    Collection(
        "HCP Young Adult",
        "https://www.humanconnectome.org/study/hcp-young-adult",
        numbered("{}", first=100206),
        [
            "{who}/T1w/T1w_acpc_dc_restore.nii.gz",
            "{who}/T1w/T2w_acpc_dc_restore.nii.gz",
            "{who}/unprocessed/3T/T1w_MPR1/{who}_3T_T1w_MPR1.nii.gz",
            "{who}/T1w/aparc+aseg.nii.gz",
        ],
        ("t1", "t2"),
        masks=1,
    ),
    Collection(
        "HCP Lifespan",
        "https://www.humanconnectome.org/study/hcp-lifespan-aging",
        numbered("HCA60{:05}"),
        ["{who}_V1_MR/T1w/T1w_acpc_dc_restore.nii.gz", "{who}_V1_MR/T1w/T2w_acpc_dc.nii.gz"],
        ("t1", "t2"),
    ),
    Collection(
        "UK Biobank",
        "https://biobank.ctsu.ox.ac.uk/crystal/field.cgi?id=20252",
        numbered("{}", first=1000001),
        [
            "{who}_20252_2_0/T1/T1.nii.gz",
            "{who}_20252_3_0/T1/T1.nii.gz",
            "{who}_20253_2_0/T2_FLAIR/T2_FLAIR.nii.gz",
        ],
        ("t1", "flair"),
    ),
    Collection(
        "FreeSurfer",
        "https://surfer.nmr.mgh.harvard.edu/fswiki/SubjectsDir",
        ["bert", "ernie", "elmo", "grover"],
        [
            f"subjects/{{who}}/mri/{c}.mgz"
            for c in ("T1", "brain", "brainmask", "norm", "orig", "aseg", "aparc+aseg")
        ],
        ("t1",),
        masks=2,
    ),
    Collection(
        "OAI knees as X-ray pictures",
        "https://nda.nih.gov/oai",
        numbered("{}", first=9003175),
        ["train/0/{who}L.png", "train/0/{who}R.png"],
    ),
    Collection(
        "MRNet",
        "https://stanfordmlgroup.github.io/competitions/mrnet/",
        numbered("{:04}", first=0),
        [f"MRNet-v1.0/train/{p}/{{who}}.npy" for p in ("axial", "coronal", "sagittal")],
    ),
    Collection(
        "fastMRI knees",
        "https://fastmri.med.nyu.edu",
        numbered("file10000{:02}"),
        ["singlecoil_train/{who}.h5"],
    ),
    Collection(
        "fastMRI brains as slices",
        "https://fastmri.med.nyu.edu",
        numbered("file_brain_AXT2_200_20000{:02}"),
        [f"multicoil_train/{{who}}_{k}.png" for k in range(3)],
        ("t2",),
    ),
    Collection(
        "LGG",
        "https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation",
        numbered("TCGA_CS_49{:02}"),
        [
            "kaggle_3m/{who}_19960909/{who}_19960909_1.tif",
            "kaggle_3m/{who}_19960909/{who}_19960909_1_mask.tif",
            "kaggle_3m/{who}_19960909/{who}_19960909_2.tif",
            "kaggle_3m/{who}_19960909/{who}_19960909_2_mask.tif",
        ],
        masks=2,
    ),
    Collection(
        "ABIDE I",
        "http://fcon_1000.projects.nitrc.org/indi/abide/",
        numbered("00500{:02}"),
        ["Pitt_{who}/session_1/anat_1/mprage.nii.gz", "Pitt_{who}/session_1/rest_1/rest.nii.gz"],
    ),
    Collection(
        "ABIDE II",
        "http://fcon_1000.projects.nitrc.org/indi/abide/",
        numbered("286{:02}"),
        ["ABIDEII-BNI_1/{who}/session_1/anat_1/anat.nii.gz"],
    ),
    Collection(
        "CamCAN",
        "https://cam-can.mrc-cbu.cam.ac.uk/dataset/",
        numbered("CC1100{:02}"),
        ["anat/sub-{who}/anat/sub-{who}_T1w.nii.gz", "anat/sub-{who}/anat/sub-{who}_T2w.nii.gz"],
        ("t1", "t2"),
    ),
    Collection(
        "CamCAN, one folder each",
        "https://cam-can.mrc-cbu.cam.ac.uk/dataset/",
        numbered("CC1100{:02}"),
        ["camcan/{who}/anat.nii.gz"],
    ),
    Collection(
        "PPMI",
        "https://www.ppmi-info.org",
        numbered("30{:02}"),
        [
            "PPMI/{who}/SAG_3D_MPRAGE/2011-01-20_12_00_00.0/I224563/PPMI_{who}_MR_SAG_3D_MPRAGE_"
            "br_raw_20110308092448_1_S100882_I224563.nii",
            "PPMI/{who}/AX_T2/2012-01-20_12_00_00.0/I324563/PPMI_{who}_MR_AX_T2_br_raw_"
            "20120308092448_1_S200882_I324563.nii",
        ],
    ),
    Collection(
        "ISLES 2022",
        "https://isles22.grand-challenge.org/",
        numbered("strokecase{:04}"),
        [
            "sub-{who}/ses-0001/dwi/sub-{who}_ses-0001_adc.nii.gz",
            "sub-{who}/ses-0001/anat/sub-{who}_ses-0001_FLAIR.nii.gz",
            "derivatives/sub-{who}/ses-0001/sub-{who}_ses-0001_msk.nii.gz",
        ],
        ("adc", "flair"),
        masks=1,
    ),
    Collection(
        "ISLES 2015",
        "http://www.isles-challenge.org/ISLES2015/",
        numbered("{}"),
        [
            f"SISS2015_Training/{{who}}/VSD.Brain.XX.O.MR_{c}.70614/VSD.Brain.XX.O.MR_{c}.70614.nii"
            for c in ("T1", "T2", "Flair")
        ],
        ("t1", "t2", "flair"),
    ),
    Collection(
        "ATLAS 2.0",
        "https://fcon_1000.projects.nitrc.org/indi/retro/atlas.html",
        numbered("r001s{:03}"),
        [
            "Training/R001/sub-{who}/ses-1/anat/sub-{who}_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz",
            "Training/R001/sub-{who}/ses-1/anat/sub-{who}_ses-1_space-MNI152NLin2009aSym_label-L_"
            "desc-T1lesion_mask.nii.gz",
        ],
        ("t1",),
        masks=1,
    ),
    Collection(
        "ATLAS 1.2",
        "https://fcon_1000.projects.nitrc.org/indi/retro/atlas.html",
        numbered("0317{:02}"),
        [
            "Site1/{who}/t01/{who}_t1w_deface_stx.nii.gz",
            "Site1/{who}/t01/{who}_LesionSmooth_stx.nii.gz",
        ],
        ("t1",),
        masks=1,
    ),
    Collection(
        "ACDC",
        "https://www.creatis.insa-lyon.fr/Challenge/acdc/",
        numbered("patient{:03}"),
        [
            "database/training/{who}/{who}_frame01.nii.gz",
            "database/training/{who}/{who}_frame12.nii.gz",
            "database/training/{who}/{who}_frame01_gt.nii.gz",
        ],
        masks=1,
    ),
    Collection(
        "PROMISE12",
        "https://promise12.grand-challenge.org/",
        numbered("Case{:02}"),
        ["{who}.mhd", "{who}_segmentation.mhd"],
        masks=1,
    ),
    Collection(
        "PI-CAI",
        "https://pi-cai.grand-challenge.org/",
        numbered("100{:02}"),
        [f"{{who}}/{{who}}_1000000_{c}.mha" for c in ("t2w", "adc", "hbv", "sag", "cor")],
    ),
    Collection(
        "Prostate158",
        "https://zenodo.org/records/6481141",
        numbered("{:03}", first=20),
        ["train/{who}/t2.nii.gz", "train/{who}/adc.nii.gz", "train/{who}/dwi.nii.gz"],
        ("t2", "adc", "dwi"),
    ),
    Collection(
        "WMH 2017",
        "https://wmh.isi.uu.nl/",
        numbered("{}", first=50),
        [
            "Singapore/{who}/pre/FLAIR.nii.gz",
            "Singapore/{who}/pre/T1.nii.gz",
            "Singapore/{who}/wmh.nii.gz",
        ],
        ("flair", "t1"),
        masks=1,
    ),
    Collection(
        "MRBrainS18",
        "https://mrbrains18.isi.uu.nl/",
        numbered("{}"),
        [
            "training/{who}/pre/FLAIR.nii.gz",
            "training/{who}/pre/T1.nii.gz",
            "training/{who}/segm.nii.gz",
        ],
        ("flair", "t1"),
        masks=1,
    ),
    Collection(
        "iSeg 2019",
        "https://iseg2019.web.unc.edu/",
        numbered("subject-{}"),
        ["{who}-T1.hdr", "{who}-T2.hdr", "{who}-label.hdr"],
        ("t1", "t2"),
        masks=1,
    ),
    Collection(
        "Calgary-Campinas",
        "https://www.ccdataset.com/",
        numbered("CC{:04}"),
        ["Original/{who}_philips_15_55_M.nii.gz"],
    ),
    Collection(
        "MIRIAD",
        "https://www.nitrc.org/projects/miriad/",
        numbered("miriad_{}", first=188),
        [
            "{who}/{who}_01/{who}_AD_M_01_MR_1/{who}_AD_M_01_MR_1.nii",
            "{who}/{who}_02/{who}_AD_M_02_MR_1/{who}_AD_M_02_MR_1.nii",
        ],
    ),
    Collection(
        "MS lesions 2015",
        "https://smart-stats-tools.org/lesion-challenge",
        numbered("training{:02}"),
        [
            f"{{who}}/preprocessed/{{who}}_0{v}_{c}_pp.nii"
            for v in (1, 2)
            for c in ("flair", "mprage", "pd", "t2")
        ]
        + ["{who}/masks/{who}_01_mask1.nii"],
        ("flair", "t1", "pd", "t2"),
        masks=1,
    ),
    Collection(
        "MM-WHS",
        "https://zmiclab.github.io/zxh/0/mmwhs/",
        numbered("mr_train_{}", first=1001),
        ["{who}_image.nii.gz", "{who}_label.nii.gz"],
        masks=1,
    ),
    Collection(
        "crossMoDA",
        "https://crossmoda-challenge.ml/",
        numbered("crossmoda_{}"),
        [
            "source_training/{who}_ceT1.nii.gz",
            "source_training/{who}_hrT2.nii.gz",
            "source_training/{who}_Label.nii.gz",
        ],
        ("t1ce", "t2"),
        masks=1,
    ),
    Collection(
        "SPIDER",
        "https://spider.grand-challenge.org/",
        numbered("{}"),
        ["images/{who}_t1.mha", "images/{who}_t2.mha", "masks/{who}_t1.mha"],
        ("t1", "t2"),
        masks=1,
    ),
    Collection(
        "Left atrium 2018",
        "https://www.cardiacatlas.org/atriaseg2018-challenge/",
        ["0RZDK210BSMWAA6467LU", "1D7CUD1955YZPGK8XHJX", "2XJWNBL5F01JJP1B2G3K"],
        ["Training Set/{who}/lgemri.nrrd", "Training Set/{who}/laendo.nrrd"],
        masks=1,
    ),
    Collection(
        "TotalSegmentator MRI",
        "https://zenodo.org/records/11367005",
        numbered("s{:04}"),
        ["{who}/mri.nii.gz", "{who}/segmentations/liver.nii.gz"],
        masks=1,
    ),
    Collection(
        "SynthRAD 2023",
        "https://zenodo.org/records/7260705",
        numbered("1BA{:03}"),
        [
            "Task1/brain/{who}/mr.nii.gz",
            "Task1/brain/{who}/ct.nii.gz",
            "Task1/brain/{who}/mask.nii.gz",
        ],
        masks=1,
    ),
    Collection(
        "1000 Functional Connectomes",
        "http://fcon_1000.projects.nitrc.org/fcpClassic/FcpTable.html",
        numbered("sub041{:02}"),
        ["Baltimore/{who}/anat/mprage_anonymized.nii.gz", "Baltimore/{who}/func/rest.nii.gz"],
    ),
    Collection(
        "NFBS",
        "http://preprocessed-connectomes-project.org/NFB_skullstripped/",
        numbered("A000281{:02}"),
        ["{who}/sub-{who}_ses-NFB3_T1w.nii.gz", "{who}/sub-{who}_ses-NFB3_T1w_brainmask.nii.gz"],
        ("t1",),
        masks=1,
    ),
    Collection(
        "GSP",
        "https://dataverse.harvard.edu/dataverse/GSP",
        numbered("Sub{:04}"),
        [
            "{who}_Ses1/{who}_Ses1_Scan_01_ANAT1.nii.gz",
            "{who}_Ses2/{who}_Ses2_Scan_01_ANAT1.nii.gz",
        ],
    ),
    Collection(
        "IBSR",
        "https://www.nitrc.org/projects/ibsr",
        numbered("IBSR_{:02}"),
        ["{who}/{who}_ana.nii.gz", "{who}/{who}_seg_ana.nii.gz"],
        masks=1,
    ),
)

# No collection's: what people have on their disks.
OWN = (
    Collection(
        "contrast in the name",
        "",
        numbered("p{:02}"),
        [f"{{who}}_{c}.nii.gz" for c in ("t1", "t2")],
    ),
    Collection(
        "contrast as a folder",
        "",
        numbered("p{:02}"),
        [f"{c}/{{who}}.nii.gz" for c in ("T1", "T2")],
    ),
    Collection(
        "contrast glued", "", numbered("p{:02}"), [f"{{who}}{c}.nii.gz" for c in ("T1w", "T2w")]
    ),
    Collection(
        "contrast first", "", numbered("pat{:02}"), [f"{c}_{{who}}.nii.gz" for c in ("T1", "FLAIR")]
    ),
    Collection(
        "a number first", "", numbered("{:04}"), [f"{{who}}_{c}.nii.gz" for c in ("t1", "xx")]
    ),
    Collection("runs", "", numbered("s{:02}"), [f"{{who}}_run-{r}.nii.gz" for r in (1, 2)]),
    Collection("bare runs", "", numbered("s{:02}"), [f"{{who}}_{r}.nii.gz" for r in (1, 2)]),
    Collection(
        "visits", "", numbered("C{:03}"), [f"{{who}}_{v}_T1.nii" for v in ("BL", "M12", "M24")]
    ),
    Collection(
        "dates", "", numbered("C{:03}"), [f"{{who}}_{v}.nii" for v in ("20190304", "20200405")]
    ),
    Collection(
        "visits as folders",
        "",
        numbered("C{:03}"),
        [f"{{who}}/{v}/anat.nii" for v in ("ses1", "ses2")],
    ),
    Collection(
        "words nobody knows", "", numbered("q{:02}"), [f"{{who}}_{v}.nii" for v in ("foo", "bar")]
    ),
    Collection(
        "channels",
        "",
        ["la_smith", "la_jones", "la_brown"],
        [f"imagesTr/{{who}}_000{c}.nii.gz" for c in (0, 1)],
    ),
    Collection("one folder each", "", ["anna", "bert", "cora", "dora"], ["set/{who}/brain.nii.gz"]),
    Collection("one folder each, named alike", "", numbered("{:03}"), ["{who}/scan_{who}.nii.gz"]),
    Collection(
        "folders of slices", "", numbered("p{:02}"), [f"{{who}}/slice_{k:03}.png" for k in range(4)]
    ),
    Collection("folders of numbers", "", numbered("{:03}"), [f"{{who}}/{k}.png" for k in range(4)]),
    Collection(
        "folders of contrasts",
        "",
        numbered("p{:02}"),
        [f"{{who}}/{c}/{k}.png" for c in ("T1", "T2") for k in range(2)],
    ),
    Collection(
        "contrasts of folders",
        "",
        numbered("p{:02}"),
        [f"{c}/{{who}}/{k}.png" for c in ("T1", "T2") for k in range(2)],
    ),
    Collection("slices", "", numbered("p{:02}"), [f"{{who}}_{k:03}.png" for k in range(4)]),
    Collection(
        "slices and contrasts",
        "",
        numbered("p{:02}"),
        [f"{{who}}_{c}_{k:03}.png" for c in ("t1", "t2") for k in range(2)],
    ),
    Collection(
        "contrast last",
        "",
        numbered("p{:02}"),
        [f"{{who}}_{k:03}_{c}.png" for c in ("t1", "t2") for k in range(2)],
    ),
    Collection(
        "slices with words", "", numbered("sub{:02}"), [f"{{who}}-slice{k}.jpg" for k in range(4)]
    ),
    Collection(
        "slice first", "", numbered("p{:02}"), [f"slice_{k:03}_{{who}}.png" for k in range(4)]
    ),
    Collection("z", "", numbered("MR{:03}"), [f"{{who}}_z{k:03}.png" for k in range(4)]),
    Collection(
        "planes",
        "",
        numbered("p{:02}"),
        [f"{p}/{{who}}_{k}.png" for p in ("axial", "sag") for k in range(2)],
    ),
    Collection(
        "visits of slices",
        "",
        numbered("p{:02}"),
        [f"{{who}}_ses-{v}_{k}.png" for v in (1, 2) for k in range(2)],
    ),
    Collection(
        "domains",
        "",
        numbered("p{:02}"),
        [f"{d}/{{who}}_{k}.png" for d in ("A", "B") for k in range(2)],
    ),
    Collection("two numbers", "", numbered("{:04}"), [f"{{who}}_{k:03}.png" for k in range(4)]),
    Collection(
        "names of NIfTI and slice",
        "",
        numbered("p{:02}"),
        [f"{{who}}.nii.gz_{k}.png" for k in range(4)],
    ),
    Collection(
        "Windows", "", numbered("p{:02}"), [f"set\\{{who}}\\slice_{k}.png" for k in range(3)]
    ),
)


def table_rows() -> list[str]:
    """A table of what the first file of each collection becomes."""
    rows = ["| collection | a file | person | layout |", "| --- | --- | --- | --- |"]
    for one in COLLECTIONS:
        names = [file.replace("{who}", who) for who in one.people[:2] for file in one.files]
        first = identify_all(names, PrepareConfig())[0]
        short = "/".join(names[0].split("/")[-2:])
        rows.append(
            f"| [{one.name}]({one.source}) | `{short}` | `{first.subject}` | `{first.layout}` |"
        )
    return rows


if __name__ == "__main__":
    print("\n".join(table_rows()))
