"""The patient's earlier report by the same pipeline: kept here, or asked of an archive, its identity never guessed.

Tests: `dicomweb_archive` and `dimse_archive` are asked through `search`, against a real archive.
"""
