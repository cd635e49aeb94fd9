"""What the measurements say, in sentences that follow from the numbers, and what they do not say."""

import math
from collections.abc import Sequence

from trainer.lesson.study import Size, Trained, ratio

NOTICEABLE = 1.1  # how much higher a training loss is that counts as higher
WORST = 0.02  # losses below this are alike: all examples are right


def find(results: Sequence[Trained], name: str, layers: int) -> Trained | None:
    """Return the network of a kind and a depth; None where the study has none."""
    return next((each for each in results if (each.kind.name, each.layers) == (name, layers)), None)


def degrades(shallow: Trained, deep: Trained) -> bool:
    """Return whether the deeper of two networks of a kind ends with a noticeably higher training loss."""
    if not deep.is_finite:
        return True
    return deep.loss > max(NOTICEABLE * shallow.loss, WORST)


def shown(results: Sequence[Trained]) -> list[str]:
    """Return a sentence for each kind with two depths of the same number of steps: what depth does."""
    sentences = []
    for name in dict.fromkeys(each.kind.name for each in results):
        of_kind = sorted((each for each in results if each.kind.name == name), key=lambda each: each.layers)
        shallow = of_kind[0]
        deep = [each for each in of_kind[1:] if each.steps == shallow.steps]
        if not deep:
            continue
        worse = [each for each in deep if degrades(shallow, each)]
        ends = ", ".join(f"{_loss(each)} with {each.layers:,}" for each in deep)
        start = f"{name}: training loss {_loss(shallow)} with {shallow.layers:,} layers, {ends}"
        verdict = "More layers do not end higher."
        if worse:
            listed = " and ".join(f"{each.layers:,}" for each in worse)
            verdict = f"With {listed} layers it ends higher on the very images that it is trained on."
        sentences.append(f"{start}. {verdict}")
    least = min(results, key=lambda each: each.layers)
    for layers in sorted({each.layers for each in results if each.steps != least.steps}):
        ends = [f"{each.kind.name} {_loss(each)}" for each in results if each.layers == layers]
        steps = next(each.steps for each in results if each.layers == layers)
        sentences.append(f"{layers:,} layers, training loss after {steps} steps: {', '.join(ends)}.")
    return sentences


def hidden(results: Sequence[Trained], size: Size) -> list[str]:
    """Return what the pictures do not show, which a reader could conclude from them."""
    sentences = []
    for layers in size.layers:
        plain, residual = (
            find(results, name, layers) for name in ("plain + BatchNorm", "residual + BatchNorm")
        )
        if plain and residual and _alive(plain) and plain.loss > NOTICEABLE * residual.loss:
            sentences.append(
                f"Gradients are not the whole story. After {plain.steps} steps at {layers:,} layers the "
                f"gradient at the first block is {ratio(plain.last):.2g} times that at the last with "
                f"plain + BatchNorm, and {ratio(residual.last):.2g} times with residual + BatchNorm: "
                f"BatchNorm alone keeps it alive. Yet their training losses are {_loss(plain)} and "
                f"{_loss(residual)}."
            )
    few = [layers for layers in size.layers if size.steps_of(layers) != size.steps]
    if few and len(few) < len(size.layers):
        listed = ", ".join(f"{layers:,}" for layers in few)
        sentences.append(
            f"Networks of {listed} layers had {size.few_steps} steps, the others {size.steps}: their losses "
            "compare only with each other."
        )
    return [
        *sentences,
        "Each number is of one seed, one small network and fixed learning rates, without warm-up, decay or "
        "augmentation. A network that does not train here may train with other settings.",
        "BatchNorm takes the statistics of the batch, in the test those of all test images at once.",
        "Digits of 8x8 pixels say nothing of how accurate a deep network is on photos.",
    ]


def _alive(result: Trained) -> bool:
    return result.is_finite and 1e-2 < ratio(result.last) < 1e2


def _loss(result: Trained) -> str:
    return f"{result.loss:.3g}" if math.isfinite(result.loss) else "none (not finite)"
