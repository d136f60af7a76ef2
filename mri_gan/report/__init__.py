"""Run folders as self-contained pages that people can read without any tool."""
