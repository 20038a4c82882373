"""A form that comes back is one that this node gave out for that purpose."""

from __future__ import annotations

from pathlib import Path

from node.status.forms import FormTokens


def test_a_token_is_good_for_its_purpose_on_this_node_alone(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    forms = FormTokens(tmp_path)
    token = forms.token("verdict", "job-1", "1.2.3")
    assert FormTokens(tmp_path).is_ours(token, "verdict", "job-1", "1.2.3")  # after a restart too
    assert not forms.is_ours(token, "verdict", "job-2", "1.2.3")
    assert not forms.is_ours(token, "verdict", "job-1|1.2.3")  # purposes do not run into each other
    assert not forms.is_ours("", "verdict", "job-1", "1.2.3")
    assert not forms.is_ours("tøken", "verdict", "job-1", "1.2.3")
    assert not FormTokens(tmp_path / "other").is_ours(token, "verdict", "job-1", "1.2.3")
