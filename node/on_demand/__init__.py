"""Run on demand: a pipeline runs on a study that is stored or fetched first, whatever the conditions of its route say.

`web` takes POST /run, `fetch_requests` works off those whose study is in an archive, `callbacks` tells who asked how it
ended; `condyle run-study` does the same from the command line.

Tests: `requests` is tested through `web`; `dimse_studies`, `dicomweb_studies` and `fetch_requests` through `fetching`,
on a whole node with a real archive.
"""
