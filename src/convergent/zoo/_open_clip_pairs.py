"""Pairs of architecture and pretrained tag in open_clip: which name what weights."""

from __future__ import annotations

Pair = tuple[str, str]


def same_weights(pairs: dict[Pair, dict[str, str]], hubs: dict[Pair, str]) -> dict[Pair, str]:
    """Pairs that are other names of weights already there, with the reason.

    Figures list some weights twice: with and without QuickGELU, of which one is what they
    were trained with, or under two tags. The same repository, or the same value in every
    column, is the same weights.

    Parameters
    ----------
    pairs : dict of (architecture, pretrained) to row
    hubs : dict of (architecture, pretrained) to str
        Repository.
    """

    def doubt(pair: Pair) -> tuple[bool, bool]:
        fits = _quick_gelu(pair) == _trained_with_quick_gelu(pair)
        return not fits, not hubs[pair].endswith(pair[1])

    seen: dict[object, Pair] = {}
    doubles: dict[Pair, str] = {}
    for pair in sorted(pairs, key=doubt):  # stable: else in the figures' order
        values = tuple(v for key, v in pairs[pair].items() if key not in ("name", "pretrained"))
        signs: dict[object, str] = {hubs[pair]: "repository", values: "scores"}
        first = next(((seen[sign], what) for sign, what in signs.items() if sign in seen), None)
        if first is not None:
            doubles[pair] = f"the same {first[1]} as {'.'.join(first[0])}"
        for sign in signs:
            seen.setdefault(sign, first[0] if first else pair)
    return doubles


def trained_architecture(pair: Pair) -> str:
    """Name of the network that the weights were trained as, whatever name the figures use."""
    import open_clip

    quick = f"{pair[0]}-quickgelu"
    if not _trained_with_quick_gelu(pair) or _quick_gelu(pair):
        return pair[0]
    return quick if quick in open_clip.list_models() else pair[0]


def _quick_gelu(pair: Pair) -> bool:
    import open_clip

    return bool(open_clip.get_model_config(pair[0]).get("quick_gelu", False))


def _trained_with_quick_gelu(pair: Pair) -> bool:
    from open_clip.pretrained import get_pretrained_cfg

    return bool(get_pretrained_cfg(*pair).get("quick_gelu", False))
