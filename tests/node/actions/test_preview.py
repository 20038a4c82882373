from __future__ import annotations

from node.actions.preview import Preview, listed, short


def test_a_refusal_is_a_sentence_and_leaves_nothing_to_confirm() -> None:
    plan = Preview("Restart?", (), "job 1 is done")
    assert (plan.refusal, plan.possible) == ("Job 1 is done.", False)


def test_several_lines_stay_as_they_are() -> None:
    assert Preview("Reload?", (), "config.yaml:1: a\nconfig.yaml:2: b").refusal.endswith("2: b")


def test_of_many_names_the_first_are_told() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(str(number) for number in range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert listed([]) == "nobody"
    assert short(["0123456789abcdef"]) == "0123456789ab"
