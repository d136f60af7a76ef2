"""Volumes of programs and formats beside those of the field's everyday."""
