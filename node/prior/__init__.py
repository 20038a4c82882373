"""The patient's earlier report by the same pipeline: from here or from an archive, never by a guess.

Tests: `dicomweb_archive` and `dimse_archive` are asked through `search`, against a real archive.
"""
