"""Heads of pretrained models: one that was saved for the same labels is kept, any other is made anew from the seed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from lmkit.errors import DataError, PluginError

logger = logging.getLogger("lmkit")

SHOWN = 6
"""Labels that a line names."""


def fit_head(network: Any, report: Mapping[str, Any], labels: Sequence[str], saved: Any) -> None:
    """Make the network's scores those of `labels`, in their order.

    `report` says what was missing or misshapen in the weights; `saved` is the configuration that they were saved with.
    The layer that gives the scores is kept, its rows permuted, where it was saved for the same class of model and
    labels of the same names. Else that layer is new, and a line says so unless the weights had none.
    """
    name = _scores(network)
    _check_rest(report, name)
    missing = {str(key) for key in report["missing_keys"]}
    if any(key.startswith(f"{name}.") for key in missing):
        return
    before = [str(saved.id2label[number]) for number in sorted(saved.id2label)]
    classes = getattr(saved, "architectures", None) or ()
    same_class = type(network).__name__ in classes
    same_labels = sorted(before) == sorted(labels) and len(set(before)) == len(before)
    if not report["mismatched_keys"] and same_class and same_labels:
        _permute(network.get_submodule(name), [before.index(label) for label in labels])
        order = "" if before == list(labels) else f", put from the order {_listed(before)} into {_listed(labels)}"
        logger.info("the pretrained weights have a head for these labels, which training begins with%s", order)
        return
    if not report["mismatched_keys"]:
        _renew(network, name)
    if same_labels and not same_class:
        found = _listed(classes) or "a model of no named class"
        logger.info("the head is new: the pretrained weights are of %s, not of %s", found, type(network).__name__)
    else:
        others = _listed(before), _listed(labels)
        logger.info("the head is new: that of the pretrained weights is for %s, and not %s", *others)


def _scores(network: Any) -> str:
    """Return the name of the layer that gives the scores of the labels."""
    body, count = f"{network.base_model_prefix}.", network.config.num_labels
    outside = [(name, module) for name, module in network.named_modules() if not name.startswith(body)]
    layers = [name for name, module in outside if isinstance(module, nn.Linear) and module.out_features == count]
    if not layers:
        raise PluginError(f"{type(network).__name__} of transformers ends with no layer of scores that lmkit knows")
    return str(layers[-1])


def _check_rest(report: Mapping[str, Any], name: str) -> None:
    """Raises DataError where other weights than those of the scores have another shape than the configuration says."""
    for key, there, wanted in sorted(report["mismatched_keys"]):
        if not str(key).startswith(f"{name}."):
            raise DataError(
                f"the weights do not fit their config.json: {key} is {tuple(there)}, "
                f"and config.json says {tuple(wanted)}"
            )


def _permute(layer: nn.Linear, order: Sequence[int]) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter[list(order)])


def _renew(network: Any, name: str) -> None:
    """Put a new layer, initialised as the network initialises its own, in the place of the old one."""
    old = network.get_submodule(name)
    new = nn.Linear(old.in_features, old.out_features, bias=old.bias is not None)
    network._init_weights(new)
    network.set_submodule(name, new)


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:SHOWN]) + (f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else "")
