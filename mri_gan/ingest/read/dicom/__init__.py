"""DICOM files to volumes."""
