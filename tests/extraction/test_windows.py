import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.errors import ModelError
from convergent.extraction.batches import story_windows

STORIES = given(words=st.integers(1, 300), context=st.integers(0, 40))


@STORIES
def test_causal_windows_keep_each_word_once_with_enough_context(words, context):
    windows = story_windows(words, context, "causal", "m")
    kept = [word for window in windows for word in range(window.target, window.stop)]
    assert kept == list(range(words))
    for window in windows:
        assert 0 <= window.first <= window.target < window.stop
        for word in range(window.target, window.stop):
            assert min(word, context) <= word - window.first <= max(0, 2 * context - 1)
    assert sum(window.stop - window.first for window in windows) <= 2 * words + 2 * context


@STORIES
def test_bidirectional_windows_end_with_the_word_they_keep(words, context):
    windows = story_windows(words, context, "bidirectional", "m")
    assert [window.target for window in windows] == list(range(words))
    assert all(window.stop == window.target + 1 for window in windows)
    assert all(window.target - window.first == min(context, window.target) for window in windows)


def test_unknown_attention_is_refused():
    with pytest.raises(ModelError, match="attention is 'both'"):
        story_windows(3, 2, "both", "m")
