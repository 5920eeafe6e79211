"""Language networks without weights, on the meta device, from their configuration files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from convergent.errors import LayerError, ModelError
from convergent.zoo._language_layers import is_causal

if TYPE_CHECKING:
    import torch
    from torch import nn

_MASKED = ("deberta", "deberta-v2")  # bidirectional, and their masks are products of the padding
_TOKENS = 7  # of the example input: a number that is no width, so that axes cannot be mixed up


def empty_network(configuration: dict[str, Any], auto: str = "AutoModel") -> nn.Module:
    """Build a network without weights, on the meta device.

    Parameters
    ----------
    configuration : dict
        As `read_architecture` gives it.
    auto : str
        Class of transformers that builds it.

    Raises
    ------
    ModelError
        This version of transformers does not know or does not accept the configuration.
    """
    import transformers

    values = dict(configuration)
    kind = values.pop("model_type")
    with _told(kind):
        config = transformers.AutoConfig.for_model(kind, **values)
    return network_of(config, auto)


def network_of(
    config: Any,
    auto: str = "AutoModel",
    *,
    device: str = "meta",
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Build the network of a configuration of transformers, without weights unless on the CPU.

    Raises
    ------
    ModelError
        It cannot be built.
    """
    import torch
    import transformers

    # Eager attention: the fused kinds ask for values of the mask, which meta has not.
    with _told(config.model_type), torch.device(device):
        module = getattr(transformers, auto).from_config(
            config,
            attn_implementation="eager",
            trust_remote_code=False,
            **({} if dtype is None else {"dtype": dtype}),
        )
    module.config.use_cache = False
    network: nn.Module = module.eval().requires_grad_(False)
    return network


@contextmanager
def _told(kind: str) -> Iterator[None]:
    try:
        yield
    # Configurations raise errors of many kinds, some of them their own.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"transformers cannot build '{kind}' ({first})",
            fix="correct the configuration, or update transformers",
        ) from error


def example_inputs(
    module: nn.Module, items: int = 1, tokens: int = _TOKENS
) -> dict[str, torch.Tensor]:
    """Texts of equal length on the meta device, with a mask where there can be one.

    Masks of causal networks are made without looking at the padding; the other kinds look
    whether there is any, which cannot be answered on the meta device, unless there is no mask.

    Returns
    -------
    dict of str to Tensor of int64, shape (item, token)
    """
    import torch

    config: Any = module.config
    device = next(module.parameters()).device
    ids = torch.zeros(items, tokens, dtype=torch.int64, device=device)
    if is_causal(config.model_type) or config.model_type in _MASKED:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {"input_ids": ids}


def run_network(module: nn.Module, inputs: dict[str, torch.Tensor]) -> Any:
    """Forward pass as extraction makes it: of the encoder alone where there is a decoder too."""
    import torch

    whole: Any = module
    call = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    with torch.no_grad(), answered():
        return call(**inputs)


@contextmanager
def answered() -> Iterator[None]:
    """Answer what networks ask of values that are not there, as of full inputs without padding.

    Masks are asked whether they hold anything but ones, which they do not.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Answer(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            name = getattr(function, "__name__", "")
            asked = arguments[0] if arguments else None
            if isinstance(asked, torch.Tensor) and asked.is_meta and asked.numel() == 1:
                if name == "__bool__" or (name == "item" and asked.dtype == torch.bool):
                    return True
                if name in ("item", "__int__", "__index__"):
                    return 1
            return function(*arguments, **(named or {}))

    with Answer():
        yield


def count_parameters(module: nn.Module) -> int:
    """Number of parameters; one that is used twice counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def published_parameters(configuration: dict[str, Any], counted: str) -> int:
    """Number of parameters of the class that a published count is of.

    Parameters
    ----------
    configuration : dict
    counted : str
        `Published.counted`.
    """
    auto, _, head = counted.partition("+")
    module = empty_network(configuration, auto)
    config: Any = module.config
    return count_parameters(module) + (config.vocab_size * config.hidden_size if head else 0)


def layer_widths(module: nn.Module, paths: list[str]) -> list[int]:
    """Features of each layer's output, from a forward pass on the meta device.

    Parameters
    ----------
    module : Module
        As `empty_network` gives it.
    paths : list of str
        Module paths, in the order in which they run.

    Raises
    ------
    LayerError
        A module does not run, runs out of order, or gives no (item, token, feature).
    """
    known = dict(module.named_modules(remove_duplicate=False))
    shapes: dict[str, tuple[int, ...]] = {}

    def make(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) else output
            shapes.setdefault(path, tuple(first.shape))

        return hook

    handles = [known[path].register_forward_hook(make(path)) for path in paths]
    try:
        run_network(module, example_inputs(module))
    finally:
        for handle in handles:
            handle.remove()
    wrong = [path for path in paths if shapes.get(path, ())[:2] != (1, _TOKENS)]
    if wrong or list(shapes) != paths:
        shown = wrong[0] if wrong else next(a for a, b in zip(paths, shapes, strict=True) if a != b)
        raise LayerError(
            f"'{shown}' gives {shapes.get(shown, 'nothing')} in a pass over {_TOKENS} tokens, "
            "or does not run in the order of the layers",
            fix="name blocks whose output is (item, token, feature), in the order they run",
        )
    return [shapes[path][2] for path in paths]
