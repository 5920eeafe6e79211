"""Evaluations by linear probe: the class of a stimulus from the last listed layer."""

from __future__ import annotations

from convergent.evaluation.evaluate import Subject, evaluation


@evaluation()
def probe_top1(subject: Subject) -> tuple[float, str]:
    """Share of stimuli whose class a linear probe finds; works for every model with weights."""
    return subject.probe.accuracy, _source(subject)


@evaluation()
def probe_logloss(subject: Subject) -> tuple[float, str]:
    """Mean log loss of a linear probe, in nats: continuous where accuracy has steps."""
    return subject.probe.log_loss, _source(subject)


def _source(subject: Subject) -> str:
    benchmark = subject.benchmark
    return (
        f"measured: linear probe of layer {subject.model.layers[-1].name}, "
        f"{len(benchmark.classes)} classes (chance {benchmark.chance:.4f}), "
        f"{len(benchmark.stimuli)} stimuli in two halves"
    )
