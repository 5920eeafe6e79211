from convergent.models.tokens import words_of_tokens

SPANS = [(0, 3), (4, 11), (12, 13)]  # "the rabbits ."


def test_tokens_find_their_words():
    offsets = [(0, 0), (0, 3), (3, 4), (3, 10), (10, 11), (11, 13), (0, 0)]
    special = [1, 0, 0, 0, 0, 0, 1]
    assert words_of_tokens(offsets, special, SPANS) == (-1, 0, -1, 1, 1, 2, -1)


def test_token_across_words_belongs_to_the_last():
    assert words_of_tokens([(0, 7), (7, 13)], [0, 0], SPANS) == (1, 2)


def test_special_token_inside_the_text_belongs_to_no_word():
    assert words_of_tokens([(0, 3), (4, 11)], [0, 1], SPANS) == (0, -1)
